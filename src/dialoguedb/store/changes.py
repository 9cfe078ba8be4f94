"""The change log: one row for each change, in the order of commits."""

from typing import Literal

from dialoguedb.store.claims import Kind
from dialoguedb.store.protocol import WriteTx


def note(
    tx: WriteTx, kind: Kind, changed_id: str, what: Literal["created", "modified", "deleted"]
) -> None:
    """Write down that a resource has changed, in the transaction that changes it."""
    tx.later("changes_add", kind=kind, id=changed_id, what=what)
