"""Summaries: what a dialogue's messages come to, made in the background (contract 9)."""

import hashlib
from typing import NamedTuple

import msgspec
from msgspec import UNSET, UnsetType

from dialoguedb.engine import pages
from dialoguedb.engine.caller import Caller, Replayed, Task
from dialoguedb.engine.idempotency import once
from dialoguedb.engine.messages import no_dialogue
from dialoguedb.errors import (
    InvalidParameter,
    MessageNotFound,
    SummaryNotFound,
    SummaryUnderWay,
)
from dialoguedb.models import documents
from dialoguedb.models.dialogues import Deleted
from dialoguedb.models.summaries import (
    PROCESSING,
    CreateSummary,
    LatestSummary,
    ListSummaries,
    NameSummary,
    Summary,
    SummaryPage,
)
from dialoguedb.store import claims, dialogues, messages
from dialoguedb.store import summaries as stored
from dialoguedb.store.protocol import ReadTx, Scope, WriteTx
from dialoguedb.store.summaries import BEGINNING, Position, StoredSummary


class _Range(NamedTuple):
    """The positions that are summarised: from `start` to `end`, with both."""

    start: Position
    end: Position


def create(caller: Caller, request: CreateSummary) -> Task[Summary | Replayed]:
    """Have a dialogue summarised, or a range of its messages (9.1).

    What is being summarised already is not begun again: the same summary is answered.
    """
    scope = Scope(caller.project_id, request.namespace)

    def work(tx: WriteTx) -> Summary:
        dialogue_id = str(request.dialogue_id)
        if dialogues.get(tx, dialogue_id) is None:
            raise no_dialogue(dialogue_id, "dialogueId")
        row = _row(tx, request, _range(tx, dialogue_id, request))
        found = stored.under_way(tx, dialogue_id, str(row.job))
        if found is not None:
            return _struct(tx, _joined(found, request))
        claims.take(tx, "summary", [row.id])
        return _struct(tx, stored.insert(tx, row))

    whole = once(
        "summaries.create",
        caller,
        request,
        work,
        made=lambda summary: summary.id,
        rebuild=lambda tx, made: _struct(tx, _stored(tx, made)),
    )
    return Task(scope, whole)


def _range(tx: ReadTx, dialogue_id: str, request: CreateSummary) -> _Range:
    """Find the positions that a request means; without `endId` up to the newest message now.

    Raises:
        MessageNotFound: a message is not there, or of another dialogue.
        InvalidParameter: the first comes after the last.
    """
    start, end = BEGINNING, stored.last_message(tx, dialogue_id)
    if request.end_id is not UNSET:
        end = _position(tx, dialogue_id, request.end_id, "endId")
    if request.start_id is not UNSET:
        start = _position(tx, dialogue_id, request.start_id, "startId")
    if start > end:
        raise InvalidParameter("Invalid startId: it comes after endId", field="startId")
    return _Range(start, end)


def _position(tx: ReadTx, dialogue_id: str, message_id: str, wire: str) -> Position:
    row = messages.get(tx, message_id)
    if row is None or row.dialogue_id != dialogue_id:
        raise MessageNotFound(
            f"Message '{message_id}' not found in dialogue '{dialogue_id}'", field=wire
        )
    return Position(row.created, row.sequence)


def _row(tx: WriteTx, request: CreateSummary, covered: _Range) -> StoredSummary:
    """Make the row of a summary that is to be made."""
    now_ms = tx.runtime.now()
    return StoredSummary(
        space_id=tx.space_id,
        id=tx.runtime.ulid() if request.id is UNSET else request.id,
        inserted=0,
        dialogue_id=str(request.dialogue_id),
        status=PROCESSING,
        stale=0,
        template=request.template or None,
        based_on=None,
        incremental=int(request.incremental and covered.start == BEGINNING),
        job=_job(request, covered),
        start_created=covered.start.created,
        start_sequence=covered.start.sequence,
        end_created=covered.end.created,
        end_sequence=covered.end.sequence,
        from_created=None,
        to_created=None,
        provider=None,
        model=None,
        error=None,
        counts=None,
        metadata=None if request.metadata is UNSET else documents.compact(request.metadata),
        tags=_tags(request.tags),
        created=now_ms,
        modified=now_ms,
        content=None,
    )


def _tags(tags: list[str] | UnsetType) -> str | None:
    return None if tags is UNSET else documents.text_of(tags)


def _job(request: CreateSummary, covered: _Range) -> str:
    """Name the job of what is asked: two requests that ask the same have one."""
    asked = (request.dialogue_id, request.template or None, request.incremental, *covered)
    return hashlib.sha256(msgspec.json.encode(asked)).hexdigest()[:32]


def _joined(found: StoredSummary, request: CreateSummary) -> StoredSummary:
    """Answer a request with the summary that is under way, if it does not name another one.

    Raises:
        SummaryUnderWay: it does.
    """
    if request.id not in (UNSET, found.id):
        raise SummaryUnderWay(
            f"Summary '{found.id}' of the same messages is under way; wait for it, or leave the id "
            "out",
            field="id",
            value=found.id,
        )
    return found


def _stored(tx: ReadTx, summary_id: str) -> StoredSummary:
    row = stored.get(tx, summary_id)
    if row is None:
        raise _no_summary(summary_id)
    return row


def _no_summary(summary_id: str) -> SummaryNotFound:
    return SummaryNotFound(f"Summary '{summary_id}' not found in this namespace", field="id")


def _struct(tx: ReadTx, row: StoredSummary) -> Summary:
    return stored.struct_of(row, tx.scope.project_id, tx.scope.namespace)


def _named(tx: ReadTx, request: NameSummary) -> StoredSummary:
    """Find the summary that a request names; of the dialogue that it names, if it does."""
    row = _stored(tx, str(request.id))
    if request.dialogue_id not in (UNSET, row.dialogue_id):
        raise _no_summary(row.id)
    return row


def get(caller: Caller, request: NameSummary) -> Task[Summary]:
    """Get a summary (9.2)."""
    scope = Scope(caller.project_id, request.namespace)
    return Task(scope, lambda tx: _struct(tx, _named(tx, request)))


def latest(caller: Caller, request: LatestSummary) -> Task[Summary]:
    """Get the latest summary of a dialogue, whatever its status is (9.2)."""
    dialogue_id = str(request.dialogue_id)
    cursor = pages.first(
        caller, "summaries", order="desc", namespace=request.namespace, parent=dialogue_id
    )
    window = pages.Question(cursor, 1).window

    def work(tx: ReadTx) -> Summary:
        rows, _ = stored.page(tx, dialogue_id, "", "desc", **window)
        if not rows:
            raise SummaryNotFound(f"Dialogue '{dialogue_id}' has no summary", field="dialogueId")
        return _struct(tx, StoredSummary._make(rows[0]))

    return Task(Scope(caller.project_id, request.namespace), work)


def list_(caller: Caller, request: ListSummaries) -> Task[SummaryPage]:
    """List summaries: of a dialogue, or of the namespace (9.2)."""
    asked = pages.question(caller, "summaries", request, parent="dialogue_id", order="desc")
    cursor = asked.cursor

    def work(tx: ReadTx) -> SummaryPage:
        parent = cursor.parent or None
        found = stored.page(tx, parent, cursor.status, cursor.order, **asked.window)
        items = [_struct(tx, StoredSummary._make(row)) for row in found[0]]
        page = pages.take(asked, found, items, position=_POSITION)
        return SummaryPage(items=page.items, next=page.next)

    return Task(Scope(caller.project_id, cursor.namespace), work)


def _place(name: str) -> int:
    return StoredSummary._fields.index(name)


_POSITION = (_place("created"), _place("inserted"), _place("id"))


def delete(caller: Caller, request: NameSummary) -> Task[Deleted]:
    """Delete a summary; one that is processing never comes back (9.2)."""

    def work(tx: WriteTx) -> Deleted:
        row = _named(tx, request)
        stored.delete(tx, row)
        return Deleted(success=True, id=row.id)

    return Task(Scope(caller.project_id, request.namespace), work)
