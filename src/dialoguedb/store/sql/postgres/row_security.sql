-- Row-level security: what a transaction says of itself before it does anything. See
-- `store/upkeep/row_security.py`.

-- row_security_on --
-- A row, if user data is secured.
SELECT relname FROM pg_class WHERE oid = to_regclass('dialogues') AND relrowsecurity

-- confine_spaces --
SELECT set_config('dialoguedb.spaces', :spaces, true),
    set_config('dialoguedb.project', :project_id, true)

-- confine_project --
SELECT set_config('dialoguedb.spaces', (
        SELECT '{' || COALESCE(string_agg(CAST(s.id AS text), ','), '') || '}'
        FROM spaces AS s WHERE s.project_id = :project_id
    ), true),
    set_config('dialoguedb.project', :project_id, true)

-- confine_role --
-- For one statement that looks after all spaces, and back.
SELECT set_config('role', :role, true)
