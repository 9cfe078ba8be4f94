"""What export, import and figures ask of the store."""

from collections.abc import Sequence
from typing import NamedTuple

from dialoguedb.models.documents import EMPTY_OBJECT
from dialoguedb.store import dialogues
from dialoguedb.store.claims import Kind
from dialoguedb.store.dialogues import Stored
from dialoguedb.store.memories import StoredMemory
from dialoguedb.store.protocol import Param, ReadTx, Row, WriteTx

#: Dialogues, tombstones or memories read at once; of a page that ends earlier they are read again.
STEP = 64


class Numbered(NamedTuple):
    """A dialogue, there or deleted, with the last numbers it has given; time in milliseconds."""

    id: str
    last_sequence: int
    last_server_time: int


class Restored(NamedTuple):
    """A dialogue as it is to be stored; its counters are worked out."""

    row: Stored
    numbers: Numbered


def spaces(tx: ReadTx, project_id: str, start: str, limit: int) -> list[tuple[int, str]]:
    """Give the numbers and names of a project's namespaces from `start` on, in order."""
    rows = tx.all("transfer_spaces", project_id=project_id, namespace=start, limit=limit)
    return [(number, namespace) for number, namespace in rows]


def dialogues_after(tx: ReadTx, created_ms: int, inserted: int, last: str) -> list[Restored]:
    """Give some dialogues beyond a place of the order (created, inserted, id)."""
    rows, _ = tx.page(
        "transfer_dialogues",
        limit=STEP,
        texts=(15, 16),
        at=created_ms,
        after=inserted,
        last=last,
    )
    return [Restored(Stored._make(row[:17]), Numbered(row[1], row[17], row[18])) for row in rows]


def tombstones_after(tx: ReadTx, last: str) -> list[Numbered]:
    """Give what some deleted dialogues have left, in the order of their ids."""
    rows, _ = tx.page("tombstones_walk", limit=STEP, texts=(1, 1), id=last)
    return [Numbered(*row[1:]) for row in rows]


def messages_after(
    tx: ReadTx, of: Numbered, created_ms: int, sequence: int, limit: int
) -> tuple[list[Row], bool]:
    """Give messages of a dialogue beyond a place, and whether there are more; see `Tx.page`."""
    return tx.page(
        "transfer_messages",
        limit=limit,
        texts=(7, 10),
        dialogue_id=of.id,
        at=created_ms,
        after=sequence,
        number=of.last_sequence,
    )


def taken(tx: WriteTx, kind: Kind, ids: Sequence[str]) -> set[str]:
    """Tell which of these ids are taken in the project."""
    wanted: list[dict[str, Param]] = [
        {"project_id": tx.scope.project_id, "kind": kind, "id": one} for one in ids
    ]
    return {row[0] for row in tx.many("transfer_claimed", wanted)}


def numbers(tx: ReadTx, dialogue_id: str) -> tuple[Numbered, bool] | None:
    """Give the last numbers of a dialogue, and whether it is there: if not, it is deleted."""
    row = tx.one("transfer_numbers", id=dialogue_id)
    return (Numbered(dialogue_id, row[1], row[2]), bool(row[3])) if row else None


def sequences(tx: ReadTx, dialogue_id: str, start: int, stop: int) -> set[int]:
    """Tell which numbers from `start` to `stop` messages of a dialogue have."""
    rows = tx.all("transfer_sequences", dialogue_id=dialogue_id, start=start, stop=stop)
    return {sequence for _, sequence in rows}


def insert_dialogues(tx: WriteTx, new: Sequence[Restored]) -> None:
    """Store dialogues whose ids are claimed; each counts the messages and threads that there are.

    What a deleted one has left under the same id is taken over.
    """
    if new:
        tx.run("transfer_hold", id=tx.space_id)
    for row, own in new:
        left = dialogues.begin(tx, row.id)
        waiting = tx.one("dialogues_orphans", id=row.id)
        _, total, newest, threads = waiting or (None, 0, None, 0)
        values = row._asdict() | {
            "inserted": tx.runtime.ordinal(),
            "total_messages": total,
            "thread_count": threads,
            "last_message_created": newest,
            "last_sequence": max(own.last_sequence, left.last_sequence),
            "last_server_time": max(own.last_server_time, left.last_server_time),
        }
        tx.run("transfer_insert_dialogue", **values)
        if row.metadata != EMPTY_OBJECT or row.state != EMPTY_OBJECT:
            dialogues.put_state(tx, row, row.state)
        if row.thread_of is not None and not dialogues.count_thread(tx, row.thread_of, 1):
            dialogues.touch_tombstone(tx, row.thread_of)


def insert_tombstones(tx: WriteTx, new: Sequence[Numbered]) -> None:
    """Store what deleted dialogues have left."""
    for one in new:
        tx.run(
            "tombstones_put",
            id=one.id,
            last_sequence=one.last_sequence,
            last_server_time=one.last_server_time,
        )


def raise_numbers(tx: WriteTx, higher: Sequence[Numbered]) -> None:
    """Let dialogues go on from higher numbers."""
    for one in higher:
        tx.run(
            "transfer_raise",
            id=one.id,
            last_sequence=one.last_sequence,
            last_server_time=one.last_server_time,
        )


def count_messages(tx: WriteTx, dialogue_id: str, count: int, newest_ms: int) -> None:
    """Count new messages in their dialogue, if that is there; nothing else of it changes."""
    if not tx.run("transfer_count", id=dialogue_id, count=count, newest=newest_ms):
        dialogues.touch_tombstone(tx, dialogue_id)


def insert_memories(tx: WriteTx, new: Sequence[StoredMemory]) -> list[StoredMemory]:
    """Store memories whose ids are claimed; give them as they are stored."""
    rows = [row._replace(space_id=tx.space_id, inserted=tx.runtime.ordinal()) for row in new]
    tx.insert("memories_insert", rows)
    return rows


class Sizes(NamedTuple):
    """What a space holds; `bytes` are those of contents and values."""

    dialogues: int
    messages: int
    memories: int
    bytes: int


class Large(NamedTuple):
    """A dialogue, there or deleted, and what its messages come to."""

    id: str
    total_messages: int
    bytes: int


def sizes(tx: ReadTx, most: int) -> tuple[Sizes, list[Large]]:
    """Measure a space, and find its largest dialogues, `most` at most."""
    counted = {row[1]: row[2:] for row in tx.all("transfer_figures")}
    found = tx.all("transfer_largest", limit=most)
    memories, value_bytes = counted.get(1, (0, 0))
    messages, content_bytes = found[0][4:] if found else (0, 0)
    return (
        Sizes(counted.get(0, (0, 0))[0], messages, memories, content_bytes + value_bytes),
        [Large(*row[1:4]) for row in found],
    )
