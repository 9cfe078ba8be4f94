-- memories_insert --
INSERT INTO memories (space_id, id, inserted, label, description, value, metadata, tags, created,
    modified)
VALUES (:space, :id, :inserted, :label, :description, :value, :metadata, :tags, :created,
    :modified)

-- memories_get --
SELECT space_id, id, inserted, label, description, value, metadata, tags, created, modified
FROM memories WHERE space_id = :space AND id = :id

-- memories_list_asc --
SELECT space_id, id, inserted, label, description, value, metadata, tags, created, modified
FROM memories
WHERE space_id = :space AND created >= :start AND created < :stop
    AND (created, inserted, id) > (:at, :after, :last)
ORDER BY created, inserted, id LIMIT :limit

-- memories_list_desc --
SELECT space_id, id, inserted, label, description, value, metadata, tags, created, modified
FROM memories
WHERE space_id = :space AND created >= :start AND created < :stop
    AND (created, inserted, id) < (:at, :after, :last)
ORDER BY created DESC, inserted DESC, id DESC LIMIT :limit

-- memories_set_tags --
UPDATE memories SET tags = :tags, modified = CASE WHEN modified < :now THEN :now ELSE modified END
WHERE space_id = :space AND id = :id
RETURNING space_id

-- memories_delete --
DELETE FROM memories WHERE space_id = :space AND id = :id
RETURNING space_id

-- memories_walk --
-- All memories of a space, some at a time.
SELECT space_id, id, inserted, label, description, value, metadata, tags, created, modified
FROM memories WHERE space_id = :space AND id > :id ORDER BY id LIMIT :limit
