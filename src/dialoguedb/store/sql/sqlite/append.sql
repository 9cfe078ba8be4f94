-- dialogues_append --
-- Take the next numbers of a dialogue for n messages; no row when it is not there or not active.
-- Here and not in both/: SQLite's MAX of several values is GREATEST elsewhere.
UPDATE dialogues SET total_messages = total_messages + :count,
    last_sequence = last_sequence + :count,
    last_server_time = MAX(last_server_time, :now),
    last_message_created = MAX(
        COALESCE(last_message_created, :newest), :newest,
        CASE WHEN :stamped THEN MAX(last_server_time, :now) ELSE :newest END
    ),
    modified = MAX(modified, :now)
WHERE space_id = :space AND id = :id AND ended IS NULL AND archived IS NULL
RETURNING space_id, last_sequence, last_server_time, last_message_created
