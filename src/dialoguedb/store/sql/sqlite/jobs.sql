-- jobs_now --
-- The time by which jobs are leased: that of the one machine.
SELECT CAST(:now AS INTEGER)

-- jobs_add --
-- A job that is there already is not another one.
INSERT INTO jobs (kind, key, project_id, space_id, payload, run_at, created)
VALUES (:kind, :key, :project_id, :space_id, :payload, :now + :delay_ms, :now)
ON CONFLICT (kind, key) DO NOTHING
RETURNING key

-- jobs_due --
-- Whether there is one: a write would keep others waiting.
SELECT 1 FROM jobs AS j
WHERE j.failed IS NULL AND j.run_at <= :now AND j.leased_until < :now
    AND j.kind IN (SELECT k.value FROM json_each(:kinds) AS k)
LIMIT 1

-- jobs_claim --
UPDATE jobs SET lease = :lease, leased_until = :now + :lease_ms, attempts = attempts + 1
WHERE (kind, key) = (
    SELECT j.kind, j.key FROM jobs AS j
    WHERE j.failed IS NULL AND j.run_at <= :now AND j.leased_until < :now
        AND j.kind IN (SELECT k.value FROM json_each(:kinds) AS k)
    ORDER BY j.run_at, j.kind, j.key LIMIT 1
)
RETURNING kind, key, project_id, space_id, payload, attempts, lease
