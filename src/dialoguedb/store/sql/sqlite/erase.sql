-- Erasing a project, a bounded number of rows at a time so that other writers get their turn.
-- These run over all spaces of one project, and only here; they return no row.

-- erase_messages --
DELETE FROM messages WHERE rowid IN (
    SELECT m.rowid FROM messages AS m
    WHERE m.space_id IN (SELECT s.id FROM spaces AS s WHERE s.project_id = :project_id)
    LIMIT :most
)

-- erase_memories --
DELETE FROM memories WHERE rowid IN (
    SELECT m.rowid FROM memories AS m
    WHERE m.space_id IN (SELECT s.id FROM spaces AS s WHERE s.project_id = :project_id)
    LIMIT :most
)

-- erase_summaries --
DELETE FROM summaries WHERE rowid IN (
    SELECT y.rowid FROM summaries AS y
    WHERE y.space_id IN (SELECT s.id FROM spaces AS s WHERE s.project_id = :project_id)
    LIMIT :most
)

-- erase_documents --
DELETE FROM dialogue_documents WHERE rowid IN (
    SELECT x.rowid FROM dialogue_documents AS x
    WHERE x.space_id IN (SELECT s.id FROM spaces AS s WHERE s.project_id = :project_id)
    LIMIT :most
)

-- erase_changes --
-- The log holds ids and words, which can name people: it goes too. It has no index by space.
DELETE FROM changes WHERE number IN (
    SELECT c.number FROM changes AS c
    WHERE c.space_id IN (SELECT s.id FROM spaces AS s WHERE s.project_id = :project_id)
    LIMIT :most
)

-- erase_blocks --
DELETE FROM index_blocks WHERE rowid IN (
    SELECT b.rowid FROM index_blocks AS b
    WHERE b.space_id IN (SELECT s.id FROM spaces AS s WHERE s.project_id = :project_id)
    LIMIT :most
)
