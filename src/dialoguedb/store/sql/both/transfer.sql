-- transfer_spaces --
-- The namespaces of a project from one on, some at a time.
SELECT id, namespace FROM spaces
WHERE project_id = :project_id AND namespace >= :namespace
ORDER BY namespace LIMIT :limit

-- transfer_dialogues --
-- Dialogues with the numbers from which their messages go on.
SELECT d.space_id, d.id, d.request_id, d.thread_of, d.label, d.tags, d.total_messages,
    d.thread_count, d.last_message_created, d.version, d.created, d.modified, d.ended, d.archived,
    d.inserted, x.metadata, x.state, d.last_sequence, d.last_server_time
FROM dialogues AS d
LEFT JOIN dialogue_documents AS x ON x.space_id = d.space_id AND x.dialogue_id = d.id
WHERE d.space_id = :space AND d.created >= :at AND (d.created, d.inserted, d.id) > (:at, :after, :last)
ORDER BY d.created, d.inserted, d.id LIMIT :limit

-- tombstones_walk --
-- What the deleted dialogues of a space have left, some at a time.
SELECT space_id, dialogue_id, last_sequence, last_server_time FROM tombstones
WHERE space_id = :space AND dialogue_id > :id ORDER BY dialogue_id LIMIT :limit

-- transfer_messages --
-- Messages of a dialogue, there or deleted, up to the number that it had when it was read itself.
SELECT space_id, dialogue_id, created, sequence, id, role, name, content, content_length, preview,
    metadata, tags, modified
FROM messages
WHERE space_id = :space AND dialogue_id = :dialogue_id AND created >= :at
    AND (created, sequence) > (:at, :after) AND sequence <= :number
ORDER BY created, sequence LIMIT :limit

-- transfer_claimed --
SELECT id FROM claims WHERE project_id = :project_id AND kind = :kind AND id = :id

-- transfer_numbers --
-- The last numbers of a dialogue, there (1) or deleted (0).
SELECT d.space_id, d.last_sequence, d.last_server_time, 1
FROM dialogues AS d WHERE d.space_id = :space AND d.id = :id
UNION ALL
SELECT t.space_id, t.last_sequence, t.last_server_time, 0
FROM tombstones AS t WHERE t.space_id = :space AND t.dialogue_id = :id

-- transfer_sequences --
-- Which numbers of a range messages of a dialogue have. It reads the dialogue's part of the key.
SELECT space_id, sequence FROM messages
WHERE space_id = :space AND dialogue_id = :dialogue_id AND sequence BETWEEN :start AND :stop

-- transfer_hold --
-- Changes nothing, and meets every other import of dialogues into the space: a thread and its parent
-- that come at the same time would not be counted.
UPDATE spaces SET namespace = namespace WHERE id = :id

-- transfer_insert_dialogue --
INSERT INTO dialogues (space_id, id, inserted, request_id, thread_of, label, tags,
    total_messages, thread_count, last_message_created, last_sequence, last_server_time,
    version, created, modified, ended, archived)
VALUES (:space, :id, :inserted, :request_id, :thread_of, :label, :tags,
    :total_messages, :thread_count, :last_message_created, :last_sequence, :last_server_time,
    :version, :created, :modified, :ended, :archived)

-- transfer_count --
-- Messages have come to a dialogue whose numbers hold them already.
UPDATE dialogues SET total_messages = total_messages + :count,
    last_message_created = CASE
        WHEN last_message_created IS NULL OR last_message_created < :newest THEN :newest
        ELSE last_message_created
    END
WHERE space_id = :space AND id = :id
RETURNING space_id

-- transfer_raise --
UPDATE dialogues SET
    last_sequence = CASE
        WHEN last_sequence < :last_sequence THEN :last_sequence ELSE last_sequence
    END,
    last_server_time = CASE
        WHEN last_server_time < :last_server_time THEN :last_server_time ELSE last_server_time
    END
WHERE space_id = :space AND id = :id
RETURNING space_id

-- transfer_figures --
-- How many dialogues and memories a space has, and the bytes of the values.
SELECT space_id, 0, COUNT(*), 0 FROM dialogues WHERE space_id = :space GROUP BY space_id
UNION ALL
SELECT space_id, 1, COUNT(*), CAST(SUM(OCTET_LENGTH(value)) AS BIGINT) FROM memories WHERE space_id = :space
GROUP BY space_id

-- transfer_largest --
-- The dialogues of a space whose messages have the most bytes; with each, what all come to.
SELECT space_id, dialogue_id, COUNT(*), CAST(SUM(content_length) AS BIGINT),
    CAST(SUM(COUNT(*)) OVER () AS BIGINT), CAST(SUM(SUM(content_length)) OVER () AS BIGINT)
FROM messages WHERE space_id = :space
GROUP BY space_id, dialogue_id
ORDER BY SUM(content_length) DESC, dialogue_id LIMIT :limit
