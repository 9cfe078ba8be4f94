"""Import: records of an export become what they were, all of a request or nothing.

What is there already and equal is skipped, so that an import which was interrupted is simply run
again. First everything is checked, reading only; then what is new is stored.
"""

from collections.abc import Callable, Iterable
from typing import Any, Final, NamedTuple, TypeVar

from msgspec import UNSET, Raw, UnsetType

from dialoguedb.engine.caller import Caller, Replayed, Task
from dialoguedb.engine.idempotency import once
from dialoguedb.engine.messages import draft
from dialoguedb.errors import (
    DialogueDBError,
    DialogueNotFound,
    DuplicateId,
    InvalidInput,
    InvalidParameter,
)
from dialoguedb.models import documents
from dialoguedb.models.documents import EMPTY_ARRAY, EMPTY_OBJECT
from dialoguedb.models.summaries import COMPLETED, FAILED, PROCESSING
from dialoguedb.models.times import parse_instant
from dialoguedb.models.transfer import (
    DeletedDialogueRecord,
    DialogueRecord,
    MemoryRecord,
    MessageRecord,
    Restore,
    Restored,
    SummaryRecord,
)
from dialoguedb.store import changes, claims, dialogues, memories, messages, summaries
from dialoguedb.store import transfer as stored
from dialoguedb.store.claims import Kind
from dialoguedb.store.dialogues import Stored
from dialoguedb.store.memories import StoredMemory
from dialoguedb.store.messages import Draft, Place, StoredMessage
from dialoguedb.store.protocol import ReadTx, Scope, WriteTx
from dialoguedb.store.summaries import BEGINNING, Counts, Position, StoredSummary
from dialoguedb.store.transfer import Numbered

#: Why a summary has failed that was still to be made.
_NO_DIALOGUE: Final = "its dialogue was not there when it was imported; ask for it again"

R = TypeVar("R")


class _Message(NamedTuple):
    """A message that is to be stored."""

    id: str
    draft: Draft
    place: Place


class _Sorted(NamedTuple):
    """The records of a request, ready for the store: each with its number in the request."""

    dialogues: list[tuple[int, stored.Restored]]
    tombstones: list[tuple[int, Numbered]]
    messages: list[tuple[int, _Message]]
    memories: list[tuple[int, StoredMemory]]
    summaries: list[tuple[int, StoredSummary]]


class _Plan(NamedTuple):
    """What of a request is new."""

    dialogues: list[stored.Restored]
    tombstones: list[Numbered]
    higher: list[Numbered]
    messages: list[_Message]
    memories: list[StoredMemory]
    summaries: list[StoredSummary]

    @property
    def size(self) -> int:
        """How many records are to be stored."""
        return sum(len(part) for part in self)


def restore(caller: Caller, request: Restore) -> Task[Restored | Replayed]:
    """Import records into one namespace, all or none."""
    ready = _sorted(request)
    count = len(request.records)

    def work(tx: WriteTx) -> Restored:
        plan = _plan(tx, ready, alone=not request.dry_run)
        if not request.dry_run:
            _store(tx, plan)
        return Restored(imported=plan.size, skipped=count - plan.size)

    scope = Scope(caller.project_id, request.namespace)
    if request.dry_run:
        return Task(scope, work, short=False)
    whole = once(
        "transfer.restore",
        caller,
        request,
        work,
        made=lambda done: [done.imported, done.skipped],
        rebuild=lambda _, made: Restored(imported=made[0], skipped=made[1]),
    )
    return Task(scope, whole, short=False)


# ── outside the transaction ──────────────────────────────────────────────────────────────────


def _sorted(request: Restore) -> _Sorted:
    """Prepare the records for the store; check what concerns several fields of one.

    Raises:
        InvalidParameter, InvalidInput: a record's own parts do not agree.
    """
    ready = _Sorted([], [], [], [], [])
    for index, record in enumerate(request.records):
        if record.namespace not in ("", request.namespace):
            raise _wrong(index, "namespace", "it is not the namespace of the request")
        if isinstance(record, MessageRecord):
            ready.messages.append((index, _message(index, record)))
        elif isinstance(record, DialogueRecord):
            ready.dialogues.append((index, _dialogue(index, record)))
        elif isinstance(record, DeletedDialogueRecord):
            ready.tombstones.append((index, _numbered(record)))
        elif isinstance(record, MemoryRecord):
            ready.memories.append((index, _memory(index, record)))
        else:
            ready.summaries.append((index, _summary(index, record)))
    return ready


def _message(index: int, record: MessageRecord) -> _Message:
    prepared = draft(record)
    created_ms = prepared.created_ms or 0
    modified_ms = _modified(index, record.modified, created_ms)
    return _Message(
        record.id,
        prepared,
        Place(record.dialogue_id, record.sequence, created_ms, modified_ms),
    )


def _dialogue(index: int, record: DialogueRecord) -> stored.Restored:
    created_ms = parse_instant(record.created)
    row = Stored(
        space_id=0,
        id=record.id,
        request_id=record.request_id,
        thread_of=None if record.thread_of is UNSET else record.thread_of,
        label=record.label or None,
        tags=_tags(record.tags),
        total_messages=0,
        thread_count=0,
        last_message_created=None,
        version=record.version,
        created=created_ms,
        modified=_modified(index, record.modified, created_ms),
        ended=_instant(record.ended_at),
        archived=_instant(record.archived_at),
        inserted=0,
        stored_metadata=_document(record.metadata),
        stored_state=_document(record.state),
    )
    if row.status != record.status:
        raise _wrong(index, "status", "it is not what endedAt and archivedAt say", InvalidInput)
    if row.thread_of == row.id:
        raise _wrong(index, "threadOf", "a dialogue is no thread of itself")
    return stored.Restored(row, _numbered(record))


def _memory(index: int, record: MemoryRecord) -> StoredMemory:
    created_ms = parse_instant(record.created)
    return StoredMemory(
        space_id=0,
        id=record.id,
        inserted=0,
        label=record.label or None,
        description=record.description or None,
        value=documents.compact(record.value),
        metadata=_document(record.metadata),
        tags=_tags(record.tags),
        created=created_ms,
        modified=_modified(index, record.modified, created_ms),
    )


def _summary(index: int, record: SummaryRecord) -> StoredSummary:
    created_ms = parse_instant(record.created)
    start = _position(record.start_created, record.start_sequence)
    end = _position(record.end_created, record.end_sequence)
    if start > end:
        raise _wrong(index, "startCreated", "it comes after endCreated")
    first, last = _instant(record.from_created), _instant(record.to_created)
    done = record.status == COMPLETED
    return StoredSummary(
        space_id=0,
        id=record.id,
        inserted=0,
        dialogue_id=record.dialogue_id,
        status=record.status,
        stale=int(record.stale),
        template=record.template or None,
        based_on=record.based_on or None,
        incremental=int(record.incremental),
        # The id is a name that no other job has: nobody waits for an imported one.
        job=record.id if record.status == PROCESSING else None,
        start_created=start.created,
        start_sequence=start.sequence,
        end_created=end.created,
        end_sequence=end.sequence,
        from_created=first,
        to_created=last,
        provider=record.provider or None,
        model=record.model or None,
        error=record.error or None,
        counts=_counts(record) if done else None,
        metadata=None if record.metadata is UNSET else documents.compact(record.metadata),
        tags=None if record.tags is UNSET else documents.text_of(record.tags),
        created=created_ms,
        modified=_modified(index, record.modified, created_ms),
        content=None if record.content is UNSET or not done else record.content,
    )


def _position(created: str | UnsetType, sequence: int | UnsetType) -> Position:
    if created is UNSET or sequence is UNSET:
        return BEGINNING
    return Position(parse_instant(created), sequence)


def _counts(record: SummaryRecord) -> str:
    return documents.text_of(
        Counts(**{name: getattr(record, name) for name in Counts.__struct_fields__})
    )


def _numbered(record: DialogueRecord | DeletedDialogueRecord) -> Numbered:
    return Numbered(record.id, record.last_sequence, _instant(record.last_server_time) or 0)


def _instant(text: str | UnsetType) -> int | None:
    return None if text is UNSET else parse_instant(text)


def _modified(index: int, text: str, created_ms: int) -> int:
    modified_ms = parse_instant(text)
    if modified_ms < created_ms:
        raise _wrong(index, "modified", "it is before created")
    return modified_ms


def _tags(tags: list[str] | UnsetType) -> str:
    return documents.text_of(tags) if tags else EMPTY_ARRAY


def _document(value: Raw | UnsetType) -> str:
    return EMPTY_OBJECT if value is UNSET else documents.compact(value)


def _wrong(
    index: int, wire: str, problem: str, kind: type[DialogueDBError] = InvalidParameter
) -> DialogueDBError:
    place = f"records[{index}]"
    return kind(f"{place}: Invalid {wire}: {problem}", field=f"{place}.{wire}")


def _duplicate(index: int, kind: str, taken_id: str, problem: str) -> DuplicateId:
    place = f"records[{index}]"
    return DuplicateId(
        f"{place}: {kind} id '{taken_id}' {problem}", field=f"{place}.id", value=taken_id
    )


# ── reading only ─────────────────────────────────────────────────────────────────────────────


def _plan(tx: WriteTx, ready: _Sorted, *, alone: bool) -> _Plan:
    """Tell which records are new.

    Args:
        tx: bound to the namespace.
        ready: the records.
        alone: whether a message needs its dialogue here or in the store: of a dry run, a request
            before it has stored nothing.
    Raises:
        DuplicateId: an id is taken by something that is not equal.
        DialogueNotFound, InvalidInput: a message does not fit into its dialogue.
    """
    new_dialogues = _new(tx, "dialogue", ready.dialogues, lambda one: one.row.id, _same_dialogue)
    known = {one.row.id: one.numbers for _, one in new_dialogues}
    new_tombstones, higher = _new_tombstones(tx, ready.tombstones, known)
    known |= {one.id: one for one in (*new_tombstones, *higher)}
    new_messages = _new(tx, "message", ready.messages, lambda one: one.id, _same_message)
    _check_sequences(tx, new_messages, known, alone=alone)
    new_memories = _new(tx, "memory", ready.memories, lambda one: one.id, _same_memory)
    new_summaries = _new(tx, "summary", ready.summaries, lambda one: one.id, _same_summary)
    return _Plan(
        [one for _, one in new_dialogues],
        new_tombstones,
        higher,
        [one for _, one in new_messages],
        [one for _, one in new_memories],
        [_possible(tx, one, known) for _, one in new_summaries],
    )


def _new(
    tx: WriteTx,
    kind: Kind,
    given: list[tuple[int, R]],
    id_of: Callable[[R], str],
    same: Callable[[ReadTx, R, R | None], bool],
) -> list[tuple[int, R]]:
    """Tell which of some resources are not there; the others must be equal to those that are.

    Args:
        tx: bound to the namespace.
        kind: what they are.
        given: the resources, with their numbers in the request.
        id_of: gives the id of one.
        same: compares one with another of the request, or with the stored one for None.
    """
    taken = stored.taken(tx, kind, [id_of(one) for _, one in given])
    new: dict[str, tuple[int, R]] = {}
    for index, one in given:
        own_id = id_of(one)
        _, known = new.get(own_id, (0, None))
        if own_id not in taken and known is None:
            new[own_id] = (index, one)
        elif not same(tx, one, known):
            raise _duplicate(index, kind, own_id, "is already taken in this project by another one")
    return list(new.values())


def _same_dialogue(tx: ReadTx, one: stored.Restored, other: stored.Restored | None) -> bool:
    if other is None:
        row, found = dialogues.get(tx, one.row.id), stored.numbers(tx, one.row.id)
        if row is None or found is None:
            return False  # it is in another namespace
        other = stored.Restored(row, found[0])
    return _fixed(one.row) == _fixed(other.row) and _reached(one.numbers, other.numbers)


def _fixed(row: Stored) -> tuple[Any, ...]:
    """Give what of a dialogue does not follow from other resources."""
    return (
        row.request_id,
        row.thread_of,
        row.label,
        row.tags,
        row.version,
        row.created,
        row.modified,
        row.ended,
        row.archived,
        row.metadata,
        row.state,
    )


def _reached(one: Numbered, other: Numbered) -> bool:
    """Tell whether the other has numbers that are as high: what was deleted may have left more."""
    return (
        one.last_sequence <= other.last_sequence and one.last_server_time <= other.last_server_time
    )


def _same_message(tx: ReadTx, one: _Message, other: _Message | None) -> bool:
    if other is not None:
        return one == other
    row = messages.get(tx, one.id)
    return row is not None and _parts(one) == _parts_of_row(row)


def _parts(one: _Message) -> tuple[Any, ...]:
    made = one.draft
    return (*one.place, made.role, made.name, made.content.text, made.metadata, made.tags)


def _parts_of_row(row: StoredMessage) -> tuple[Any, ...]:
    place = Place(row.dialogue_id, row.sequence, row.created, row.modified)
    return (*place, row.role, row.name, row.content, row.metadata, row.tags)


def _same_memory(tx: ReadTx, one: StoredMemory, other: StoredMemory | None) -> bool:
    held = memories.get(tx, one.id) if other is None else other
    return held is not None and held._replace(space_id=0, inserted=0) == one


def _same_summary(tx: ReadTx, one: StoredSummary, other: StoredSummary | None) -> bool:
    """Compare summaries; the stored one may have been completed, or have become stale, since."""
    held = summaries.get(tx, one.id) if other is None else other
    if held is None or _asked(held) != _asked(one):
        return False
    return one.status == PROCESSING or _made(held) == _made(one)


def _asked(row: StoredSummary) -> tuple[Any, ...]:
    """Give what was asked of a summary."""
    asked = (row.dialogue_id, row.template, row.incremental, row.start, row.end)
    return (*asked, row.metadata, row.tags, row.created)


def _made(row: StoredSummary) -> tuple[Any, ...]:
    """Give how the making of a summary has ended."""
    made = (row.status, row.based_on, row.provider, row.model, row.error, row.content)
    return (*made, row.told, row.from_created, row.to_created)


def _new_tombstones(
    tx: ReadTx, given: list[tuple[int, Numbered]], there: dict[str, Numbered]
) -> tuple[list[Numbered], list[Numbered]]:
    """Tell which deleted dialogues are not known; their ids are nobody's, so they claim none.

    One that was deleted while it was exported is in the file twice: first there, then deleted. It
    stays there, and takes the numbers that it had at its end.

    Returns: those that are new, and the higher numbers of those that are there.
    """
    new: dict[str, Numbered] = {}
    higher: dict[str, Numbered] = {}
    for index, one in given:
        found = stored.numbers(tx, one.id)
        standing = there.get(one.id) or (found[0] if found is not None and found[1] else None)
        if standing is not None:
            if not _reached(one, higher.get(one.id, standing)):
                higher[one.id] = one
            continue
        known = new.get(one.id) or (found and found[0])
        if known is None:
            new[one.id] = one
        elif not _reached(one, known):
            raise _duplicate(index, "dialogue", one.id, "is that of another deleted dialogue")
    return list(new.values()), list(higher.values())


def _check_sequences(
    tx: ReadTx, given: list[tuple[int, _Message]], known: dict[str, Numbered], *, alone: bool
) -> None:
    """See that new messages have numbers of their own that their dialogues have given."""
    by_dialogue: dict[str, list[tuple[int, int]]] = {}
    for index, one in given:
        of = by_dialogue.setdefault(one.place.dialogue_id, [])
        of.append((one.place.sequence, index))
    for dialogue_id, numbered in by_dialogue.items():
        found = stored.numbers(tx, dialogue_id)
        numbers = known.get(dialogue_id) or (found and found[0])
        if numbers is None and alone:
            index = numbered[0][1]
            raise DialogueNotFound(
                f"records[{index}]: dialogue '{dialogue_id}' is not there; its record comes first",
                field=f"records[{index}].dialogueId",
            )
        last = numbered[0][0] if numbers is None else numbers.last_sequence
        used = set() if found is None else _used(tx, dialogue_id, numbered)
        for sequence, index in numbered:
            if numbers is not None and sequence > last:
                problem = f"its dialogue's lastSequence is {last}"
                raise _wrong(index, "sequence", problem, InvalidInput)
            if sequence in used:
                problem = "another message of its dialogue has this one"
                raise _wrong(index, "sequence", problem, InvalidInput)
            used.add(sequence)


def _possible(tx: ReadTx, row: StoredSummary, known: dict[str, Numbered]) -> StoredSummary:
    """Give a summary as it is to be stored: of a dialogue that is nowhere none can be made.

    It is not refused as a message is. Each page of an export is of a moment of its own: the last
    ones, which hold summaries, can hold those of a dialogue that is younger than the first ones.
    """
    there = row.dialogue_id in known or stored.numbers(tx, row.dialogue_id) is not None
    if there or row.status != PROCESSING:
        return row
    return row._replace(status=FAILED, job=None, error=_NO_DIALOGUE)


def _used(tx: ReadTx, dialogue_id: str, numbered: Iterable[tuple[int, int]]) -> set[int]:
    wanted = [sequence for sequence, _ in numbered]
    return stored.sequences(tx, dialogue_id, min(wanted), max(wanted))


# ── storing ──────────────────────────────────────────────────────────────────────────────────


def _store(tx: WriteTx, plan: _Plan) -> None:
    """Store what is new, and have it indexed."""
    claims.take(tx, "dialogue", [one.row.id for one in plan.dialogues])
    stored.insert_tombstones(tx, plan.tombstones)
    stored.insert_dialogues(tx, plan.dialogues)
    stored.raise_numbers(tx, plan.higher)
    for one in plan.dialogues:
        changes.dialogue(tx, one.row)
    claims.take(tx, "message", [one.id for one in plan.messages])
    rows = messages.insert(tx, plan.messages)
    for row, message in zip(rows, plan.messages, strict=True):
        # Not the time of this import: the dialogue's `modified` stays as it was.
        changes.message(tx, row, 0, message.draft.words)
    placed: dict[str, list[tuple[int, int]]] = {}
    for row in rows:
        placed.setdefault(row.dialogue_id, []).append((row.created, row.sequence))
    for dialogue_id, places in placed.items():
        stored.count_messages(tx, dialogue_id, len(places), max(places)[0])
        summaries.touch(tx, dialogue_id, places, tx.runtime.now())
    claims.take(tx, "memory", [one.id for one in plan.memories])
    for memory in stored.insert_memories(tx, plan.memories):
        changes.memory(tx, memory)
    claims.take(tx, "summary", [one.id for one in plan.summaries])
    for summary in plan.summaries:
        summaries.insert(tx, summary)
