-- What a search asks, over one space or those of a project (`:spaces`). What is found names
-- resources, which are read by statements of their own, bound to their space; each row brings its
-- space, which is compared with those that were asked for. `TRUE /* conditions */` is replaced by
-- the filters below that the request has, `TRUE /* entry */` by `filter_entry` if there are any.
-- Planned anew each time: plans depend on the values.

-- search_spaces --
SELECT s.id, s.namespace, s.project_id FROM spaces AS s
WHERE s.project_id = :project_id AND (:space = 0 OR s.id = :space)

-- index_grown --
-- How many vectors a graph holds, about.
SELECT CAST(c.reltuples AS bigint) FROM pg_class AS c WHERE c.oid = to_regclass(:name)

-- search_figures --
-- How many texts of each kind there are, and how many words they have.
SELECT f.space_id, f.kind, CAST(SUM(f.texts) AS bigint), CAST(SUM(f.words) AS bigint)
FROM figures AS f
WHERE f.space_id = ANY(:spaces)
GROUP BY f.space_id, f.kind

-- search_sample --
-- Of a sample of all texts (place 0) and of those of them that hold each word: how many there are,
-- and how many of all pass.
WITH sample AS MATERIALIZED (
    SELECT e.space_id, e.tokens, TRUE /* conditions */ AS passes
    FROM entries AS e
    WHERE e.tokens && CAST(:sample AS bigint[]) AND e.space_id = ANY(:spaces) AND e.kind = :kind
)
SELECT 0 AS place, MIN(s.space_id) AS lowest, MAX(s.space_id) AS highest, COUNT(*) AS texts,
    COUNT(*) FILTER (WHERE s.passes) AS passing
FROM sample AS s
UNION ALL
SELECT w.place, MIN(s.space_id), MAX(s.space_id), COUNT(*), 0
FROM sample AS s
JOIN unnest(CAST(:words AS bigint[])) WITH ORDINALITY AS w(token, place)
    ON s.tokens @> ARRAY[w.token]
GROUP BY w.place

-- search_holders --
-- How many texts hold each of some words.
SELECT w.place, h.lowest, h.highest, h.texts
FROM unnest(CAST(:rare AS bigint[])) WITH ORDINALITY AS w(token, place)
CROSS JOIN LATERAL (
    SELECT MIN(e.space_id) AS lowest, MAX(e.space_id) AS highest, COUNT(*) AS texts
    FROM entries AS e
    WHERE e.tokens @> ARRAY[w.token] AND e.kind = :kind AND e.space_id = ANY(:spaces)
) AS h

-- search_every --
-- All texts of a kind, with what a rank is made of.
SELECT e.space_id, e.owner, e.created, e.sequence, e.length, TRUE /* conditions */,
    (
        SELECT MAX(-(v.vector <#> CAST(:vector AS halfvec))) FROM vectors AS v
        WHERE v.space_id = e.space_id AND v.space_id = ANY(:spaces)
            AND v.generation = :generation AND v.kind = e.kind
            AND v.owner = e.owner AND v.sequence = e.sequence
    ),
    CASE WHEN e.tokens && CAST(:words AS bigint[]) THEN (
        SELECT array_agg(
            COALESCE(
                get_byte(
                    e.counts,
                    mod(array_position(e.tokens, w.token) - 1, octet_length(e.counts))
                ), 0
            ) ORDER BY w.place
        )
        FROM unnest(CAST(:words AS bigint[])) WITH ORDINALITY AS w(token, place)
    ) END,
    e.tokens && CAST(:speakers AS bigint[])
FROM entries AS e
WHERE e.space_id = ANY(:spaces) AND e.kind = :kind

-- search_some --
-- The same of some texts; how near their meaning is, only where it is wanted. LIMIT 1: each is
-- looked up by its key, where the planner would rather read all of the space.
SELECT e.space_id, e.owner, e.created, e.sequence, e.length, k.wanted = 1 AND TRUE /* conditions */,
    CASE WHEN k.wanted = 1 THEN (
        SELECT MAX(-(v.vector <#> CAST(:vector AS halfvec))) FROM vectors AS v
        WHERE v.space_id = e.space_id AND v.space_id = ANY(:spaces)
            AND v.generation = :generation AND v.kind = e.kind
            AND v.owner = e.owner AND v.sequence = e.sequence
    ) END,
    CASE WHEN e.tokens && CAST(:words AS bigint[]) THEN (
        SELECT array_agg(
            COALESCE(
                get_byte(
                    e.counts,
                    mod(array_position(e.tokens, w.token) - 1, octet_length(e.counts))
                ), 0
            ) ORDER BY w.place
        )
        FROM unnest(CAST(:words AS bigint[])) WITH ORDINALITY AS w(token, place)
    ) END,
    k.wanted = 1 AND e.tokens && CAST(:speakers AS bigint[])
FROM unnest(
    CAST(:key_spaces AS bigint[]), CAST(:key_owners AS text[]), CAST(:key_sequences AS bigint[]),
    CAST(:key_wanted AS bigint[])
) AS k(space_id, owner, sequence, wanted)
CROSS JOIN LATERAL (
    SELECT * FROM entries AS x
    WHERE x.space_id = k.space_id AND x.space_id = ANY(:spaces) AND x.kind = :kind
        AND x.owner = k.owner AND x.sequence = k.sequence
    LIMIT 1
) AS e

-- search_by_words --
-- The texts that promise most by their own words, among those that hold one of the rarer; and how
-- near their meaning is.
SELECT h.space_id, h.owner, h.sequence, h.created, h.promise, (
        SELECT MAX(-(v.vector <#> CAST(:vector AS halfvec))) FROM vectors AS v
        WHERE v.space_id = h.space_id AND v.space_id = ANY(:spaces)
            AND v.generation = :generation AND v.kind = :kind
            AND v.owner = h.owner AND v.sequence = h.sequence
    ) AS likeness
FROM (
    SELECT e.space_id, e.owner, e.sequence, e.created,
        (
            SELECT SUM(w.weight * c.count / (c.count + 1.0))
            FROM unnest(CAST(:words AS bigint[]), CAST(:weights AS float8[])) AS w(token, weight)
            CROSS JOIN LATERAL (
                SELECT get_byte(
                    e.counts, mod(array_position(e.tokens, w.token) - 1, octet_length(e.counts))
                ) AS count
            ) AS c
        ) AS promise
    FROM (
        SELECT e.space_id, e.owner, e.sequence, e.created, e.counts, e.tokens FROM entries AS e
        WHERE e.tokens && CAST(:rarer AS bigint[]) AND e.space_id = ANY(:spaces)
            AND e.kind = :kind AND TRUE /* conditions */
        LIMIT :bound
    ) AS e
    ORDER BY promise DESC, e.created DESC, e.sequence DESC LIMIT :most
) AS h
ORDER BY h.promise DESC, h.created DESC, h.sequence DESC

-- search_by_meaning --
-- The texts that are nearest, exactly.
SELECT n.space_id, n.owner, n.sequence, e.created, MAX(-n.distance) AS likeness
FROM (
    SELECT v.space_id, v.owner, v.sequence, v.vector <#> CAST(:vector AS halfvec) AS distance
    FROM vectors AS v
    WHERE v.space_id = ANY(:spaces) AND v.generation = :generation AND v.kind = :kind
    ORDER BY distance LIMIT :most
) AS n
CROSS JOIN LATERAL (
    SELECT x.created FROM entries AS x
    WHERE x.space_id = n.space_id AND x.space_id = ANY(:spaces) AND x.kind = :kind
        AND x.owner = n.owner AND x.sequence = n.sequence
    LIMIT 1
) AS e
GROUP BY n.space_id, n.owner, n.sequence, e.created
ORDER BY likeness DESC

-- search_passing_by_meaning --
-- The same of the texts that pass: first those, then the vectors of each by its key.
WITH passing AS MATERIALIZED (
    SELECT e.space_id, e.owner, e.sequence, e.created FROM entries AS e
    WHERE e.space_id = ANY(:spaces) AND e.kind = :kind AND TRUE /* conditions */
)
SELECT p.space_id, p.owner, p.sequence, p.created, n.likeness
FROM passing AS p
CROSS JOIN LATERAL (
    SELECT MAX(-(v.vector <#> CAST(:vector AS halfvec))) AS likeness FROM vectors AS v
    WHERE v.space_id = p.space_id AND v.space_id = ANY(:spaces)
        AND v.generation = :generation AND v.kind = :kind
        AND v.owner = p.owner AND v.sequence = p.sequence
) AS n
WHERE n.likeness IS NOT NULL
ORDER BY n.likeness DESC LIMIT :most

-- graph_reach --
-- How many vectors a search by the graph looks at, in this transaction.
SELECT set_config('hnsw.ef_search', :reach, true)

-- search_graph --
-- The texts that are nearest, by the graph, and exactly those that are not in it yet. The numbers
-- of the index and of its dimension stand in the text: the graph is that of one index.
WITH near AS (
    (
        SELECT v.space_id, v.owner, v.sequence,
            v.vector::halfvec(/* dimension */) <#> CAST(:vector AS halfvec) AS distance
        FROM vectors AS v
        WHERE v.grown AND v.generation = /* generation */ AND v.space_id = ANY(:spaces)
            AND v.kind = :kind AND TRUE /* entry */
        ORDER BY v.vector::halfvec(/* dimension */) <#> CAST(:vector AS halfvec) LIMIT :most
    )
    UNION ALL
    (
        SELECT v.space_id, v.owner, v.sequence, v.vector <#> CAST(:vector AS halfvec) AS distance
        FROM vectors AS v
        WHERE NOT v.grown AND v.generation = /* generation */ AND v.space_id = ANY(:spaces)
            AND v.kind = :kind AND TRUE /* entry */
        ORDER BY distance LIMIT :most
    )
)
SELECT n.space_id, n.owner, n.sequence, e.created, MAX(-n.distance) AS likeness
FROM near AS n
CROSS JOIN LATERAL (
    SELECT x.created FROM entries AS x
    WHERE x.space_id = n.space_id AND x.space_id = ANY(:spaces) AND x.kind = :kind
        AND x.owner = n.owner AND x.sequence = n.sequence
    LIMIT 1
) AS e
GROUP BY n.space_id, n.owner, n.sequence, e.created
ORDER BY likeness DESC LIMIT :most

-- search_passing --
-- All texts that pass the filters, the latest first.
SELECT e.space_id, e.owner, e.sequence, e.created, 0
FROM entries AS e
WHERE e.space_id = ANY(:spaces) AND e.kind = :kind AND TRUE /* conditions */
ORDER BY e.created DESC, e.sequence DESC LIMIT :most

-- search_around --
-- The messages before and after some in their dialogues, as many of each as is asked for, and how
-- many steps away they are.
SELECT m.space_id, m.dialogue_id, m.sequence, m.created, m.step
FROM unnest(
    CAST(:key_spaces AS bigint[]), CAST(:key_owners AS text[]), CAST(:key_created AS bigint[]),
    CAST(:key_sequences AS bigint[]), CAST(:key_reach AS bigint[])
) AS k(space_id, owner, created, sequence, reach)
CROSS JOIN LATERAL (
    (
        SELECT b.space_id, b.dialogue_id, b.sequence, b.created,
            row_number() OVER (ORDER BY b.created DESC, b.sequence DESC) AS step
        FROM messages AS b
        WHERE b.space_id = k.space_id AND b.space_id = ANY(:spaces) AND b.dialogue_id = k.owner
            AND (b.created, b.sequence) < (k.created, k.sequence)
        ORDER BY b.created DESC, b.sequence DESC LIMIT k.reach
    )
    UNION ALL
    (
        SELECT a.space_id, a.dialogue_id, a.sequence, a.created,
            row_number() OVER (ORDER BY a.created, a.sequence) AS step
        FROM messages AS a
        WHERE a.space_id = k.space_id AND a.space_id = ANY(:spaces) AND a.dialogue_id = k.owner
            AND (a.created, a.sequence) > (k.created, k.sequence)
        ORDER BY a.created, a.sequence LIMIT k.reach
    )
) AS m

-- search_dialogues --
-- When some dialogues were made, of those that pass.
SELECT e.space_id, e.owner, e.sequence, e.created, 0
FROM unnest(CAST(:key_spaces AS bigint[]), CAST(:key_owners AS text[])) AS k(space_id, owner)
JOIN entries AS e ON e.space_id = k.space_id AND e.kind = 1 AND e.owner = k.owner
    AND e.sequence = 0
WHERE e.space_id = ANY(:spaces) AND TRUE /* conditions */

-- search_messages --
-- What some messages hold: the rows that `messages_at` gives of each.
SELECT m.space_id, m.dialogue_id, m.created, m.sequence, m.id, m.role, m.name, m.content,
    m.content_length, m.preview, m.metadata, m.tags, m.modified
FROM unnest(
    CAST(:key_spaces AS bigint[]), CAST(:key_owners AS text[]), CAST(:key_created AS bigint[]),
    CAST(:key_sequences AS bigint[])
) AS k(space_id, owner, created, sequence)
CROSS JOIN LATERAL (
    SELECT * FROM messages AS x
    WHERE x.space_id = k.space_id AND x.space_id = ANY(:spaces) AND x.dialogue_id = k.owner
        AND x.created = k.created AND x.sequence = k.sequence
    LIMIT 1
) AS m

-- filter_entry --
-- A vector counts where its text passes. OFFSET 0: it is asked of each that the graph names.
EXISTS (
    SELECT 1 FROM entries AS e
    WHERE e.space_id = v.space_id AND e.space_id = ANY(:spaces) AND e.kind = v.kind
        AND e.owner = v.owner AND e.sequence = v.sequence AND TRUE /* conditions */
    OFFSET 0
)

-- filter_created --
e.created >= :created_start AND e.created < :created_stop

-- filter_modified --
e.modified >= :modified_start AND e.modified < :modified_stop

-- filter_modified_dialogue --
-- A message that comes or goes modifies its dialogue, and not the entry of that.
EXISTS (
    SELECT 1 FROM dialogues AS x
    WHERE x.space_id = e.space_id AND x.space_id = ANY(:spaces) AND x.id = e.owner
        AND x.modified >= :modified_start AND x.modified < :modified_stop
)

-- filter_date --
-- A superset: on such a date in some time zone. Who asked holds the exact test against the result.
EXISTS (
    SELECT 1 FROM generate_series(-1, 1) AS near(days)
    CROSS JOIN LATERAL (
        SELECT to_timestamp((div(:time, 86400000) + near.days) * 86400) AT TIME ZONE 'UTC' AS day
    ) AS t
    WHERE (:year = 0 OR EXTRACT(YEAR FROM t.day) = :year)
        AND (:month = 0 OR EXTRACT(MONTH FROM t.day) = :month)
        AND (:day = 0 OR EXTRACT(DAY FROM t.day) = :day)
)

-- filter_image --
e.image = (:image = 1)

-- filter_nothing --
FALSE

-- filter_dialogue --
e.owner = :dialogue_id

-- filter_thread --
EXISTS (
    SELECT 1 FROM dialogues AS x
    WHERE x.space_id = e.space_id AND x.space_id = ANY(:spaces) AND x.id = e.owner
        AND x.thread_of = :thread_of
)

-- filter_values --
e.tokens && CAST(:values AS bigint[])

-- filter_numbers --
EXISTS (
    SELECT 1 FROM unnest(e.facets) AS f(text)
    WHERE CASE WHEN starts_with(f.text, :prefix) THEN CASE :relation
        WHEN '$gt' THEN CAST(substr(f.text, length(:prefix) + 1) AS numeric) > CAST(:operand AS numeric)
        WHEN '$gte' THEN CAST(substr(f.text, length(:prefix) + 1) AS numeric) >= CAST(:operand AS numeric)
        WHEN '$lt' THEN CAST(substr(f.text, length(:prefix) + 1) AS numeric) < CAST(:operand AS numeric)
        ELSE CAST(substr(f.text, length(:prefix) + 1) AS numeric) <= CAST(:operand AS numeric)
    END ELSE FALSE END
)

-- filter_texts --
EXISTS (
    SELECT 1 FROM unnest(e.facets) AS f(text)
    WHERE starts_with(f.text, :prefix) AND CASE :relation
        WHEN '$gt' THEN substr(f.text, length(:prefix) + 1) > CAST(:operand AS text) COLLATE "C"
        WHEN '$gte' THEN substr(f.text, length(:prefix) + 1) >= CAST(:operand AS text) COLLATE "C"
        WHEN '$lt' THEN substr(f.text, length(:prefix) + 1) < CAST(:operand AS text) COLLATE "C"
        ELSE substr(f.text, length(:prefix) + 1) <= CAST(:operand AS text) COLLATE "C"
    END
)

-- filter_unnamed --
-- The namespace is its space's where the metadata has no such key.
(e.space_id = ANY(:good_spaces) AND NOT EXISTS (
    SELECT 1 FROM unnest(e.facets) AS f(text) WHERE starts_with(f.text, :prefix)
))

-- filter_of_dialogue --
-- A message counts only where its dialogue is there, and is as asked.
EXISTS (
    SELECT 1 FROM entries AS d
    WHERE d.space_id = e.space_id AND d.space_id = ANY(:spaces) AND d.kind = 1 AND d.owner = e.owner AND d.sequence = 0
        AND TRUE /* conditions */
)
