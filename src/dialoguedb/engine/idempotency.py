"""Requests that may be sent twice and take effect once (contract 5.15)."""

import hashlib
from collections.abc import Callable
from typing import Any

import msgspec
from msgspec import Struct

from dialoguedb.engine.caller import Caller, Replayed
from dialoguedb.errors import IdempotencyConflict, NotFound
from dialoguedb.store import replies
from dialoguedb.store.protocol import T, WriteTx, WriteWork


def once(
    operation: str,
    caller: Caller,
    request: Struct,
    work: WriteWork[T],
    *,
    made: Callable[[T], Any],
    rebuild: Callable[[WriteTx, Any], T],
) -> WriteWork[T | Replayed]:
    """Make a work that takes effect once for an idempotency key.

    Only what succeeds is remembered, in the work's own transaction, as the ids that it made.

    Args:
        operation: its name; a key cannot be shared between operations.
        caller: with the key; without one the work stays as it is.
        request: all of it is compared when the key comes again.
        work: what to do the first time.
        made: names the ids in an answer, as plain JSON values.
        rebuild: makes the answer of those ids again; `NotFound` if one of them is gone.
    Raises:
        IdempotencyConflict: from the work, when the key came with another request before.
        NotFound: from the work, when what the key made has been deleted.
    """
    key = caller.idempotency_key
    if key is None:
        return work
    digest = hashlib.sha256(operation.encode() + b"\0" + msgspec.json.encode(request)).digest()

    def once_only(tx: WriteTx) -> T | Replayed:
        now_ms = tx.runtime.now()
        found = replies.find(tx, key, now_ms)
        if found is None:
            answer = work(tx)
            ids = msgspec.json.encode(made(answer)).decode()
            replies.keep(tx, key, replies.Reply(digest, ids), now_ms)
            return answer
        if found.hash != digest:
            raise IdempotencyConflict(
                "This Idempotency-Key was used with another request; take a new key",
                field="Idempotency-Key",
            )
        try:
            return Replayed(rebuild(tx, msgspec.json.decode(found.made)))
        except NotFound as error:
            raise type(error)(
                "What this Idempotency-Key made has been deleted since; take a new key to make it "
                "again",
                field="Idempotency-Key",
            ) from None

    return once_only
