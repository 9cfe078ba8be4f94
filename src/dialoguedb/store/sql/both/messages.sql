-- messages_insert --
INSERT INTO messages (space_id, dialogue_id, created, sequence, id, role, name, content,
    content_length, preview, metadata, tags, modified)
VALUES (:space, :dialogue_id, :created, :sequence, :id, :role, :name, :content,
    :content_length, :preview, :metadata, :tags, :modified)

-- messages_get --
SELECT space_id, dialogue_id, created, sequence, id, role, name, content, content_length, preview,
    metadata, tags, modified
FROM messages WHERE space_id = :space AND id = :id

-- messages_at --
SELECT space_id, dialogue_id, created, sequence, id, role, name, content, content_length, preview,
    metadata, tags, modified
FROM messages
WHERE space_id = :space AND dialogue_id = :dialogue_id AND created = :created
    AND sequence = :sequence

-- messages_last --
-- Where the last message of a dialogue is.
SELECT space_id, created, sequence FROM messages
WHERE space_id = :space AND dialogue_id = :dialogue_id
ORDER BY created DESC, sequence DESC LIMIT 1

-- messages_any --
-- Whether a dialogue, there or deleted, has messages.
SELECT space_id FROM messages WHERE space_id = :space AND dialogue_id = :dialogue_id LIMIT 1

-- messages_list_asc --
SELECT space_id, dialogue_id, created, sequence, id, role, name, content, content_length, preview,
    metadata, tags, modified
FROM messages
WHERE space_id = :space AND dialogue_id = :dialogue_id AND created >= :start AND created < :stop
    AND (created, sequence) > (:at, :after)
ORDER BY created, sequence LIMIT :limit

-- messages_list_desc --
SELECT space_id, dialogue_id, created, sequence, id, role, name, content, content_length, preview,
    metadata, tags, modified
FROM messages
WHERE space_id = :space AND dialogue_id = :dialogue_id AND created >= :start AND created < :stop
    AND (created, sequence) < (:at, :after)
ORDER BY created DESC, sequence DESC LIMIT :limit

-- messages_set_tags --
UPDATE messages SET tags = :tags, modified = CASE WHEN modified < :now THEN :now ELSE modified END
WHERE space_id = :space AND id = :id
RETURNING space_id

-- messages_delete --
DELETE FROM messages WHERE space_id = :space AND id = :id
RETURNING space_id

-- messages_delete_of_dialogue --
DELETE FROM messages WHERE space_id = :space AND dialogue_id = :dialogue_id
RETURNING space_id, id, sequence

-- messages_walk --
-- All messages of a space, some at a time, whether their dialogue is there or not.
SELECT space_id, dialogue_id, created, sequence, id, role, name, content, content_length, preview,
    metadata, tags, modified
FROM messages
WHERE space_id = :space AND (dialogue_id, created, sequence) > (:dialogue_id, :created, :sequence)
ORDER BY dialogue_id, created, sequence LIMIT :limit
