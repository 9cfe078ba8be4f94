"""Messages in the store: rows to Structs and back."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from msgspec import UNSET, Raw, UnsetType

from dialoguedb.models import documents
from dialoguedb.models.content import PREVIEW_CHARACTERS, Content
from dialoguedb.models.documents import EMPTY_ARRAY, EMPTY_OBJECT, RAW_ARRAY, RAW_OBJECT
from dialoguedb.models.messages import Message
from dialoguedb.models.times import text_of
from dialoguedb.search.indexer import Words
from dialoguedb.store.protocol import ReadTx, Row, WriteTx


class Draft(NamedTuple):
    """A message that is not stored yet; None where the server is to give `id` or `created_ms`.

    `words`: what a long content comes to for search; None where that is left to the write.
    """

    id: str | None
    role: str
    name: str | None
    content: Content
    metadata: str
    tags: str
    created_ms: int | None
    words: Words | None = None


class Place(NamedTuple):
    """Where a message goes: its dialogue, number and times (milliseconds)."""

    dialogue_id: str
    sequence: int
    created_ms: int
    modified_ms: int


class StoredMessage(NamedTuple):
    """A message's row, in the order of the statements that read and write it; milliseconds."""

    space_id: int
    dialogue_id: str
    created: int
    sequence: int
    id: str
    role: str
    name: str | None
    content: str
    content_length: int
    preview: str | None
    metadata: str
    tags: str
    modified: int


def insert(tx: WriteTx, new: Sequence[tuple[str, Draft, Place]]) -> list[StoredMessage]:
    """Store messages under their ids; their dialogue's numbers must have been taken before."""
    rows = [_row(tx.space_id, *one) for one in new]
    tx.insert("messages_insert", rows)
    return rows


def _row(space_id: int, message_id: str, draft: Draft, place: Place) -> StoredMessage:
    content, length, preview = draft.content
    if content.startswith('"') and length <= PREVIEW_CHARACTERS:
        preview = None  # it is the content itself
    return StoredMessage(
        space_id,
        place.dialogue_id,
        place.created_ms,
        place.sequence,
        message_id,
        draft.role,
        draft.name,
        content,
        length,
        None if preview is None else documents.text_of(preview),
        draft.metadata,
        draft.tags,
        place.modified_ms,
    )


def of_row(row: Row, namespace: str) -> Message:
    """Make a message of its row."""
    (
        _,
        dialogue_id,
        created,
        sequence,
        message_id,
        role,
        name,
        content,
        length,
        preview,
        metadata,
        tags,
        modified,
    ) = row
    raw = Raw(content)
    stamp = text_of(created)
    if preview is not None:
        shown: Raw | UnsetType = Raw(preview)
    else:
        shown = raw if content[0] == '"' else UNSET
    return Message(
        id=message_id,
        dialogue_id=dialogue_id,
        namespace=namespace or UNSET,
        role=role,
        name=UNSET if name is None else name,
        content=raw,
        content_length=length,
        preview=shown,
        metadata=RAW_OBJECT if metadata == EMPTY_OBJECT else Raw(metadata),
        tags=RAW_ARRAY if tags == EMPTY_ARRAY else Raw(tags),
        sequence=sequence,
        created=stamp,
        modified=stamp if modified == created else text_of(modified),
    )


def get(tx: ReadTx, message_id: str) -> StoredMessage | None:
    """Get a message's row."""
    row = tx.one("messages_get", id=message_id)
    return StoredMessage._make(row) if row else None


def at(tx: ReadTx, dialogue_id: str, created_ms: int, sequence: int) -> StoredMessage | None:
    """Get the row of the message at a place of a dialogue."""
    row = tx.one("messages_at", dialogue_id=dialogue_id, created=created_ms, sequence=sequence)
    return StoredMessage._make(row) if row else None


def exist(tx: ReadTx, dialogue_id: str) -> bool:
    """Tell whether a dialogue, there or deleted, has messages."""
    return tx.one("messages_any", dialogue_id=dialogue_id) is not None


def set_tags(tx: WriteTx, message_id: str, tags: str, now_ms: int) -> None:
    """Replace the tags of a message."""
    tx.run("messages_set_tags", id=message_id, tags=tags, now=now_ms)


def delete(tx: WriteTx, message_id: str) -> None:
    """Delete a message; its dialogue's numbers are the caller's to mend."""
    tx.run("messages_delete", id=message_id)


def delete_of_dialogue(tx: WriteTx, dialogue_id: str) -> list[tuple[str, int]]:
    """Delete all messages of a dialogue; give their ids and numbers."""
    gone = tx.all("messages_delete_of_dialogue", dialogue_id=dialogue_id)
    return [(message_id, sequence) for _, message_id, sequence in gone]


def asking_page(
    dialogue_id: str, order: str, *, limit: int, **window: Any
) -> tuple[str, dict[str, Any]]:
    """Give what `page` asks for, to be foreseen."""
    return f"messages_list_{order}", {"dialogue_id": dialogue_id, "limit": limit + 1, **window}


def page(tx: ReadTx, dialogue_id: str, order: str, **window: Any) -> tuple[list[Row], bool]:
    """Give the rows of a page by (created, sequence), and whether there are more."""
    return tx.page(f"messages_list_{order}", texts=(7, 10), dialogue_id=dialogue_id, **window)
