-- spaces_insert --
-- A space is made by the first write into it, and only in a project that is there. Here and not in
-- both/: another process may make it at the same time.
INSERT INTO spaces (project_id, namespace)
SELECT p.id, :namespace FROM projects AS p WHERE p.id = :project_id AND p.deleting IS NULL
ON CONFLICT (project_id, namespace) DO NOTHING
RETURNING id

-- claims_hold --
-- Before `claims_take`: whoever has deleted what has the id since this transaction began is met here,
-- since an INSERT passes over a row that is gone, and would go on without what was left behind.
SELECT id FROM claims WHERE project_id = :project_id AND kind = :kind AND id = :id FOR KEY SHARE

-- position_now --
-- Where the log of writes ends, written or not: whoever has all before it has each commit.
SELECT CAST(pg_current_wal_insert_lsn() AS text)

-- position_reached --
-- Whether a replica has what stands before a position. One that follows nobody may have come as far
-- along another history, that of a primary which has been replaced.
SELECT pg_last_wal_replay_lsn() >= CAST(:position AS pg_lsn)
    AND EXISTS (SELECT 1 FROM pg_stat_wal_receiver AS r WHERE r.pid IS NOT NULL)

-- turn_take --
-- Held by the connection until `turn_end`, or its end.
SELECT pg_advisory_lock(:number)

-- turn_end --
SELECT pg_advisory_unlock_all()
