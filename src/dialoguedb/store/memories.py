"""Memories in the store: rows to Structs and back."""

from typing import Any, NamedTuple

from msgspec import UNSET

from dialoguedb.models import documents
from dialoguedb.models.memories import Memory
from dialoguedb.models.times import text_of
from dialoguedb.store.protocol import ReadTx, Row, WriteTx


class StoredMemory(NamedTuple):
    """A memory's row, in the order of the statements that read and write it; milliseconds."""

    space_id: int
    id: str
    inserted: int
    label: str | None
    description: str | None
    value: str
    metadata: str
    tags: str
    created: int
    modified: int


def of_row(row: Row, namespace: str) -> Memory:
    """Make a memory of its row."""
    _, memory_id, _, label, description, value, metadata, tags, created, modified = row
    return Memory(
        id=memory_id,
        namespace=namespace or UNSET,
        label=UNSET if label is None else label,
        description=UNSET if description is None else description,
        value=documents.raw(value),
        tags=documents.raw(tags),
        metadata=documents.raw(metadata),
        created=text_of(created),
        modified=text_of(modified),
    )


def insert(
    tx: WriteTx,
    memory_id: str,
    *,
    label: str | None,
    description: str | None,
    value: str,
    metadata: str,
    tags: str,
    now_ms: int,
) -> StoredMemory:
    """Store a memory."""
    inserted = tx.runtime.ordinal()
    row = StoredMemory(
        tx.space_id, memory_id, inserted, label, description, value, metadata, tags, now_ms, now_ms
    )
    tx.insert("memories_insert", [row])
    return row


def get(tx: ReadTx, memory_id: str) -> StoredMemory | None:
    """Get a memory's row."""
    row = tx.one("memories_get", id=memory_id)
    return StoredMemory._make(row) if row else None


def page(tx: ReadTx, order: str, **window: Any) -> tuple[list[Row], bool]:
    """Give the rows of a page by (created, inserted), and whether there are more."""
    return tx.page(f"memories_list_{order}", texts=(5, 6), **window)


def set_tags(tx: WriteTx, memory_id: str, tags: str, now_ms: int) -> None:
    """Replace the tags of a memory."""
    tx.run("memories_set_tags", id=memory_id, tags=tags, now=now_ms)


def delete(tx: WriteTx, memory_id: str) -> bool:
    """Delete a memory; False when it is not there."""
    return tx.run("memories_delete", id=memory_id) > 0
