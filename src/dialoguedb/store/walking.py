"""All resources of a space, as what the index is to hold of them."""

from collections.abc import Callable, Iterator
from typing import NamedTuple

from dialoguedb.models.times import EARLIEST_MS
from dialoguedb.search.entries import DIALOGUE, MEMORY, MESSAGE, Key
from dialoguedb.search.indexer import Note
from dialoguedb.store import changes
from dialoguedb.store.dialogues import Stored
from dialoguedb.store.memories import StoredMemory
from dialoguedb.store.messages import StoredMessage
from dialoguedb.store.protocol import ReadTx, Row, Scope, Store

#: Resources read at once.
STEP = 1_024


class Position(NamedTuple):
    """Where a walk through a space stands: all before it has been given.

    Attributes:
        kind: a place in `KINDS`.
        last: the id of the last dialogue or memory, or a message's dialogue.
        created: the last message's time, milliseconds.
        sequence: the last message's number.
    """

    kind: int = 0
    last: str = ""
    created: int = EARLIEST_MS
    sequence: int = -1


#: The order of a walk: a dialogue before its messages.
KINDS = (DIALOGUE, MESSAGE, MEMORY)


def walk(
    store: Store, scope: Scope, start: Position | None = None
) -> Iterator[tuple[list[Note], Position]]:
    """Give the notes of all resources of a space in steps, and where each step ends.

    Each step reads a snapshot of its own, so that none is held for long; it ends at 8 MiB.
    """
    at = start or Position()
    while at.kind < len(KINDS):
        notes, at = store.read(scope, reading(at))
        if notes:
            yield notes, at


def reading(at: Position) -> Callable[[ReadTx], tuple[list[Note], Position]]:
    """Give what reads one step of a walk: notes, none where a kind has no more, and its end."""

    def work(tx: ReadTx) -> tuple[list[Note], Position]:
        rows, more = _rows(tx, at)
        return _step(rows, at, more=more)

    return work


def _rows(tx: ReadTx, at: Position) -> tuple[list[Row], bool]:
    kind = KINDS[at.kind]
    if kind == MESSAGE:
        return tx.page(
            "messages_walk",
            limit=STEP,
            texts=_texts(StoredMessage, "content", "metadata"),
            dialogue_id=at.last,
            created=at.created,
            sequence=at.sequence,
        )
    if kind == DIALOGUE:
        texts = _texts(Stored, "stored_state", "stored_metadata")
        return tx.page("dialogues_walk", limit=STEP, texts=texts, id=at.last)
    texts = _texts(StoredMemory, "value", "metadata")
    return tx.page("memories_walk", limit=STEP, texts=texts, id=at.last)


def _texts(row: type[StoredMessage | Stored | StoredMemory], *names: str) -> tuple[int, int]:
    """Give the places of the two columns of a row that can be long."""
    one, other = (row._fields.index(name) for name in names)
    return one, other


def _step(rows: list[Row], at: Position, *, more: bool) -> tuple[list[Note], Position]:
    """Make notes of rows; where there are no more of a kind, the next begins."""
    kind = KINDS[at.kind]
    notes = [_note(kind, row) for row in rows]
    if not more:
        return notes, Position(at.kind + 1)
    if kind != MESSAGE:
        return notes, Position(at.kind, notes[-1].id)
    last = notes[-1]
    return notes, Position(at.kind, last.dialogue_id, last.created, last.sequence)


def _note(kind: int, row: Row) -> Note:
    if kind == MESSAGE:
        return changes.message_note(StoredMessage._make(row))
    if kind == DIALOGUE:
        return changes.dialogue_note(Stored._make(row))
    return changes.memory_note(StoredMemory._make(row))


def note_of(tx: ReadTx, key: Key, created_ms: int = 0) -> Note | None:
    """Make the note of one resource as it is stored; None when it is not there.

    Args:
        tx: bound to its space.
        key: the resource.
        created_ms: of a message, when it was created.
    """
    if key.kind == MESSAGE:
        row = tx.one(
            "messages_at", dialogue_id=key.owner, created=created_ms, sequence=key.sequence
        )
    else:
        name = "dialogues_get" if key.kind == DIALOGUE else "memories_get"
        row = tx.one(name, id=key.owner)
    return None if row is None else _note(key.kind, row)
