-- replies_find --
SELECT space_id, hash, made FROM replies
WHERE space_id = :space AND key = :key AND created >= :since

-- replies_put --
INSERT INTO replies (space_id, key, hash, made, created)
VALUES (:space, :key, :hash, :made, :now)
ON CONFLICT (space_id, key) DO UPDATE
SET hash = excluded.hash, made = excluded.made, created = excluded.created

-- replies_forget --
DELETE FROM replies WHERE space_id = :space AND created < :since
RETURNING space_id

-- replies_forget_some --
DELETE FROM replies WHERE space_id = :space AND key IN (
    SELECT r.key FROM replies AS r WHERE r.space_id = :space AND r.created < :since LIMIT :most
)
RETURNING space_id

-- index_outdated --
-- Spaces with what requests have made, that is too old.
SELECT DISTINCT r.space_id FROM replies AS r WHERE r.created < :since LIMIT :most
