-- Copying a database into another one: its tables in the order of their keys, some rows at a time,
-- and rows stored as they are.

-- copies_find --
SELECT source, begun, finished FROM copies

-- copies_begin --
INSERT INTO copies (source, begun) VALUES (:source, :now)

-- copies_finish --
UPDATE copies SET finished = :now WHERE source = :source AND finished IS NULL

-- copies_drop --
DELETE FROM copies WHERE source = :source

-- copy_projects_put --
INSERT INTO projects (id, name, immutable, deletion_protection, created)
VALUES (:id, :name, :immutable, :deletion_protection, :created)
ON CONFLICT (id) DO UPDATE SET name = excluded.name, immutable = excluded.immutable,
    deletion_protection = excluded.deletion_protection, created = excluded.created

-- copy_keys --
SELECT project_id, id, hash, name, hint, created, revoked, admin FROM keys
WHERE project_id = :project_id AND id > :id ORDER BY id LIMIT :limit

-- copy_keys_put --
INSERT INTO keys (project_id, id, hash, name, hint, created, revoked, admin)
VALUES (:project_id, :id, :hash, :name, :hint, :created, :revoked, :admin)

-- copy_keys_drop --
DELETE FROM keys WHERE project_id = :project_id AND id = :id

-- copy_claims --
SELECT project_id, kind, id FROM claims
WHERE project_id = :project_id AND (kind, id) > (:kind, :id) ORDER BY kind, id LIMIT :limit

-- copy_dialogues --
SELECT d.space_id, d.id, d.request_id, d.thread_of, d.label, d.tags, d.total_messages,
    d.thread_count, d.last_message_created, d.version, d.created, d.modified, d.ended, d.archived,
    d.inserted, x.metadata, x.state, d.last_sequence, d.last_server_time
FROM dialogues AS d
LEFT JOIN dialogue_documents AS x ON x.space_id = d.space_id AND x.dialogue_id = d.id
WHERE d.space_id = :space AND d.id > :id
ORDER BY d.id LIMIT :limit

-- copy_dialogues_put --
INSERT INTO dialogues (space_id, id, request_id, thread_of, label, tags, total_messages,
    thread_count, last_message_created, version, created, modified, ended, archived, inserted,
    last_sequence, last_server_time)
VALUES (:space, :id, :request_id, :thread_of, :label, :tags, :total_messages,
    :thread_count, :last_message_created, :version, :created, :modified, :ended, :archived,
    :inserted, :last_sequence, :last_server_time)

-- copy_dialogues_drop --
DELETE FROM dialogues WHERE space_id = :space AND id = :id
RETURNING space_id

-- copy_documents_put --
INSERT INTO dialogue_documents (space_id, dialogue_id, metadata, state)
VALUES (:space, :id, :metadata, :state)

-- copy_messages_drop --
DELETE FROM messages
WHERE space_id = :space AND dialogue_id = :dialogue_id AND created = :created
    AND sequence = :sequence
RETURNING space_id, id, dialogue_id, sequence

-- copy_messages_drop_id --
DELETE FROM messages WHERE space_id = :space AND id = :id
RETURNING space_id, id, dialogue_id, sequence

-- copy_replies --
SELECT space_id, key, hash, made, created FROM replies
WHERE space_id = :space AND key > :key ORDER BY key LIMIT :limit

-- copy_replies_drop --
DELETE FROM replies WHERE space_id = :space AND key = :key
RETURNING space_id
