-- dialogues_get --
SELECT d.space_id, d.id, d.request_id, d.thread_of, d.label, d.tags, d.total_messages,
    d.thread_count, d.last_message_created, d.version, d.created, d.modified, d.ended, d.archived,
    d.inserted, x.metadata, x.state
FROM dialogues AS d
LEFT JOIN dialogue_documents AS x ON x.space_id = d.space_id AND x.dialogue_id = d.id
WHERE d.space_id = :space AND d.id = :id

-- dialogues_list_asc --
SELECT d.space_id, d.id, d.request_id, d.thread_of, d.label, d.tags, d.total_messages,
    d.thread_count, d.last_message_created, d.version, d.created, d.modified, d.ended, d.archived,
    d.inserted, x.metadata, x.state
FROM dialogues AS d
LEFT JOIN dialogue_documents AS x ON x.space_id = d.space_id AND x.dialogue_id = d.id
WHERE d.space_id = :space AND d.created >= :start AND d.created < :stop
    AND (d.created, d.inserted, d.id) > (:at, :after, :last)
ORDER BY d.created, d.inserted, d.id LIMIT :limit

-- dialogues_list_desc --
SELECT d.space_id, d.id, d.request_id, d.thread_of, d.label, d.tags, d.total_messages,
    d.thread_count, d.last_message_created, d.version, d.created, d.modified, d.ended, d.archived,
    d.inserted, x.metadata, x.state
FROM dialogues AS d
LEFT JOIN dialogue_documents AS x ON x.space_id = d.space_id AND x.dialogue_id = d.id
WHERE d.space_id = :space AND d.created >= :start AND d.created < :stop
    AND (d.created, d.inserted, d.id) < (:at, :after, :last)
ORDER BY d.created DESC, d.inserted DESC, d.id DESC LIMIT :limit

-- dialogues_threads_asc --
SELECT d.space_id, d.id, d.request_id, d.thread_of, d.label, d.tags, d.total_messages,
    d.thread_count, d.last_message_created, d.version, d.created, d.modified, d.ended, d.archived,
    d.inserted, x.metadata, x.state
FROM dialogues AS d
LEFT JOIN dialogue_documents AS x ON x.space_id = d.space_id AND x.dialogue_id = d.id
WHERE d.space_id = :space AND d.thread_of = :thread_of
    AND d.created >= :start AND d.created < :stop
    AND (d.created, d.inserted, d.id) > (:at, :after, :last)
ORDER BY d.created, d.inserted, d.id LIMIT :limit

-- dialogues_threads_desc --
SELECT d.space_id, d.id, d.request_id, d.thread_of, d.label, d.tags, d.total_messages,
    d.thread_count, d.last_message_created, d.version, d.created, d.modified, d.ended, d.archived,
    d.inserted, x.metadata, x.state
FROM dialogues AS d
LEFT JOIN dialogue_documents AS x ON x.space_id = d.space_id AND x.dialogue_id = d.id
WHERE d.space_id = :space AND d.thread_of = :thread_of
    AND d.created >= :start AND d.created < :stop
    AND (d.created, d.inserted, d.id) < (:at, :after, :last)
ORDER BY d.created DESC, d.inserted DESC, d.id DESC LIMIT :limit

-- dialogues_insert --
INSERT INTO dialogues (space_id, id, inserted, request_id, thread_of, label, tags,
    total_messages, thread_count, last_message_created, last_sequence, last_server_time,
    version, created, modified)
VALUES (:space, :id, :inserted, :request_id, :thread_of, :label, :tags,
    :total_messages, :thread_count, :last_message_created, :last_sequence, :last_server_time,
    1, :created, :modified)

-- dialogues_update --
UPDATE dialogues SET label = :label, tags = :tags, ended = :ended, archived = :archived,
    version = version + 1, modified = CASE WHEN modified < :now THEN :now ELSE modified END
WHERE space_id = :space AND id = :id
RETURNING space_id

-- dialogues_lost_message --
-- A message was deleted: one less, and the latest of those that are left.
UPDATE dialogues SET total_messages = total_messages - 1,
    last_message_created = (
        SELECT MAX(m.created) FROM messages AS m
        WHERE m.space_id = :space AND m.dialogue_id = :id
    ),
    modified = CASE WHEN modified < :now THEN :now ELSE modified END
WHERE space_id = :space AND id = :id
RETURNING space_id

-- dialogues_count_thread --
UPDATE dialogues SET thread_count = thread_count + :change WHERE space_id = :space AND id = :id
RETURNING space_id

-- dialogues_delete --
DELETE FROM dialogues WHERE space_id = :space AND id = :id
RETURNING space_id, thread_of, last_sequence, last_server_time

-- documents_put --
INSERT INTO dialogue_documents (space_id, dialogue_id, metadata, state)
VALUES (:space, :id, :metadata, :state)
ON CONFLICT (space_id, dialogue_id) DO UPDATE SET state = excluded.state

-- documents_delete --
DELETE FROM dialogue_documents WHERE space_id = :space AND dialogue_id = :id
RETURNING space_id

-- tombstones_put --
INSERT INTO tombstones (space_id, dialogue_id, last_sequence, last_server_time)
VALUES (:space, :id, :last_sequence, :last_server_time)
ON CONFLICT (space_id, dialogue_id) DO UPDATE
SET last_sequence = excluded.last_sequence, last_server_time = excluded.last_server_time

-- tombstones_take --
DELETE FROM tombstones WHERE space_id = :space AND dialogue_id = :id
RETURNING space_id, last_sequence, last_server_time

-- tombstones_touch --
-- Changes nothing of it, and meets whoever makes the dialogue again at the same time: that one has
-- counted what is there of it, and must count anew.
UPDATE tombstones SET last_sequence = last_sequence WHERE space_id = :space AND dialogue_id = :id
RETURNING space_id

-- dialogues_orphans --
-- What waits for a dialogue that is made again: messages, the latest of them, threads.
SELECT CASE WHEN MIN(m.space_id) = MAX(m.space_id) THEN MIN(m.space_id)
        WHEN COUNT(*) = 0 THEN :space ELSE 0 END,
    COUNT(*), MAX(m.created), (
    SELECT COUNT(*) FROM dialogues AS t WHERE t.space_id = :space AND t.thread_of = :id
)
FROM messages AS m WHERE m.space_id = :space AND m.dialogue_id = :id

-- dialogues_walk --
-- All dialogues of a space, some at a time.
SELECT d.space_id, d.id, d.request_id, d.thread_of, d.label, d.tags, d.total_messages,
    d.thread_count, d.last_message_created, d.version, d.created, d.modified, d.ended, d.archived,
    d.inserted, x.metadata, x.state
FROM dialogues AS d
LEFT JOIN dialogue_documents AS x ON x.space_id = d.space_id AND x.dialogue_id = d.id
WHERE d.space_id = :space AND d.id > :id
ORDER BY d.id LIMIT :limit
