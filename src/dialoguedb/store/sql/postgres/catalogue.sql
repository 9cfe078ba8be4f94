-- spaces_insert --
-- A space is made by the first write into it, and only in a project that is there. Here and not in
-- both/: another process may make it at the same time.
INSERT INTO spaces (project_id, namespace)
SELECT p.id, :namespace FROM projects AS p WHERE p.id = :project_id AND p.deleting IS NULL
ON CONFLICT (project_id, namespace) DO NOTHING
RETURNING id

-- transaction_horizon --
-- The number from which on transactions may still be running, and the next one to be given.
SELECT CAST(CAST(pg_snapshot_xmin(pg_current_snapshot()) AS text) AS bigint),
    CAST(CAST(pg_snapshot_xmax(pg_current_snapshot()) AS text) AS bigint)

-- position_now --
-- Where the log of writes ends.
SELECT CAST(pg_current_wal_lsn() AS text)

-- position_reached --
-- Whether a replica has what stands before a position.
SELECT pg_last_wal_replay_lsn() >= CAST(:position AS pg_lsn)
