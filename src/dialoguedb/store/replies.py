"""What requests with an idempotency key have made (contract 5.15)."""

from typing import NamedTuple

from dialoguedb.store.protocol import WriteTx

KEPT_MS = 24 * 60 * 60 * 1000


class Reply(NamedTuple):
    """The hash of a request and the ids that it made, as JSON."""

    hash: bytes
    made: str


def find(tx: WriteTx, key: str, now_ms: int) -> Reply | None:
    """Find what the key made within the last 24 hours."""
    row = tx.one("replies_find", key=key, since=now_ms - KEPT_MS)
    return Reply(row[1], row[2]) if row else None


def keep(tx: WriteTx, key: str, reply: Reply, now_ms: int) -> None:
    """Remember what the key made, and forget what is too old in this space."""
    tx.run("replies_forget", since=now_ms - KEPT_MS)
    tx.run("replies_put", key=key, hash=reply.hash, made=reply.made, now=now_ms)
