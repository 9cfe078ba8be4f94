-- Comparing the index with the rows; and of a few resources, what the index holds of them. Their
-- keys are three arrays of one length.

-- entries_at --
SELECT e.space_id, e.kind, e.owner, e.sequence, e.created, e.modified, e.image, e.length, e.counts,
    e.tokens, e.facets
FROM entries AS e
WHERE e.space_id = :space AND (e.kind, e.owner, e.sequence) IN (
    SELECT k.kind, k.owner, k.sequence
    FROM unnest(CAST(:kinds AS bigint[]), CAST(:owners AS text[]), CAST(:sequences AS bigint[]))
        AS k(kind, owner, sequence)
)

-- vectors_at --
SELECT v.space_id, v.kind, v.owner, v.sequence, v.vector
FROM vectors AS v
WHERE v.space_id = :space AND v.generation = :generation AND (v.kind, v.owner, v.sequence) IN (
    SELECT k.kind, k.owner, k.sequence
    FROM unnest(CAST(:kinds AS bigint[]), CAST(:owners AS text[]), CAST(:sequences AS bigint[]))
        AS k(kind, owner, sequence)
)
ORDER BY v.kind, v.owner, v.sequence, v.piece

-- waiting_at --
SELECT w.space_id, w.kind, w.owner, w.sequence
FROM waiting AS w
WHERE w.space_id = :space AND w.generation = :generation AND (w.kind, w.owner, w.sequence) IN (
    SELECT k.kind, k.owner, k.sequence
    FROM unnest(CAST(:kinds AS bigint[]), CAST(:owners AS text[]), CAST(:sequences AS bigint[]))
        AS k(kind, owner, sequence)
)

-- entries_left_messages --
-- Entries of a space whose resource is no more; the kinds are those of `search/entries.py`.
SELECT e.space_id, e.kind, e.owner, e.sequence
FROM entries AS e
WHERE e.space_id = :space AND e.kind = 0 AND NOT EXISTS (
    SELECT 1 FROM messages AS m
    WHERE m.space_id = :space AND m.dialogue_id = e.owner AND m.created = e.created
        AND m.sequence = e.sequence
)

-- entries_left_dialogues --
SELECT e.space_id, e.kind, e.owner, e.sequence
FROM entries AS e
WHERE e.space_id = :space AND e.kind = 1 AND NOT EXISTS (
    SELECT 1 FROM dialogues AS d WHERE d.space_id = :space AND d.id = e.owner
)

-- entries_left_memories --
SELECT e.space_id, e.kind, e.owner, e.sequence
FROM entries AS e
WHERE e.space_id = :space AND e.kind = 2 AND NOT EXISTS (
    SELECT 1 FROM memories AS m WHERE m.space_id = :space AND m.id = e.owner
)

-- vectors_left --
-- Vectors of an index without an entry.
SELECT DISTINCT v.space_id, v.kind, v.owner, v.sequence
FROM vectors AS v
WHERE v.space_id = :space AND v.generation = :generation AND NOT EXISTS (
    SELECT 1 FROM entries AS e
    WHERE e.space_id = :space AND e.kind = v.kind AND e.owner = v.owner
        AND e.sequence = v.sequence
)

-- figures_kept --
SELECT f.space_id, f.kind, CAST(SUM(f.texts) AS bigint), CAST(SUM(f.words) AS bigint)
FROM figures AS f
WHERE f.space_id = :space
GROUP BY f.space_id, f.kind

-- figures_counted --
-- What the figures are to be.
SELECT e.space_id, e.kind, COUNT(*), CAST(SUM(e.length) AS bigint)
FROM entries AS e
WHERE e.space_id = :space
GROUP BY e.space_id, e.kind

-- index_strays --
-- Rows of the index that are of no space, or of no index: there are none.
SELECT
    (SELECT COUNT(*) FROM entries AS e WHERE e.space_id NOT IN (SELECT s.id FROM spaces AS s))
    + (SELECT COUNT(*) FROM figures AS f WHERE f.space_id NOT IN (SELECT s.id FROM spaces AS s))
    + (
        SELECT COUNT(*) FROM vectors AS v
        WHERE v.space_id NOT IN (SELECT s.id FROM spaces AS s)
            OR v.generation NOT IN (SELECT i.generation FROM indexes AS i)
    ) + (
        SELECT COUNT(*) FROM waiting AS w
        WHERE w.space_id NOT IN (SELECT s.id FROM spaces AS s)
            OR w.generation NOT IN (SELECT i.generation FROM indexes AS i)
    )
