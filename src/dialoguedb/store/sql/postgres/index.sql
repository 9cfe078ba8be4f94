-- The search index's own statements. What they find names resources, which are then read by the
-- statements of these, bound to their space.

-- index_active --
SELECT generation, embedder, dimension, analyser FROM indexes WHERE active = 1

-- index_used --
-- The index in use, and one that is being built.
SELECT generation, embedder, dimension, analyser, active FROM indexes WHERE active IN (0, 1)
ORDER BY active DESC

-- index_begin --
INSERT INTO indexes (embedder, dimension, analyser, active)
VALUES (:embedder, :dimension, :analyser, :active)
ON CONFLICT DO NOTHING
RETURNING generation

-- index_measure --
-- The first answer of a remote embedder tells the dimension.
UPDATE indexes SET dimension = :dimension WHERE generation = :generation AND dimension = 0

-- index_space --
SELECT id, project_id, namespace FROM spaces WHERE id = :space_id

-- index_spaces --
SELECT id, project_id, namespace FROM spaces

-- index_total --
-- How many resources there are, for a progress bar.
SELECT
    (SELECT COUNT(*) FROM messages) + (SELECT COUNT(*) FROM dialogues)
    + (SELECT COUNT(*) FROM memories)

-- entries_put --
INSERT INTO entries (space_id, kind, owner, sequence, created, modified, image, length, counts,
    tokens, facets)
VALUES (:space, :kind, :owner, :sequence, :created, :modified, CAST(:image AS bigint) = 1, :length,
    :counts, :tokens, :facets)
ON CONFLICT (space_id, kind, owner, sequence) DO UPDATE SET created = excluded.created,
    modified = excluded.modified, image = excluded.image, length = excluded.length,
    counts = excluded.counts, tokens = excluded.tokens, facets = excluded.facets

-- entries_delete --
DELETE FROM entries
WHERE space_id = :space AND kind = :kind AND owner = :owner AND sequence = :sequence
RETURNING space_id

-- vectors_put --
INSERT INTO vectors (space_id, generation, kind, owner, sequence, piece, vector)
VALUES (:space, :generation, :kind, :owner, :sequence, :piece, :vector)
ON CONFLICT DO NOTHING

-- vectors_delete --
-- Of all generations.
DELETE FROM vectors WHERE space_id = :space AND generation IN (SELECT generation FROM indexes)
    AND kind = :kind AND owner = :owner AND sequence = :sequence
RETURNING space_id

-- waiting_put --
INSERT INTO waiting (space_id, generation, kind, owner, sequence, created)
VALUES (:space, :generation, :kind, :owner, :sequence, :created)
ON CONFLICT DO NOTHING

-- waiting_fill --
-- The vectors of one generation have come.
DELETE FROM waiting
WHERE space_id = :space AND generation = :generation AND kind = :kind AND owner = :owner
    AND sequence = :sequence
RETURNING space_id

-- waiting_delete --
-- In all generations.
DELETE FROM waiting
WHERE space_id = :space AND generation IN (SELECT generation FROM indexes) AND kind = :kind AND owner = :owner AND sequence = :sequence
RETURNING space_id

-- figures_add --
INSERT INTO figures (space_id, kind, slot, texts, words)
VALUES (:space, :kind, :slot, :texts, :words)
ON CONFLICT (space_id, kind, slot) DO UPDATE
SET texts = figures.texts + excluded.texts, words = figures.words + excluded.words

-- figures_subtract --
-- Count off what is there of a resource.
INSERT INTO figures (space_id, kind, slot, texts, words)
SELECT e.space_id, e.kind, :slot, -1, -e.length FROM entries AS e
WHERE e.space_id = :space AND e.kind = :kind AND e.owner = :owner AND e.sequence = :sequence
ON CONFLICT (space_id, kind, slot) DO UPDATE
SET texts = figures.texts + excluded.texts, words = figures.words + excluded.words
RETURNING space_id

-- index_lag --
-- How many resources wait for the vectors of the index in use.
SELECT COUNT(*) FROM waiting
WHERE generation IN (SELECT i.generation FROM indexes AS i WHERE i.active = 1)
