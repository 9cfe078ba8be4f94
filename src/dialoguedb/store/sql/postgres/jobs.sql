-- Jobs are leased by the clock of the database: those of workers may differ.

-- jobs_now --
SELECT CAST(EXTRACT(EPOCH FROM statement_timestamp()) * 1000 AS bigint)

-- jobs_add --
-- A job that is there already is not another one.
INSERT INTO jobs (kind, key, project_id, space_id, payload, run_at, created)
SELECT :kind, :key, :project_id, :space_id, :payload, n.now + :delay_ms, n.now
FROM (SELECT CAST(EXTRACT(EPOCH FROM statement_timestamp()) * 1000 AS bigint) AS now) AS n
ON CONFLICT (kind, key) DO NOTHING
RETURNING key

-- jobs_claim --
-- Each worker passes over what another one is taking at this moment.
UPDATE jobs SET lease = :lease, attempts = attempts + 1,
    leased_until = CAST(EXTRACT(EPOCH FROM statement_timestamp()) * 1000 AS bigint) + :lease_ms
WHERE (kind, key) = (
    SELECT j.kind, j.key FROM jobs AS j
    WHERE j.failed IS NULL
        AND j.run_at <= CAST(EXTRACT(EPOCH FROM statement_timestamp()) * 1000 AS bigint)
        AND j.leased_until < CAST(EXTRACT(EPOCH FROM statement_timestamp()) * 1000 AS bigint)
        AND j.kind IN (SELECT k.value FROM json_array_elements_text(CAST(:kinds AS json)) AS k)
    ORDER BY j.run_at, j.kind, j.key LIMIT 1
    FOR UPDATE SKIP LOCKED
)
RETURNING kind, key, project_id, space_id, payload, attempts, lease

-- jobs_feed --
-- Whoever adds to what a job is about holds this until it is committed; see `jobs_close`.
SELECT pg_advisory_xact_lock_shared(hashtextextended(:name, 0))

-- jobs_close --
-- Waits for all who are adding, and holds off those who come: what is found now is all there is.
SELECT pg_advisory_xact_lock(hashtextextended(:name, 0))

-- index_behind --
-- Spaces in which texts wait for the vectors of an index.
SELECT DISTINCT w.space_id FROM waiting AS w
WHERE w.generation = :generation AND NOT w.refused LIMIT :most

-- waiting_some --
SELECT space_id, kind, owner, created, sequence FROM waiting
WHERE space_id = :space AND generation = :generation AND NOT refused
ORDER BY kind, owner, sequence LIMIT :limit

-- waiting_refuse --
-- It is not sent again: it would hold up the others.
UPDATE waiting SET refused = TRUE
WHERE space_id = :space AND generation = :generation AND kind = :kind AND owner = :owner
    AND sequence = :sequence
RETURNING space_id

-- index_large --
-- Projects that have more texts than are searched one by one.
SELECT s.project_id FROM figures AS f JOIN spaces AS s ON s.id = f.space_id
GROUP BY s.project_id HAVING SUM(f.texts) > :least

-- index_beside --
-- Spaces of a project with vectors that are not in the graph.
SELECT DISTINCT v.space_id FROM vectors AS v JOIN spaces AS s ON s.id = v.space_id
WHERE v.generation = :generation AND NOT v.grown AND s.project_id = :project_id LIMIT :most

-- vectors_grow --
-- Have some vectors of a space in the graph.
-- By their places, which are those of one node: the plan is good without statistics of the table.
UPDATE vectors SET grown = TRUE
WHERE space_id = :space AND ctid = ANY(ARRAY(
    SELECT v.ctid FROM vectors AS v
    WHERE v.space_id = :space AND v.generation = :generation AND NOT v.grown LIMIT :most
))
RETURNING space_id
