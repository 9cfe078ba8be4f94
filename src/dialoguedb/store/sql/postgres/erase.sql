-- Erasing a project, a bounded number of rows at a time. These run over all spaces of one project,
-- and only here; they return no row. Here and not in both/: SQLite finds them by rowid.

-- erase_messages --
DELETE FROM messages WHERE (space_id, dialogue_id, created, sequence) IN (
    SELECT m.space_id, m.dialogue_id, m.created, m.sequence FROM messages AS m
    WHERE m.space_id IN (SELECT s.id FROM spaces AS s WHERE s.project_id = :project_id)
    LIMIT :most
)

-- erase_memories --
DELETE FROM memories WHERE (space_id, id) IN (
    SELECT m.space_id, m.id FROM memories AS m
    WHERE m.space_id IN (SELECT s.id FROM spaces AS s WHERE s.project_id = :project_id)
    LIMIT :most
)

-- erase_summaries --
DELETE FROM summaries WHERE (space_id, id) IN (
    SELECT y.space_id, y.id FROM summaries AS y
    WHERE y.space_id IN (SELECT s.id FROM spaces AS s WHERE s.project_id = :project_id)
    LIMIT :most
)

-- erase_documents --
DELETE FROM dialogue_documents WHERE (space_id, dialogue_id) IN (
    SELECT x.space_id, x.dialogue_id FROM dialogue_documents AS x
    WHERE x.space_id IN (SELECT s.id FROM spaces AS s WHERE s.project_id = :project_id)
    LIMIT :most
)

-- erase_entries --
DELETE FROM entries WHERE (space_id, kind, owner, sequence) IN (
    SELECT e.space_id, e.kind, e.owner, e.sequence FROM entries AS e
    WHERE e.space_id IN (SELECT s.id FROM spaces AS s WHERE s.project_id = :project_id)
    LIMIT :most
)

-- erase_vectors --
DELETE FROM vectors WHERE (space_id, generation, kind, owner, sequence, piece) IN (
    SELECT v.space_id, v.generation, v.kind, v.owner, v.sequence, v.piece FROM vectors AS v
    WHERE v.space_id IN (SELECT s.id FROM spaces AS s WHERE s.project_id = :project_id)
    LIMIT :most
)

-- erase_waiting --
DELETE FROM waiting WHERE (space_id, kind, owner, sequence) IN (
    SELECT w.space_id, w.kind, w.owner, w.sequence FROM waiting AS w
    WHERE w.space_id IN (SELECT s.id FROM spaces AS s WHERE s.project_id = :project_id)
    LIMIT :most
)

-- erase_figures --
DELETE FROM figures WHERE (space_id, kind, slot) IN (
    SELECT f.space_id, f.kind, f.slot FROM figures AS f
    WHERE f.space_id IN (SELECT s.id FROM spaces AS s WHERE s.project_id = :project_id)
    LIMIT :most
)
