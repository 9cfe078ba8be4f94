-- projects_find --
-- The project of an id, unless it is being deleted.
SELECT id, name, immutable, deletion_protection, created, deleting
FROM projects WHERE id = :id AND deleting IS NULL

-- projects_find_any --
-- The project of an id, also one that is being deleted.
SELECT id, name, immutable, deletion_protection, created, deleting
FROM projects WHERE id = :id

-- projects_find_by_name --
SELECT id, name, immutable, deletion_protection, created, deleting
FROM projects WHERE name = :name AND deleting IS NULL

-- projects_list --
SELECT id, name, immutable, deletion_protection, created, deleting
FROM projects ORDER BY created, id

-- projects_insert --
INSERT INTO projects (id, name, created) VALUES (:id, :name, :created)

-- projects_set --
UPDATE projects SET immutable = :immutable, deletion_protection = :deletion_protection
WHERE id = :id

-- projects_mark_deleting --
-- From here on nothing of the project can be reached; its rows go in steps. The name is free.
UPDATE projects SET deleting = :now, name = :name WHERE id = :id AND deleting IS NULL

-- projects_delete --
DELETE FROM projects WHERE id = :id

-- keys_authenticate --
-- The project that a key opens, and whether its dialogues are immutable.
SELECT k.hash, p.id, p.immutable, k.id, k.admin
FROM keys AS k JOIN projects AS p ON p.id = k.project_id
WHERE k.hash = :hash AND k.revoked IS NULL AND p.deleting IS NULL

-- keys_insert --
INSERT INTO keys (hash, id, project_id, name, hint, created, admin)
VALUES (:hash, :id, :project_id, :name, :hint, :created, :admin)

-- keys_list --
SELECT k.id, k.project_id, k.name, k.hint, k.created, k.revoked, k.admin
FROM keys AS k JOIN projects AS p ON p.id = k.project_id
WHERE p.deleting IS NULL AND (CAST(:project_id AS TEXT) IS NULL OR k.project_id = :project_id)
ORDER BY k.created, k.id

-- keys_find --
SELECT id, project_id, name, hint, created, revoked, admin FROM keys WHERE id = :id

-- keys_revoke --
UPDATE keys SET revoked = :now WHERE id = :id AND revoked IS NULL

-- keys_delete_of_project --
DELETE FROM keys WHERE project_id = :project_id

-- spaces_find --
SELECT s.id FROM spaces AS s JOIN projects AS p ON p.id = s.project_id
WHERE s.project_id = :project_id AND s.namespace = :namespace AND p.deleting IS NULL

-- spaces_insert --
-- A space is made by the first write into it, and only in a project that is there.
INSERT INTO spaces (project_id, namespace)
SELECT p.id, :namespace FROM projects AS p WHERE p.id = :project_id AND p.deleting IS NULL
RETURNING id

-- spaces_delete --
DELETE FROM spaces WHERE project_id = :project_id

-- claims_take --
-- The id, if it was free.
INSERT INTO claims (project_id, kind, id) VALUES (:project_id, :kind, :id)
ON CONFLICT DO NOTHING
RETURNING id

-- claims_put --
INSERT INTO claims (project_id, kind, id) VALUES (:project_id, :kind, :id)

-- claims_drop --
DELETE FROM claims WHERE project_id = :project_id AND kind = :kind AND id = :id


-- catalogue_touch --
-- A write that changes nothing and goes to the disk all the same.
UPDATE projects SET created = created WHERE id = (SELECT MIN(p.id) FROM projects AS p)
