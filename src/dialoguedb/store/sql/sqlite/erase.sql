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

-- erase_documents --
DELETE FROM dialogue_documents WHERE rowid IN (
    SELECT x.rowid FROM dialogue_documents AS x
    WHERE x.space_id IN (SELECT s.id FROM spaces AS s WHERE s.project_id = :project_id)
    LIMIT :most
)

-- erase_dialogues --
DELETE FROM dialogues WHERE (space_id, id) IN (
    SELECT d.space_id, d.id FROM dialogues AS d
    WHERE d.space_id IN (SELECT s.id FROM spaces AS s WHERE s.project_id = :project_id)
    LIMIT :most
)

-- erase_tombstones --
DELETE FROM tombstones WHERE (space_id, dialogue_id) IN (
    SELECT t.space_id, t.dialogue_id FROM tombstones AS t
    WHERE t.space_id IN (SELECT s.id FROM spaces AS s WHERE s.project_id = :project_id)
    LIMIT :most
)

-- erase_replies --
DELETE FROM replies WHERE (space_id, key) IN (
    SELECT r.space_id, r.key FROM replies AS r
    WHERE r.space_id IN (SELECT s.id FROM spaces AS s WHERE s.project_id = :project_id)
    LIMIT :most
)

-- erase_changes --
-- The log holds ids and words, which can name people: it goes too. One scan; it has no index by
-- space.
DELETE FROM changes
WHERE space_id IN (SELECT s.id FROM spaces AS s WHERE s.project_id = :project_id)

-- erase_blocks --
DELETE FROM index_blocks WHERE rowid IN (
    SELECT b.rowid FROM index_blocks AS b
    WHERE b.space_id IN (SELECT s.id FROM spaces AS s WHERE s.project_id = :project_id)
    LIMIT :most
)

-- erase_claims --
DELETE FROM claims WHERE (project_id, kind, id) IN (
    SELECT c.project_id, c.kind, c.id FROM claims AS c WHERE c.project_id = :project_id LIMIT :most
)
