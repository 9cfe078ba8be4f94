"""The change log: what has changed, in the order of commits, and what of it is searched.

Every change of a resource is noted here, in the transaction that makes it.
"""

from collections.abc import Sequence

from dialoguedb.search.entries import DELETE, DIALOGUE, MEMORY, MESSAGE, PUT
from dialoguedb.search.indexer import Note, Words
from dialoguedb.store.dialogues import Stored
from dialoguedb.store.memories import StoredMemory
from dialoguedb.store.messages import StoredMessage
from dialoguedb.store.protocol import WriteTx


def message(tx: WriteTx, row: StoredMessage, now_ms: int, words: Words | None = None) -> None:
    """Note a new message; its dialogue was modified at `now_ms`."""
    tx.note(message_note(row, at_ms=now_ms, words=words))


def message_tagged(tx: WriteTx, row: StoredMessage) -> None:
    """Note a message whose tags have changed."""
    tx.note(message_note(row, again=True))


def message_note(
    row: StoredMessage, *, again: bool = False, at_ms: int = 0, words: Words | None = None
) -> Note:
    """Say of a stored message what is indexed."""
    return Note(
        PUT,
        MESSAGE,
        row.id,
        at=at_ms,
        dialogue_id=row.dialogue_id,
        sequence=row.sequence,
        created=row.created,
        modified=row.modified,
        text=row.content,
        name=row.name,
        tags=row.tags,
        metadata=row.metadata,
        same_text=again,
        words=words,
    )


def messages_gone(tx: WriteTx, gone: Sequence[tuple[str, str, int]], now_ms: int) -> None:
    """Note messages that have been deleted: (id, dialogue's id, sequence) of each."""
    for message_id, dialogue_id, sequence in gone:
        tx.note(Note(DELETE, MESSAGE, message_id, now_ms, dialogue_id, sequence))


def dialogue(tx: WriteTx, row: Stored, *, same_label: bool = False) -> None:
    """Note a dialogue that is new or has changed."""
    tx.note(dialogue_note(row, same_label=same_label))


def dialogue_note(row: Stored, *, same_label: bool = False) -> Note:
    """Say of a stored dialogue what is indexed."""
    return Note(
        PUT,
        DIALOGUE,
        row.id,
        created=row.created,
        modified=row.modified,
        text=row.label or "",
        tags=row.tags,
        metadata=row.metadata,
        parent=row.thread_of or "",
        same_text=same_label,
    )


def memory(tx: WriteTx, row: StoredMemory, *, again: bool = False) -> None:
    """Note a memory that is new, or whose tags are: `again`."""
    tx.note(memory_note(row, again=again))


def memory_note(row: StoredMemory, *, again: bool = False) -> Note:
    """Say of a stored memory what is indexed."""
    return Note(
        PUT,
        MEMORY,
        row.id,
        created=row.created,
        modified=row.modified,
        text=row.value,
        name=row.label,
        description=row.description,
        tags=row.tags,
        metadata=row.metadata,
        same_text=again,
    )


def dialogue_gone(tx: WriteTx, dialogue_id: str) -> None:
    """Note a dialogue that has been deleted."""
    tx.note(Note(DELETE, DIALOGUE, dialogue_id))


def memory_gone(tx: WriteTx, memory_id: str) -> None:
    """Note a memory that has been deleted."""
    tx.note(Note(DELETE, MEMORY, memory_id))
