-- Erasing a project, a bounded number of rows at a time so that other writers get their turn.
-- These run over all spaces of one project, and only here; they return no row.

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

-- erase_claims --
DELETE FROM claims WHERE (project_id, kind, id) IN (
    SELECT c.project_id, c.kind, c.id FROM claims AS c WHERE c.project_id = :project_id LIMIT :most
)
