-- copy_others --
-- How many other connections of DialogueDB there are. Here and not in both/: a file has none.
SELECT COUNT(*) FROM pg_stat_activity
WHERE datname = current_database() AND application_name = 'dialoguedb'
    AND pid <> pg_backend_pid()

-- copy_schema --
-- Whether this is a database of ours.
SELECT COUNT(*) FROM pg_tables WHERE schemaname = current_schema() AND tablename = 'migrations'

-- copy_hold --
-- Whoever reads goes on; whoever would write waits.
LOCK TABLE projects, keys, spaces, claims, dialogues, dialogue_documents, tombstones, messages,
    memories, summaries, replies IN SHARE MODE
