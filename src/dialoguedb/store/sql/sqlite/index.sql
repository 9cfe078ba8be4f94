-- The index's own statements. They run over all spaces: the index sorts what they give into the
-- shelves of its projects, and nothing of them is an answer.

-- changes_add --
INSERT INTO changes (space_id, generation, entries) VALUES (:space, :generation, :entries)
RETURNING space_id, number

-- index_active --
SELECT generation, embedder, dimension, analyser, since FROM indexes WHERE active = 1

-- index_building --
SELECT generation, embedder, dimension, analyser, since, progress FROM indexes WHERE active = 0

-- index_begin --
INSERT INTO indexes (embedder, dimension, analyser, active, since, progress)
VALUES (:embedder, :dimension, :analyser, :active, :since, '')
RETURNING generation

-- index_measure --
-- The first answer of a remote embedder tells the dimension.
UPDATE indexes SET dimension = :dimension WHERE generation = :generation

-- index_last_change --
SELECT MAX(number) FROM changes

-- index_changes --
SELECT number, space_id, generation, entries FROM changes
WHERE number > :after ORDER BY number LIMIT :most

-- index_trim --
DELETE FROM changes WHERE number <= :upto

-- index_blocks_all --
SELECT space_id, data FROM index_blocks WHERE generation = :generation
ORDER BY space_id, number

-- index_blocks_last --
SELECT number, size FROM index_blocks WHERE space_id = :space_id AND generation = :generation
ORDER BY number DESC LIMIT 16

-- index_block --
SELECT data FROM index_blocks
WHERE space_id = :space_id AND generation = :generation AND number = :number

-- index_block_put --
INSERT INTO index_blocks (space_id, generation, number, size, data)
VALUES (:space_id, :generation, :number, :size, :data)

-- index_blocks_drop --
DELETE FROM index_blocks
WHERE space_id = :space_id AND generation = :generation AND number >= :number

-- index_reach --
UPDATE indexes SET since = :since WHERE generation = :generation

-- index_progress --
UPDATE indexes SET progress = :progress WHERE generation = :generation

-- index_activate --
UPDATE indexes SET active = CASE WHEN generation = :generation THEN 1 ELSE -1 END

-- index_give_up --
UPDATE indexes SET active = -1 WHERE generation = :generation

-- index_old --
SELECT generation FROM indexes WHERE active = -1

-- index_old_blocks_drop --
DELETE FROM index_blocks WHERE rowid IN (
    SELECT rowid FROM index_blocks WHERE generation = :generation LIMIT :most
)

-- index_drop --
DELETE FROM indexes WHERE generation = :generation

-- index_spaces --
SELECT id, project_id, namespace FROM spaces

-- index_space --
SELECT id, project_id, namespace FROM spaces WHERE id = :space_id
