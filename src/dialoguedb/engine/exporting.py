"""Export: everything that a project holds, page by page, in an order that does not change.

Namespaces ascending; in each the dialogues by (created, inserted, id) with their messages by
(created, sequence) behind them, what deleted dialogues have left by id with their messages, then
the memories and the summaries by (created, inserted, id). No number of the store's own goes out, so
that what is imported and exported again is the same text.
"""

from collections.abc import Iterator
from typing import Annotated, Any, NamedTuple

import msgspec
from msgspec import UNSET, Meta, Raw, Struct

from dialoguedb.engine import pages
from dialoguedb.engine.caller import Caller, Task
from dialoguedb.errors import InvalidParameter
from dialoguedb.models.limits import MAX_PAGE_BYTES, MAX_PAGE_ITEMS
from dialoguedb.models.times import EARLIEST_MS, LATEST_MS, text_of
from dialoguedb.models.transfer import Export, ExportPage
from dialoguedb.store import dialogues, memories, messages, summaries
from dialoguedb.store import transfer as stored
from dialoguedb.store.memories import StoredMemory
from dialoguedb.store.protocol import ReadTx, WholeProject
from dialoguedb.store.summaries import StoredSummary
from dialoguedb.store.transfer import Numbered

_CURSOR_VERSION = 1
#: What is given of a space, one after the other.
_DIALOGUES, _TOMBSTONES, _MEMORIES, _SUMMARIES, _END = range(5)
#: What a database takes as a number; a cursor can come from anybody.
_Number = Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)]
_encode = msgspec.json.Encoder().encode


class _Place(Struct, array_like=True, frozen=True):
    """A position of the order: all up to here has been given.

    Attributes:
        namespace: where it is.
        part: `_DIALOGUES`, `_TOMBSTONES`, `_MEMORIES` or `_SUMMARIES`.
        created: of the last dialogue, memory or summary, milliseconds.
        inserted: its insertion number.
        id: its id, or that of the last tombstone; empty before the first of a part.
        number: the last sequence of that dialogue when it was given: later messages are not.
        at: `created` of its last message given, milliseconds.
        sequence: that message's number.
    """

    namespace: pages.Text = ""
    part: _Number = _DIALOGUES
    created: _Number = EARLIEST_MS
    inserted: _Number = -1
    id: pages.Text = ""
    number: _Number = 0
    at: _Number = EARLIEST_MS
    sequence: _Number = -1


class _Cursor(Struct, array_like=True, frozen=True):
    """What a `next` carries: what is exported, and how far it has been given.

    `only` is the namespace that is exported; None for every one.
    """

    version: int
    project_id: pages.Text
    only: pages.Text | None
    place: _Place


class _Given(NamedTuple):
    """A record, and the place behind it."""

    record: bytes
    place: _Place


def export(caller: Caller, request: Export) -> Task[ExportPage]:
    """Give a page of records: of one namespace, or of all.

    Each page is of the moment in which it is read.
    """
    cursor = _asked(caller, request)
    limit = min(request.limit, MAX_PAGE_ITEMS)

    def work(tx: ReadTx) -> ExportPage:
        items: list[Raw] = []
        size, last = 0, cursor.place
        for record, place in _records(tx, cursor, limit):
            size += len(record)
            if len(items) == limit or (items and size > MAX_PAGE_BYTES):
                goes_on = msgspec.structs.replace(cursor, place=last)
                return ExportPage(items=items, next=pages.encode(goes_on))
            items.append(Raw(record))
            last = place
        return ExportPage(items=items, next=None)

    return Task(WholeProject(caller.project_id), work, short=False)


def _asked(caller: Caller, request: Export) -> _Cursor:
    """Read what is asked: what the request says, or what its cursor says.

    Raises:
        InvalidParameter: the cursor is not valid here, or a parameter differs from it.
    """
    only = request.namespace or None if request.namespace is not UNSET else None
    if request.unnamed and only is not None:
        raise InvalidParameter("Invalid unnamed: a namespace is named too", field="unnamed")
    if request.next is UNSET:
        only = "" if request.unnamed else only
        return _Cursor(_CURSOR_VERSION, caller.project_id, only, _Place(only or ""))
    cursor = _read(request.next)
    if cursor.project_id != caller.project_id:
        raise _bad_cursor()
    if (only is not None and only != cursor.only) or (request.unnamed and cursor.only != ""):
        wire = "unnamed" if request.unnamed else "namespace"
        raise InvalidParameter(
            f"Invalid {wire}: it differs from that of the page before; leave it out", field=wire
        )
    return cursor


def _read(text: str) -> _Cursor:
    try:
        cursor = pages.decode(text, _Cursor)
    except ValueError:
        raise _bad_cursor() from None
    if cursor.version != _CURSOR_VERSION or not _DIALOGUES <= cursor.place.part < _END:
        raise _bad_cursor()
    return cursor


def _bad_cursor() -> InvalidParameter:
    return InvalidParameter(
        "Invalid next: it is not the next of a page of this export; begin again without it",
        field="next",
    )


def _records(tx: ReadTx, cursor: _Cursor, limit: int) -> Iterator[_Given]:
    """Give the records behind a cursor, as long as somebody takes them."""
    place = cursor.place
    while True:
        found = stored.spaces(tx, cursor.project_id, place.namespace, stored.STEP)
        for number, namespace in found:
            if cursor.only is not None and namespace != cursor.only:
                return
            space = tx.within(number)
            if namespace != place.namespace:
                place = _Place(namespace)
            if space is not None:
                yield from _of_space(space, cursor.project_id, place, limit)
        if len(found) < stored.STEP or cursor.only is not None:
            return
        place = _Place(found[-1][1], _END)


def _of_space(tx: ReadTx, project_id: str, place: _Place, limit: int) -> Iterator[_Given]:
    if place.part == _DIALOGUES:
        yield from _dialogues(tx, project_id, place, limit)
        place = _Place(place.namespace, _TOMBSTONES)
    if place.part == _TOMBSTONES:
        yield from _tombstones(tx, place, limit)
        place = _Place(place.namespace, _MEMORIES)
    if place.part == _MEMORIES:
        yield from _memories(tx, place)
        place = _Place(place.namespace, _SUMMARIES)
    if place.part == _SUMMARIES:
        yield from _summaries(tx, project_id, place)


def _dialogues(tx: ReadTx, project_id: str, place: _Place, limit: int) -> Iterator[_Given]:
    yield from _messages(tx, place, limit)
    while found := stored.dialogues_after(tx, place.created, place.inserted, place.id):
        for row, numbers in found:
            place = _Place(
                place.namespace,
                _DIALOGUES,
                row.created,
                row.inserted,
                row.id,
                numbers.last_sequence,
            )
            dialogue = dialogues.struct_of(row, project_id, place.namespace)
            yield _Given(_dialogue_record(_encode(dialogue), "dialogue", numbers), place)
            yield from _messages(tx, place, limit)


def _tombstones(tx: ReadTx, place: _Place, limit: int) -> Iterator[_Given]:
    yield from _messages(tx, place, limit)
    while found := stored.tombstones_after(tx, place.id):
        for left in found:
            place = _Place(place.namespace, _TOMBSTONES, id=left.id, number=left.last_sequence)
            own = {"id": left.id}
            if place.namespace:
                own["namespace"] = place.namespace
            yield _Given(_dialogue_record(_encode(own), "deleted_dialogue", left), place)
            yield from _messages(tx, place, limit)


def _messages(tx: ReadTx, place: _Place, limit: int) -> Iterator[_Given]:
    """Give the messages of the dialogue at a place, there or deleted; none before the first."""
    more = bool(place.id)
    of = Numbered(place.id, place.number, 0)
    while more:
        rows, more = stored.messages_after(tx, of, place.at, place.sequence, limit)
        for row in rows:
            message = messages.of_row(row, place.namespace)
            place = msgspec.structs.replace(place, at=row[2], sequence=row[3])
            yield _Given(b'{"type":"message",' + _encode(message)[1:], place)


def _memories(tx: ReadTx, place: _Place) -> Iterator[_Given]:
    more = True
    while more:
        window = {"start": place.created, "stop": LATEST_MS + 1, "at": place.created}
        rows, more = memories.page(
            tx, "asc", after=place.inserted, last=place.id, limit=stored.STEP, **window
        )
        for row in map(StoredMemory._make, rows):
            place = _Place(place.namespace, _MEMORIES, row.created, row.inserted, row.id)
            memory = memories.of_row(row, place.namespace)
            yield _Given(b'{"type":"memory",' + _encode(memory)[1:], place)


def _summaries(tx: ReadTx, project_id: str, place: _Place) -> Iterator[_Given]:
    more = True
    while more:
        window = {"start": place.created, "stop": LATEST_MS + 1, "at": place.created}
        rows, more = summaries.page(
            tx, None, "", "asc", after=place.inserted, last=place.id, limit=stored.STEP, **window
        )
        for row in map(StoredSummary._make, rows):
            place = _Place(place.namespace, _SUMMARIES, row.created, row.inserted, row.id)
            summary = summaries.struct_of(row, project_id, place.namespace)
            summary.job_id = UNSET
            yield _Given(b'{"type":"summary",' + _encode(summary)[1:-1] + _range(row), place)


def _range(row: StoredSummary) -> bytes:
    """Write the rest of a record of a summary: the positions of its range."""
    fields: dict[str, Any] = {"incremental": bool(row.incremental)}
    for name, place in (("start", row.start), ("end", row.end)):
        if place != summaries.BEGINNING:
            fields[f"{name}Created"] = text_of(place.created)
            fields[f"{name}Sequence"] = place.sequence
    return b"," + _encode(fields)[1:]


def _dialogue_record(text: bytes, kind: str, numbers: Numbered) -> bytes:
    """Put the type before an object of a dialogue, and its numbers behind it."""
    last = f',"lastSequence":{numbers.last_sequence}'
    last += f',"lastServerTime":"{text_of(numbers.last_server_time)}"}}'
    return b'{"type":"%s",' % kind.encode() + text[1:-1] + last.encode()
