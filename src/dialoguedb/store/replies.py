"""What requests with an idempotency key have made (contract 5.15)."""

from typing import NamedTuple

from dialoguedb.store import jobs
from dialoguedb.store.protocol import ReadTx, Scope, WriteTx

KEPT_MS = 24 * 60 * 60 * 1000
#: Spaces that are named at once.
_SPACES = 1_000


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


def outdated(tx: ReadTx, since_ms: int) -> list[Scope]:
    """Name spaces that remember what was made before a time; some of them, if they are many."""
    rows = tx.all("index_outdated", since=since_ms, most=_SPACES)
    found = (jobs.scope_of(tx, row[0]) for row in rows)
    return [scope for scope in found if scope is not None]


def forget(tx: WriteTx, since_ms: int, most: int) -> int:
    """Forget up to `most` of what was made before a time; give how many that were."""
    return tx.run("replies_forget_some", since=since_ms, most=most)
