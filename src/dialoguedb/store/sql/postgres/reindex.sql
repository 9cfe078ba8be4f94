-- Building an index beside the one in use. These run as the owner, and one space at a time where
-- they are over user data; what they find are keys of resources.

-- index_building --
SELECT generation, embedder, dimension, analyser, progress FROM indexes WHERE active = 0

-- index_old --
SELECT generation FROM indexes WHERE active = -1

-- index_lock --
-- One at a time builds; a process that is killed holds it no more.
SELECT pg_try_advisory_lock(:number)

-- index_owner --
-- Whether this login may make an index on a table.
SELECT pg_has_role(c.relowner, 'USAGE') FROM pg_class AS c WHERE c.oid = CAST('vectors' AS regclass)

-- index_transactions --
-- The transactions that others have open in this database, also those that have only read until
-- now. A background process of the database has no user.
SELECT l.pid, l.virtualtransaction
FROM pg_locks AS l JOIN pg_stat_activity AS a ON a.pid = l.pid
WHERE l.locktype = 'virtualxid' AND l.mode = 'ExclusiveLock' AND l.granted
    AND a.datname = current_database() AND a.usesysid IS NOT NULL AND a.pid <> pg_backend_pid()

-- index_progress --
UPDATE indexes SET progress = :progress WHERE generation = :generation

-- index_wait_messages --
-- From here on a writer who changes a resource meets the one who embeds it, in its row.
INSERT INTO waiting (space_id, generation, kind, owner, sequence, created)
SELECT m.space_id, CAST(:generation AS bigint), 0, m.dialogue_id, m.sequence, m.created
FROM messages AS m WHERE m.space_id = :space
ON CONFLICT DO NOTHING

-- index_wait_dialogues --
INSERT INTO waiting (space_id, generation, kind, owner, sequence, created)
SELECT d.space_id, CAST(:generation AS bigint), 1, d.id, 0, d.created
FROM dialogues AS d WHERE d.space_id = :space
ON CONFLICT DO NOTHING

-- index_wait_memories --
INSERT INTO waiting (space_id, generation, kind, owner, sequence, created)
SELECT m.space_id, CAST(:generation AS bigint), 2, m.id, 0, m.created
FROM memories AS m WHERE m.space_id = :space
ON CONFLICT DO NOTHING

-- index_wait_entries --
-- Those too that are left of what is no more: they are to go.
INSERT INTO waiting (space_id, generation, kind, owner, sequence, created)
SELECT e.space_id, CAST(:generation AS bigint), e.kind, e.owner, e.sequence, e.created
FROM entries AS e WHERE e.space_id = :space
ON CONFLICT DO NOTHING

-- index_waiting --
SELECT w.space_id, w.kind, w.owner, w.sequence, w.created
FROM waiting AS w
WHERE w.generation = :generation AND (w.space_id, w.kind, w.owner, w.sequence)
    > (:after_space, :after_kind, :after_owner, :after_sequence)
ORDER BY w.space_id, w.kind, w.owner, w.sequence
LIMIT :most

-- index_waiting_count --
SELECT COUNT(*) FROM waiting WHERE generation = :generation

-- index_waiting_take --
DELETE FROM waiting AS w
WHERE w.space_id = :space AND w.generation = :generation AND (w.kind, w.owner, w.sequence) IN (
    SELECT k.kind, k.owner, k.sequence
    FROM unnest(CAST(:kinds AS bigint[]), CAST(:owners AS text[]), CAST(:sequences AS bigint[]))
        AS k(kind, owner, sequence)
)
RETURNING w.kind, w.owner, w.sequence

-- index_entry_mend --
-- An entry as it is to be; one that is so already is left alone, and its words in their index.
INSERT INTO entries (space_id, kind, owner, sequence, created, modified, image, length, counts,
    tokens, facets)
VALUES (:space, :kind, :owner, :sequence, :created, :modified, CAST(:image AS bigint) = 1, :length,
    :counts, :tokens, :facets)
ON CONFLICT (space_id, kind, owner, sequence) DO UPDATE SET created = excluded.created,
    modified = excluded.modified, image = excluded.image, length = excluded.length,
    counts = excluded.counts, tokens = excluded.tokens, facets = excluded.facets
WHERE (entries.created, entries.modified, entries.image, entries.length, entries.counts,
        entries.tokens, entries.facets)
    IS DISTINCT FROM (excluded.created, excluded.modified, excluded.image, excluded.length,
        excluded.counts, excluded.tokens, excluded.facets)

-- index_figures_mend --
-- Add what the figures of a space lack. Whoever writes meanwhile adds as much to both sides.
INSERT INTO figures (space_id, kind, slot, texts, words)
SELECT CAST(:space AS bigint), x.kind, 0, SUM(x.texts), SUM(x.words)
FROM (
    SELECT e.kind, COUNT(*) AS texts, SUM(e.length) AS words
    FROM entries AS e WHERE e.space_id = :space GROUP BY e.kind
    UNION ALL
    SELECT f.kind, -f.texts, -f.words FROM figures AS f WHERE f.space_id = :space
) AS x
GROUP BY x.kind
HAVING SUM(x.texts) <> 0 OR SUM(x.words) <> 0
ON CONFLICT (space_id, kind, slot) DO UPDATE
SET texts = figures.texts + excluded.texts, words = figures.words + excluded.words

-- index_retire --
UPDATE indexes SET active = -1 WHERE active = 1

-- index_activate --
UPDATE indexes SET active = 1 WHERE generation = :generation AND active = 0
RETURNING generation

-- index_give_up --
UPDATE indexes SET active = -1 WHERE generation = :generation

-- index_vectors_drop --
-- Rows by their places: by their keys, without statistics, each would be compared with each.
DELETE FROM vectors
WHERE space_id = :space AND generation = :generation AND ctid = ANY(ARRAY(
    SELECT v.ctid FROM vectors AS v
    WHERE v.space_id = :space AND v.generation = :generation LIMIT :most
))

-- index_vectors_grow --
UPDATE vectors SET grown = TRUE
WHERE space_id = :space AND generation = :generation AND ctid = ANY(ARRAY(
    SELECT v.ctid FROM vectors AS v
    WHERE v.space_id = :space AND v.generation = :generation AND NOT v.grown LIMIT :most
))

-- index_waiting_drop --
DELETE FROM waiting WHERE space_id = :space AND generation = :generation

-- index_drop --
DELETE FROM indexes WHERE generation = :generation

-- index_stray_entries --
DELETE FROM entries WHERE space_id NOT IN (SELECT s.id FROM spaces AS s)

-- index_stray_figures --
DELETE FROM figures WHERE space_id NOT IN (SELECT s.id FROM spaces AS s)

-- index_stray_vectors --
DELETE FROM vectors WHERE space_id NOT IN (SELECT s.id FROM spaces AS s)
    OR generation NOT IN (SELECT i.generation FROM indexes AS i)

-- index_stray_waiting --
DELETE FROM waiting WHERE space_id NOT IN (SELECT s.id FROM spaces AS s)
    OR generation NOT IN (SELECT i.generation FROM indexes AS i)
