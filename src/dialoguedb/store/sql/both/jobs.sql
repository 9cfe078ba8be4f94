-- Jobs: what is to be done in the background. They are of no space; those of a project go with it.

-- jobs_renew --
-- Whoever still holds a job holds it for longer.
UPDATE jobs SET leased_until = :until WHERE kind = :kind AND key = :key AND lease = :lease

-- jobs_finish --
-- Goes with the effect, in one transaction: only one who holds the job can commit it.
DELETE FROM jobs WHERE kind = :kind AND key = :key AND lease = :lease

-- jobs_drop --
-- There is nothing to do any more; whoever holds it can commit nothing.
DELETE FROM jobs WHERE kind = :kind AND key = :key

-- jobs_put_back --
UPDATE jobs SET lease = '', leased_until = 0, run_at = :run_at, attempts = :attempts
WHERE kind = :kind AND key = :key AND lease = :lease

-- jobs_give_up --
UPDATE jobs SET lease = '', leased_until = 0, failed = :reason
WHERE kind = :kind AND key = :key AND lease = :lease

-- jobs_retry --
UPDATE jobs SET failed = NULL, attempts = 0, run_at = :now
WHERE kind = :kind AND key = :key AND failed IS NOT NULL

-- jobs_list --
SELECT kind, key, project_id,
    CASE
        WHEN failed IS NOT NULL THEN 'failed'
        WHEN leased_until >= :now THEN 'running'
        WHEN run_at > :now THEN 'later'
        ELSE 'due'
    END,
    attempts, run_at, created, failed
FROM jobs ORDER BY created, kind, key

-- jobs_of_project --
-- What is still to be done for a project that has been erased, and the erasing itself.
DELETE FROM jobs WHERE project_id = :project_id OR (kind = 'erase' AND key = :project_id)

-- jobs_space --
-- The space that a job is about, unless its project is being deleted.
SELECT s.project_id, s.namespace FROM spaces AS s JOIN projects AS p ON p.id = s.project_id
WHERE s.id = :space_id AND p.deleting IS NULL
