-- The index's own statements. They run over all spaces: the index sorts what they give into the
-- shelves of its projects, and nothing of them is an answer.

-- changes_add --
INSERT INTO changes (space_id, generation, packed, entries)
VALUES (:space, :generation, :packed, :entries)
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
SELECT number, space_id, generation, packed, entries FROM changes
WHERE number > :after ORDER BY number LIMIT :most

-- index_trim --
DELETE FROM changes WHERE number > :after AND number <= :upto

-- index_trim_old --
-- What an index reached that was built anew; some at a time.
DELETE FROM changes WHERE number IN (
    SELECT number FROM changes WHERE number <= :upto ORDER BY number LIMIT :most
)

-- index_total --
-- How many resources there are, for a progress bar.
SELECT
    (SELECT COUNT(*) FROM messages) + (SELECT COUNT(*) FROM dialogues)
    + (SELECT COUNT(*) FROM memories)

-- index_built --
SELECT COALESCE(SUM(size), 0) FROM index_blocks WHERE generation = :generation

-- index_blocks_all --
SELECT space_id, data FROM index_blocks WHERE generation = :generation
ORDER BY space_id, number

-- index_blocks_last --
SELECT number, size FROM index_blocks WHERE space_id = :space_id AND generation = :generation
ORDER BY number DESC LIMIT 16

-- index_block --
SELECT data FROM index_blocks
WHERE space_id = :space_id AND generation = :generation AND number = :number

-- index_block_numbers --
SELECT number FROM index_blocks WHERE space_id = :space_id AND generation = :generation
ORDER BY number

-- index_block_replace --
UPDATE index_blocks SET size = :size, data = :data
WHERE space_id = :space_id AND generation = :generation AND number = :number

-- index_block_put --
INSERT INTO index_blocks (space_id, generation, number, size, data)
VALUES (:space_id, :generation, :number, :size, :data)

-- index_blocks_drop --
DELETE FROM index_blocks
WHERE space_id = :space_id AND generation = :generation AND number >= :number

-- index_strays --
-- Blocks of what has been erased: there are none.
SELECT COUNT(*) FROM index_blocks WHERE space_id NOT IN (SELECT id FROM spaces)

-- index_reach --
UPDATE indexes SET since = :since WHERE generation = :generation

-- index_advance --
-- A step of a build, only where nobody else has taken one, or given the build up.
UPDATE indexes SET progress = :progress, since = :since
WHERE generation = :generation AND active = 0 AND progress = :progress_before
    AND since = :since_before
RETURNING generation

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
