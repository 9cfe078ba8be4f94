"""Dialogues in the store: rows to Structs and back."""

import hashlib
from typing import Any, NamedTuple

from msgspec import UNSET, UnsetType

from dialoguedb.models import documents
from dialoguedb.models.dialogues import Dialogue
from dialoguedb.models.documents import EMPTY_OBJECT
from dialoguedb.models.fields import Status
from dialoguedb.models.times import text_of
from dialoguedb.store.protocol import Param, ReadTx, Row, WriteTx


class Stored(NamedTuple):
    """A dialogue's row, in the order of `dialogues_get`; times in milliseconds."""

    space_id: int
    id: str
    request_id: str
    thread_of: str | None
    label: str | None
    tags: str
    total_messages: int
    thread_count: int
    last_message_created: int | None
    version: int
    created: int
    modified: int
    ended: int | None
    archived: int | None
    inserted: int
    stored_metadata: str | None
    stored_state: str | None

    @property
    def metadata(self) -> str:
        """The metadata as JSON text."""
        return self.stored_metadata or EMPTY_OBJECT

    @property
    def state(self) -> str:
        """The state as JSON text."""
        return self.stored_state or EMPTY_OBJECT

    @property
    def status(self) -> Status:
        """What its two times say: archived before ended before active."""
        if self.archived is not None:
            return "archived"
        return "active" if self.ended is None else "ended"


class Numbers(NamedTuple):
    """What new messages take of their dialogue, and of the clock.

    Attributes:
        last_sequence: the sequence of the last of them.
        server_time_ms: `created` of those that have no time of their own.
        now_ms: the clock, read once for all of them.
        newest_ms: `created` of the latest message there is: one before it is not the last, and may
            enter the range of a summary.
    """

    last_sequence: int
    server_time_ms: int
    now_ms: int
    newest_ms: int


class Beginning(NamedTuple):
    """Where a new dialogue's numbers begin: at nothing, or where a deleted one's ended."""

    last_sequence: int = 0
    last_server_time: int = 0
    total_messages: int = 0
    last_message_created: int | None = None
    thread_count: int = 0


def struct_of(row: Stored, project_id: str, namespace: str) -> Dialogue:
    """Make the wire's dialogue of a row, without messages."""
    metadata, state = row.metadata, row.state
    dialogue = Dialogue(
        id=row.id,
        project_id=project_id,
        request_id=row.request_id,
        status=row.status,
        namespace=namespace or UNSET,
        thread_of=row.thread_of or UNSET,
        label=UNSET if row.label is None else row.label,
        tags=documents.raw(row.tags),
        metadata=documents.raw(metadata),
        state=documents.raw(state),
        total_messages=row.total_messages,
        thread_count=row.thread_count,
        last_message_created=_stamp(row.last_message_created),
        version=row.version,
        created=text_of(row.created),
        modified=text_of(row.modified),
        ended_at=_stamp(row.ended),
        archived_at=_stamp(row.archived),
    )
    if metadata != EMPTY_OBJECT:
        data = documents.sorted_text(metadata)
        dialogue.metadata_length = len(data)
        dialogue.metadata_sha256 = hashlib.sha256(data).hexdigest()
    return dialogue


def _stamp(ms: int | None) -> str | UnsetType:
    return UNSET if ms is None else text_of(ms)


def asking(dialogue_id: str) -> tuple[str, dict[str, Param]]:
    """Give what `get` asks for, to be foreseen."""
    return "dialogues_get", {"id": dialogue_id}


def get(tx: ReadTx, dialogue_id: str) -> Stored | None:
    """Get a dialogue's row."""
    row = tx.one("dialogues_get", id=dialogue_id)
    return Stored._make(row) if row else None


def page(tx: ReadTx, thread_of: str | None, order: str, **window: Any) -> tuple[list[Row], bool]:
    """Give the rows of a page by (created, inserted); of threads only, with `thread_of`."""
    if thread_of is None:
        return tx.page(f"dialogues_list_{order}", texts=(15, 16), **window)
    return tx.page(f"dialogues_threads_{order}", texts=(15, 16), thread_of=thread_of, **window)


def begin(tx: WriteTx, dialogue_id: str) -> Beginning:
    """Find where the numbers of a new dialogue begin; a tombstone under its id is taken over."""
    grave = tx.one("tombstones_take", id=dialogue_id)
    if grave is None:
        return Beginning()
    _, last_sequence, last_server_time = grave
    left = tx.one("dialogues_orphans", id=dialogue_id)
    _, total, newest, threads = left or (None, 0, None, 0)
    return Beginning(last_sequence, last_server_time, total, newest, threads)


def insert(tx: WriteTx, row: Stored, beginning: Beginning) -> None:
    """Store a new dialogue."""
    tx.run(
        "dialogues_insert",
        id=row.id,
        inserted=row.inserted,
        request_id=row.request_id,
        thread_of=row.thread_of,
        label=row.label,
        tags=row.tags,
        created=row.created,
        modified=row.modified,
        **beginning._asdict(),
    )
    if row.metadata != EMPTY_OBJECT or row.state != EMPTY_OBJECT:
        put_state(tx, row, row.state)


def put_state(tx: WriteTx, row: Stored, state: str) -> None:
    """Replace the state of a dialogue; its metadata is stored with the first one."""
    tx.run("documents_put", id=row.id, metadata=row.metadata, state=state)


def update(tx: WriteTx, row: Stored, now_ms: int) -> None:
    """Store label, tags and times of the end and archiving; the version goes up by one."""
    tx.run(
        "dialogues_update",
        id=row.id,
        label=row.label,
        tags=row.tags,
        ended=row.ended,
        archived=row.archived,
        now=now_ms,
    )


def take_numbers(
    tx: WriteTx, dialogue_id: str, *, count: int, newest_ms: int, stamped: bool, now_ms: int
) -> Numbers | None:
    """Count new messages in their dialogue and take their numbers; its row is locked by this.

    Args:
        count: how many messages, from 1.
        newest_ms: the latest custom time among them; the earliest time there is if none has one.
        stamped: whether any of them gets a server time.
        now_ms: the clock.
    Returns: None when there is no such dialogue or it takes no messages.
    """
    row = tx.one(
        "dialogues_append",
        id=dialogue_id,
        count=count,
        newest=newest_ms,
        stamped=int(stamped),
        now=now_ms,
    )
    return Numbers(row[1], row[2], now_ms, row[3]) if row else None


def lose_message(tx: WriteTx, dialogue_id: str, now_ms: int) -> None:
    """Count a deleted message off its dialogue, if that is there."""
    if not tx.run("dialogues_lost_message", id=dialogue_id, now=now_ms):
        touch_tombstone(tx, dialogue_id)


def count_thread(tx: WriteTx, dialogue_id: str, change: int) -> bool:
    """Count a thread of a dialogue in or off; False when the dialogue is not there."""
    return tx.run("dialogues_count_thread", id=dialogue_id, change=change) > 0


def delete(tx: WriteTx, dialogue_id: str) -> None:
    """Delete a dialogue with its state; a tombstone keeps its numbers, its messages remain."""
    row = tx.one("dialogues_delete", id=dialogue_id)
    if row is None:
        return
    _, thread_of, last_sequence, last_server_time = row
    tx.run("documents_delete", id=dialogue_id)
    tx.run(
        "tombstones_put",
        id=dialogue_id,
        last_sequence=last_sequence,
        last_server_time=last_server_time,
    )
    if thread_of is not None and not count_thread(tx, thread_of, -1):
        touch_tombstone(tx, thread_of)


def touch_tombstone(tx: WriteTx, dialogue_id: str) -> None:
    """See that nobody makes a dialogue again meanwhile, with counts of what was there before."""
    tx.run("tombstones_touch", id=dialogue_id)
