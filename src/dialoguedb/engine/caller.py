"""Who calls, and the task that an operation makes of a call."""

from collections.abc import Callable
from typing import Any, Generic, NamedTuple

import msgspec

from dialoguedb.store.protocol import Reach, T


class Caller(msgspec.Struct, frozen=True, kw_only=True):
    """One call's surroundings.

    Attributes:
        project_id: the project of the key; the only one that this call can reach.
        immutable: whether the project's dialogues are immutable (contract 2.1).
        request_id: UUID of the call.
        idempotency_key: see contract 5.15; None when the call has none.
        if_match: versions of which the dialogue must have one; None when any will do.
    """

    project_id: str
    request_id: str
    immutable: bool = False
    idempotency_key: str | None = None
    if_match: frozenset[int] | None = None


class Task(NamedTuple, Generic[T]):
    """What an operation wants to do with the store.

    An operation is a function of (caller, request) that prepares outside any transaction, and
    gives the work to do inside one; it is an ordinary function, without waiting.

    Attributes:
        scope: the space that the transaction is bound to, or for a search the project; None for
            the catalogue.
        work: a function of the transaction; a read takes a read transaction.
        short: whether it touches a few rows only, however much is stored.
        apart: what of the space a write looks at or changes, if it is nothing else; see
            `protocol.Job`.
    """

    scope: Reach
    work: Callable[[Any], T]
    short: bool = True
    apart: tuple[str, ...] = ()


class Replayed(NamedTuple):
    """An answer that an earlier request with the same idempotency key has made."""

    answer: Any
