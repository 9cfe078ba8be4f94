"""What is copied from a database to another one: tables, how they are read and how stored.

Rows are stored as they are, under the target's own number of their space, and noted for its search
index in the same transaction.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from dialoguedb.models.times import EARLIEST_MS
from dialoguedb.store import changes, summaries
from dialoguedb.store.dialogues import Stored
from dialoguedb.store.memories import StoredMemory
from dialoguedb.store.messages import StoredMessage
from dialoguedb.store.protocol import Param, ReadTx, Row, WriteTx
from dialoguedb.store.summaries import StoredSummary

#: The key of a row: a place in the order in which a table is read.
Place = tuple[Param, ...]
#: The row that is there, None if there is none, and the row that is to be there.
Change = tuple[Row | None, Row]
#: The columns of `copy_dialogues` that are a `Stored`.
_STORED = len(Stored._fields)
_METADATA, _STATE = (Stored._fields.index(f"stored_{name}") for name in ("metadata", "state"))


class Table(NamedTuple):
    """A table that is copied. The first column of its rows says whose they are.

    Attributes:
        name: for people.
        walk: the statement that reads rows behind a place.
        key: the names of that place's parameters.
        at: the columns of it.
        first: the place before all rows.
        put: stores rows that are new or have changed.
        drop: deletes rows.
        texts: the two columns that can be long; None for a table of the catalogue.
    """

    name: str
    walk: str
    key: tuple[str, ...]
    at: tuple[int, ...]
    first: Place
    put: Callable[[WriteTx, Sequence[Change]], None]
    drop: Callable[[WriteTx, Sequence[Row]], None]
    texts: tuple[int, int] | None = None

    def place(self, row: Row) -> Place:
        """Give the key of a row."""
        return tuple(row[column] for column in self.at)

    def read(self, tx: ReadTx, project_id: str, after: Place, limit: int) -> tuple[list[Row], bool]:
        """Read rows behind a place, `limit` or 8 MiB at most, and tell whether there are more."""
        where = dict(zip(self.key, after, strict=True))
        if self.texts is not None:
            return tx.page(self.walk, limit=limit, texts=self.texts, **where)
        rows = tx.all(self.walk, project_id=project_id, limit=limit + 1, **where)
        return rows[:limit], len(rows) > limit


# ── dialogues ────────────────────────────────────────────────────────────────────────────────


def _put_dialogues(tx: WriteTx, found: Sequence[Change]) -> None:
    _take_away(tx, [old for old, _ in found if old is not None])
    tx.insert(
        "copy_dialogues_put",
        [(tx.space_id, *new[1:_METADATA], *new[_STORED:]) for _, new in found],
    )
    documents = [
        (tx.space_id, new[1], new[_METADATA], new[_STATE])
        for _, new in found
        if new[_METADATA] is not None
    ]
    if documents:
        tx.insert("copy_documents_put", documents)
    for old, new in found:
        row = Stored._make(new[:_STORED])
        same = old is not None and Stored._make(old[:_STORED]).label == row.label
        changes.dialogue(tx, row, same_label=same)


def _drop_dialogues(tx: WriteTx, gone: Sequence[Row]) -> None:
    _take_away(tx, gone)
    for row in gone:
        changes.dialogue_gone(tx, row[1])


def _take_away(tx: WriteTx, rows: Sequence[Row]) -> None:
    tx.many("copy_dialogues_drop", _named(rows, "id"))
    tx.many("documents_delete", _named(rows, "id"))


# ── messages ─────────────────────────────────────────────────────────────────────────────────


def _put_messages(tx: WriteTx, found: Sequence[Change]) -> None:
    new = [StoredMessage(tx.space_id, *row[1:]) for _, row in found]
    kept = {row[4] for old, row in found if old is not None and _same_text(old, row)}
    gone = _deleted(tx, [old for old, _ in found if old is not None])
    # An id can have been given again in another dialogue, whose turn has not come.
    gone += tx.many("copy_messages_drop_id", [{"id": row.id} for row in new])
    _note_gone(tx, [row for row in gone if row[1] not in kept])
    tx.insert("messages_insert", new)
    for row in new:
        tx.note(changes.message_note(row, again=row.id in kept))


def _same_text(old: Row, new: Row) -> bool:
    one, other = StoredMessage._make(old), StoredMessage._make(new)
    return (one.id, one.name, one.content) == (other.id, other.name, other.content)


def _drop_messages(tx: WriteTx, gone: Sequence[Row]) -> None:
    _note_gone(tx, _deleted(tx, gone))


def _deleted(tx: WriteTx, rows: Sequence[Row]) -> list[Row]:
    """Delete messages from their places: by their ids they may be elsewhere by now."""
    places: list[dict[str, Param]] = [
        {"dialogue_id": row[1], "created": row[2], "sequence": row[3]} for row in rows
    ]
    return tx.many("copy_messages_drop", places)


def _note_gone(tx: WriteTx, rows: Sequence[Row]) -> None:
    changes.messages_gone(tx, [(row[1], row[2], row[3]) for row in rows], 0)


# ── memories, and what is not searched ───────────────────────────────────────────────────────


def _put_memories(tx: WriteTx, found: Sequence[Change]) -> None:
    tx.many("memories_delete", _named([old for old, _ in found if old is not None], "id"))
    rows = [StoredMemory(tx.space_id, *new[1:]) for _, new in found]
    tx.insert("memories_insert", rows)
    for (old, _), row in zip(found, rows, strict=True):
        was = None if old is None else StoredMemory._make(old)
        same = was is not None and (was.label, was.description, was.value) == (
            row.label,
            row.description,
            row.value,
        )
        changes.memory(tx, row, again=same)


def _drop_memories(tx: WriteTx, gone: Sequence[Row]) -> None:
    tx.many("memories_delete", _named(gone, "id"))
    for row in gone:
        changes.memory_gone(tx, row[1])


def _put_summaries(tx: WriteTx, found: Sequence[Change]) -> None:
    tx.many("summaries_delete", _named([old for old, _ in found if old is not None], "id"))
    rows = [StoredSummary(tx.space_id, *new[1:]) for _, new in found]
    tx.insert("summaries_insert", rows)
    for row in rows:
        summaries.put_to_work(tx, row)


def _drop_summaries(tx: WriteTx, gone: Sequence[Row]) -> None:
    tx.many("summaries_delete", _named(gone, "id"))


def _put_tombstones(tx: WriteTx, found: Sequence[Change]) -> None:
    tx.insert("tombstones_put", [(tx.space_id, *new[1:]) for _, new in found])


def _drop_tombstones(tx: WriteTx, gone: Sequence[Row]) -> None:
    tx.many("tombstones_take", _named(gone, "id"))


def _put_replies(tx: WriteTx, found: Sequence[Change]) -> None:
    tx.insert("replies_put", [(tx.space_id, *new[1:]) for _, new in found])


def _drop_replies(tx: WriteTx, gone: Sequence[Row]) -> None:
    tx.many("copy_replies_drop", _named(gone, "key"))


def _named(rows: Sequence[Row], name: str) -> list[dict[str, Param]]:
    return [{name: row[1]} for row in rows]


# ── the catalogue ────────────────────────────────────────────────────────────────────────────

_CLAIM = ("project_id", "kind", "id")
_KEY = ("project_id", "id", "hash", "name", "hint", "created", "revoked", "admin")


def _put_claims(tx: WriteTx, found: Sequence[Change]) -> None:
    tx.many("claims_take", [dict(zip(_CLAIM, new, strict=True)) for _, new in found])


def _drop_claims(tx: WriteTx, gone: Sequence[Row]) -> None:
    tx.many("claims_drop", [dict(zip(_CLAIM, row, strict=True)) for row in gone])


def _put_keys(tx: WriteTx, found: Sequence[Change]) -> None:
    _drop_keys(tx, [old for old, _ in found if old is not None])
    tx.many("copy_keys_put", [dict(zip(_KEY, new, strict=True)) for _, new in found])


def _drop_keys(tx: WriteTx, gone: Sequence[Row]) -> None:
    tx.many("copy_keys_drop", [{"project_id": row[0], "id": row[1]} for row in gone])


def _long(row: type[StoredMessage | StoredMemory], *names: str) -> tuple[int, int]:
    one, other = (row._fields.index(name) for name in names)
    return one, other


#: The tables of a space, a dialogue before its messages.
OF_SPACE = (
    Table(
        "dialogues", "copy_dialogues", ("id",), (1,), ("",), _put_dialogues, _drop_dialogues,
        (_METADATA, _STATE),
    ),
    Table(
        "messages", "messages_walk", ("dialogue_id", "created", "sequence"), (1, 2, 3),
        ("", EARLIEST_MS, -1), _put_messages, _drop_messages,
        _long(StoredMessage, "content", "metadata"),
    ),
    Table(
        "memories", "memories_walk", ("id",), (1,), ("",), _put_memories, _drop_memories,
        _long(StoredMemory, "value", "metadata"),
    ),
    Table(
        "summaries", "summaries_walk", ("id",), (1,), ("",), _put_summaries, _drop_summaries,
        summaries.TEXTS,
    ),
    Table(
        "tombstones", "tombstones_walk", ("id",), (1,), ("",), _put_tombstones, _drop_tombstones,
        (1, 1),
    ),
    Table("replies", "copy_replies", ("key",), (1,), ("",), _put_replies, _drop_replies, (1, 3)),
)  # fmt: skip
#: The tables of a project besides its spaces.
CLAIMS = Table("claims", "copy_claims", ("kind", "id"), (1, 2), ("", ""), _put_claims, _drop_claims)
KEYS = Table("keys", "copy_keys", ("id",), (1,), ("",), _put_keys, _drop_keys)
