-- summaries_insert --
INSERT INTO summaries (space_id, id, inserted, dialogue_id, status, stale, template, based_on,
    incremental, job, start_created, start_sequence, end_created, end_sequence, from_created,
    to_created, provider, model, error, counts, metadata, tags, created, modified, content)
VALUES (:space, :id, :inserted, :dialogue_id, :status, :stale, :template, :based_on,
    :incremental, :job, :start_created, :start_sequence, :end_created, :end_sequence,
    :from_created, :to_created, :provider, :model, :error, :counts, :metadata, :tags, :created,
    :modified, :content)

-- summaries_get --
SELECT space_id, id, inserted, dialogue_id, status, stale, template, based_on,
    incremental, job, start_created, start_sequence, end_created, end_sequence, from_created,
    to_created, provider, model, error, counts, metadata, tags, created, modified, content
FROM summaries WHERE space_id = :space AND id = :id

-- summaries_list_asc --
SELECT space_id, id, inserted, dialogue_id, status, stale, template, based_on,
    incremental, job, start_created, start_sequence, end_created, end_sequence, from_created,
    to_created, provider, model, error, counts, metadata, tags, created, modified, content
FROM summaries
WHERE space_id = :space AND created >= :start AND created < :stop
    AND (created, inserted, id) > (:at, :after, :last) AND (:status = '' OR status = :status)
ORDER BY created, inserted, id LIMIT :limit

-- summaries_list_desc --
SELECT space_id, id, inserted, dialogue_id, status, stale, template, based_on,
    incremental, job, start_created, start_sequence, end_created, end_sequence, from_created,
    to_created, provider, model, error, counts, metadata, tags, created, modified, content
FROM summaries
WHERE space_id = :space AND created >= :start AND created < :stop
    AND (created, inserted, id) < (:at, :after, :last) AND (:status = '' OR status = :status)
ORDER BY created DESC, inserted DESC, id DESC LIMIT :limit

-- summaries_of_asc --
SELECT space_id, id, inserted, dialogue_id, status, stale, template, based_on,
    incremental, job, start_created, start_sequence, end_created, end_sequence, from_created,
    to_created, provider, model, error, counts, metadata, tags, created, modified, content
FROM summaries
WHERE space_id = :space AND dialogue_id = :dialogue_id AND created >= :start AND created < :stop
    AND (created, inserted, id) > (:at, :after, :last) AND (:status = '' OR status = :status)
ORDER BY created, inserted, id LIMIT :limit

-- summaries_of_desc --
SELECT space_id, id, inserted, dialogue_id, status, stale, template, based_on,
    incremental, job, start_created, start_sequence, end_created, end_sequence, from_created,
    to_created, provider, model, error, counts, metadata, tags, created, modified, content
FROM summaries
WHERE space_id = :space AND dialogue_id = :dialogue_id AND created >= :start AND created < :stop
    AND (created, inserted, id) < (:at, :after, :last) AND (:status = '' OR status = :status)
ORDER BY created DESC, inserted DESC, id DESC LIMIT :limit

-- summaries_under_way --
-- The one that a job is about.
SELECT space_id, id, inserted, dialogue_id, status, stale, template, based_on,
    incremental, job, start_created, start_sequence, end_created, end_sequence, from_created,
    to_created, provider, model, error, counts, metadata, tags, created, modified, content
FROM summaries WHERE space_id = :space AND dialogue_id = :dialogue_id AND job = :job

-- summaries_newest --
-- Of a dialogue from its first message on, the one that reaches farthest; one of a template, which
-- may be a title of one line, only if there is no other.
SELECT space_id, id, inserted, dialogue_id, status, stale, template, based_on,
    incremental, job, start_created, start_sequence, end_created, end_sequence, from_created,
    to_created, provider, model, error, counts, metadata, tags, created, modified, content
FROM summaries
WHERE space_id = :space AND dialogue_id = :dialogue_id AND status = 'completed' AND stale = 0
    AND start_sequence = 0 AND content <> ''
ORDER BY COALESCE(template, '') <> '', end_created DESC, end_sequence DESC, created DESC,
    inserted DESC, id DESC LIMIT 1

-- summaries_base --
-- Of one template, and not beyond a message, the one that reaches farthest.
SELECT space_id, id, inserted, dialogue_id, status, stale, template, based_on,
    incremental, job, start_created, start_sequence, end_created, end_sequence, from_created,
    to_created, provider, model, error, counts, metadata, tags, created, modified, content
FROM summaries
WHERE space_id = :space AND dialogue_id = :dialogue_id AND status = 'completed' AND stale = 0
    AND start_sequence = 0 AND content IS NOT NULL AND COALESCE(template, '') = :template
    AND (end_created, end_sequence) <= (:created, :sequence)
ORDER BY end_created DESC, end_sequence DESC, created DESC, inserted DESC, id DESC LIMIT 1

-- summaries_touch --
-- A message has left their range, or entered it.
UPDATE summaries SET stale = 1, modified = CASE WHEN modified < :now THEN :now ELSE modified END
WHERE space_id = :space AND dialogue_id = :dialogue_id AND stale = 0
    AND (start_created, start_sequence) <= (:created, :sequence)
    AND (end_created, end_sequence) >= (:created, :sequence)
RETURNING space_id

-- summaries_any --
-- Whether there is one of a dialogue that can be touched.
SELECT space_id FROM summaries
WHERE space_id = :space AND dialogue_id = :dialogue_id AND stale = 0 LIMIT 1

-- summaries_hold --
-- Nothing changes. A deletion that another server has begun, and that does not see the summary,
-- changes this row, too: one of the two waits, and then begins anew.
UPDATE dialogues SET modified = modified WHERE space_id = :space AND id = :dialogue_id
RETURNING space_id

-- summaries_begin --
-- What is read from now on is all that there is.
UPDATE summaries SET stale = 0, based_on = :based_on
WHERE space_id = :space AND id = :id AND status = 'processing'
RETURNING space_id

-- summaries_finish --
UPDATE summaries SET status = :status, job = NULL, based_on = :based_on,
    from_created = :from_created, to_created = :to_created, provider = :provider, model = :model,
    error = :error, counts = :counts, content = :content,
    modified = CASE WHEN modified < :now THEN :now ELSE modified END
WHERE space_id = :space AND id = :id AND status = 'processing'
RETURNING space_id

-- summaries_delete --
DELETE FROM summaries WHERE space_id = :space AND id = :id
RETURNING space_id

-- summaries_delete_of_dialogue --
DELETE FROM summaries WHERE space_id = :space AND dialogue_id = :dialogue_id
RETURNING space_id, id, job

-- summaries_walk --
-- All summaries of a space, some at a time.
SELECT space_id, id, inserted, dialogue_id, status, stale, template, based_on,
    incremental, job, start_created, start_sequence, end_created, end_sequence, from_created,
    to_created, provider, model, error, counts, metadata, tags, created, modified, content
FROM summaries WHERE space_id = :space AND id > :id ORDER BY id LIMIT :limit
