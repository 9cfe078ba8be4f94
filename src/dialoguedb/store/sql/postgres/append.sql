-- dialogues_append --
-- Take the next numbers of a dialogue for n messages; no row when it is not there or not active.
-- Here and not in both/: PostgreSQL's GREATEST is SQLite's MAX of several values.
UPDATE dialogues SET total_messages = total_messages + :count,
    last_sequence = last_sequence + :count,
    last_server_time = GREATEST(last_server_time, :now),
    last_message_created = GREATEST(
        last_message_created, :newest,
        CASE WHEN :stamped = 1 THEN GREATEST(last_server_time, :now) END
    ),
    modified = GREATEST(modified, :now)
WHERE space_id = :space AND id = :id AND ended IS NULL AND archived IS NULL
RETURNING space_id, last_sequence, last_server_time, last_message_created
