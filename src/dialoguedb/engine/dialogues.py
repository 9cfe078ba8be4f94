"""Dialogues: their life, their state, their threads (contract 5.1 to 5.7, 6, 7)."""

from collections.abc import Sequence
from typing import Any

from msgspec import UNSET

from dialoguedb.engine import messages, pages
from dialoguedb.engine.caller import Caller, Replayed, Task
from dialoguedb.engine.idempotency import once
from dialoguedb.errors import (
    DialogueImmutable,
    InvalidInput,
    PreconditionFailed,
    StateTooLarge,
)
from dialoguedb.models import documents
from dialoguedb.models.dialogues import (
    ActOnDialogue,
    CreateDialogue,
    Deleted,
    DeleteDialogue,
    Dialogue,
    DialoguePage,
    DialogueState,
    ListDialogues,
    MergeState,
    NameDialogue,
    UpdateDialogue,
)
from dialoguedb.models.documents import EMPTY_ARRAY
from dialoguedb.models.limits import FIRST_MESSAGES, MAX_STATE_BYTES
from dialoguedb.models.messages import Message
from dialoguedb.models.times import EARLIEST_MS, parse_instant, text_of
from dialoguedb.store import changes, claims, summaries
from dialoguedb.store import dialogues as stored
from dialoguedb.store import messages as stored_messages
from dialoguedb.store.dialogues import Stored
from dialoguedb.store.messages import Draft
from dialoguedb.store.protocol import ReadTx, Scope, WriteTx


def create(caller: Caller, request: CreateDialogue) -> Task[Dialogue | Replayed]:
    """Create a dialogue with its first messages (5.1)."""
    drafts, places = _drafts(request)

    def work(tx: WriteTx) -> Dialogue:
        return _create(tx, caller, request, drafts, places)

    def rebuild(tx: WriteTx, ids: dict[str, Any]) -> Dialogue:
        dialogue = _struct(tx, _stored(tx, ids["id"]))
        if dialogue.request_id != ids["request"]:  # another one has taken its id since
            raise messages.no_dialogue(dialogue.id)
        dialogue.messages = _those_left(tx, ids["messages"])
        return dialogue

    whole = once("dialogues.create", caller, request, work, made=_ids, rebuild=rebuild)
    return Task(Scope(caller.project_id, request.namespace), whole)


def _drafts(
    request: CreateDialogue | UpdateDialogue,
) -> tuple[Sequence[Draft], Sequence[str]]:
    """Prepare the messages in a body, and name the places of their ids."""
    if request.message is not UNSET:
        if request.messages:
            raise InvalidInput("Send either message or messages, not both", field="message")
        return [messages.draft(request.message)], ["message.id"]
    if request.messages is UNSET:
        return [], []
    drafts = [messages.draft(message) for message in request.messages]
    return drafts, [f"messages[{index}].id" for index in range(len(drafts))]


def _create(
    tx: WriteTx,
    caller: Caller,
    request: CreateDialogue,
    drafts: Sequence[Draft],
    places: Sequence[str],
) -> Dialogue:
    now_ms = tx.runtime.now()
    dialogue_id = tx.runtime.ulid() if request.id is UNSET else request.id
    thread_of = None if request.thread_of is UNSET else request.thread_of
    if thread_of is not None and not stored.count_thread(tx, thread_of, 1):
        raise messages.no_dialogue(thread_of, "threadOf")
    claims.take(tx, "dialogue", [dialogue_id])
    created_ms = now_ms if request.created is UNSET else parse_instant(request.created)
    beginning = stored.begin(tx, dialogue_id)
    newest_ms = beginning.last_message_created
    times = _times(drafts, max(now_ms, beginning.last_server_time))
    beginning = beginning._replace(
        last_sequence=beginning.last_sequence + len(drafts),
        last_server_time=max(now_ms, beginning.last_server_time),
        total_messages=beginning.total_messages + len(drafts),
        last_message_created=max(
            (ms for ms in (beginning.last_message_created, *times) if ms is not None), default=None
        ),
    )
    row = Stored(
        space_id=0,
        id=dialogue_id,
        request_id=caller.request_id,
        thread_of=thread_of,
        label=request.label or None,
        tags=documents.text_of(request.tags) if request.tags else EMPTY_ARRAY,
        total_messages=beginning.total_messages,
        thread_count=beginning.thread_count,
        last_message_created=beginning.last_message_created,
        version=1,
        created=created_ms,
        modified=max(now_ms, created_ms),
        ended=None,
        archived=None,
        inserted=tx.runtime.ordinal(),
        stored_metadata=None if request.metadata is UNSET else documents.compact(request.metadata),
        stored_state=None if request.state is UNSET else documents.compact(request.state),
    )
    stored.insert(tx, row, beginning)
    changes.dialogue(tx, row)
    numbers = stored.Numbers(
        beginning.last_sequence,
        beginning.last_server_time,
        now_ms,
        EARLIEST_MS if newest_ms is None else newest_ms,
    )
    dialogue = _struct(tx, row)
    dialogue.messages = messages.insert(tx, dialogue_id, drafts, places, numbers)
    return dialogue


def _times(drafts: Sequence[Draft], server_time_ms: int) -> list[int]:
    return [server_time_ms if one.created_ms is None else one.created_ms for one in drafts]


def _stored(tx: ReadTx, dialogue_id: str) -> Stored:
    row = stored.get(tx, dialogue_id)
    if row is None:
        raise messages.no_dialogue(dialogue_id)
    return row


def _struct(tx: ReadTx, row: Stored) -> Dialogue:
    return stored.struct_of(row, tx.scope.project_id, tx.scope.namespace)


def _with_first_messages(tx: ReadTx, caller: Caller, dialogue_id: str) -> Dialogue:
    """Give a dialogue with its first messages, and the cursor for the rest (4.1, 5.3)."""
    cursor = pages.first(
        caller, "messages", order="asc", namespace=tx.scope.namespace, parent=dialogue_id
    )
    first = pages.Question(cursor, FIRST_MESSAGES)
    tx.foresee([stored.asking(dialogue_id), messages.asking_page(first)])
    dialogue = _struct(tx, _stored(tx, dialogue_id))
    page = messages.page_of(tx, first)
    dialogue.messages = page.items
    dialogue.messages_next = UNSET if page.next is None else page.next
    return dialogue


def _check_version(caller: Caller, row: Stored) -> None:
    """Hold `If-Match` against the version (5.15)."""
    if caller.if_match is not None and row.version not in caller.if_match:
        raise PreconditionFailed(
            f"Dialogue '{row.id}' has version {row.version}, which If-Match does not name; read it "
            "again and repeat the change",
            field="If-Match",
            value=row.version,
        )


def get(caller: Caller, request: NameDialogue) -> Task[Dialogue]:
    """Get a dialogue with its state and first messages (5.3)."""

    def work(tx: ReadTx) -> Dialogue:
        return _with_first_messages(tx, caller, str(request.id))

    return Task(Scope(caller.project_id, request.namespace), work)


def list_(caller: Caller, request: ListDialogues) -> Task[DialoguePage]:
    """List dialogues, or the threads of one (5.2)."""
    asked = pages.question(caller, "dialogues", request, parent="thread_of", order="desc")
    thread_of = asked.cursor.parent or None

    def work(tx: ReadTx) -> DialoguePage:
        found = stored.page(tx, thread_of, asked.cursor.order, **asked.window)
        items = [_struct(tx, Stored._make(row)) for row in found[0]]
        page = pages.take(asked, found, items, position=(10, 14, 1))
        return DialoguePage(items=page.items, next=page.next)

    return Task(Scope(caller.project_id, asked.cursor.namespace), work)


threads = list_


def get_state(caller: Caller, request: NameDialogue) -> Task[DialogueState]:
    """Get the state of a dialogue (5.15)."""

    def work(tx: ReadTx) -> DialogueState:
        row = _stored(tx, str(request.id))
        return DialogueState(state=documents.raw(row.state), version=row.version)

    return Task(Scope(caller.project_id, request.namespace), work)


def update(caller: Caller, request: UpdateDialogue) -> Task[Dialogue | Replayed]:
    """Replace label, tags or state, and append messages (5.4).

    An idempotency key counts where a repetition would matter: of messages it would make twice as
    many, and under `If-Match` it would meet the version that it has made itself.
    """
    drafts, places = _drafts(request)
    scope = Scope(caller.project_id, request.namespace)
    answers_messages = request.message is not UNSET or request.messages is not UNSET

    def work(tx: WriteTx) -> Dialogue:
        row = _stored(tx, str(request.id))
        _check_version(caller, row)
        messages.refuse_changes(
            {
                "metadata": (request.metadata, documents.raw(row.metadata)),
                "threadOf": (request.thread_of, UNSET if row.thread_of is None else row.thread_of),
            },
            created=(request.created, text_of(row.created)),
        )
        made = messages.append(tx, row.id, drafts, places) if drafts else []
        _replace(tx, row, request)
        dialogue = _struct(tx, _stored(tx, row.id))
        if answers_messages:
            dialogue.messages = made
        return dialogue

    def rebuild(tx: WriteTx, ids: dict[str, Any]) -> Dialogue:
        dialogue = _struct(tx, _stored(tx, ids["id"]))
        if answers_messages:
            dialogue.messages = _those_left(tx, ids["messages"])
        return dialogue

    if caller.if_match is None and not drafts:
        return Task(scope, work)
    whole = once("dialogues.update", caller, request, work, made=_ids, rebuild=rebuild)
    return Task(scope, whole)


def _ids(dialogue: Dialogue) -> dict[str, Any]:
    """Name what an answer holds: the dialogue, who made it, and its messages."""
    return {
        "id": dialogue.id,
        "request": dialogue.request_id,
        "messages": [message.id for message in dialogue.messages or ()],
    }


def _those_left(tx: ReadTx, ids: Sequence[str]) -> list[Message]:
    found = (stored_messages.get(tx, one) for one in ids)
    return [stored_messages.of_row(row, tx.scope.namespace) for row in found if row is not None]


def _replace(tx: WriteTx, row: Stored, request: UpdateDialogue) -> None:
    """Store what an update replaces."""
    after = row
    if request.label is not UNSET:
        after = after._replace(label=request.label or None)
    if request.tags is not UNSET:
        after = after._replace(tags=documents.text_of(request.tags))
    state = row.state if request.state is UNSET else documents.compact(request.state)
    _store(tx, row, after, state)


def _store(tx: WriteTx, before: Stored, after: Stored, state: str) -> bool:
    """Store what has changed of a dialogue; where nothing has, its version stays (5.15)."""
    if after == before and state == before.state:
        return False
    if state != before.state:
        stored.put_state(tx, before, state)
    stored.update(tx, after, tx.runtime.now())
    changes.dialogue(tx, _stored(tx, before.id), same_label=after.label == before.label)
    return True


def merge_state(caller: Caller, request: MergeState) -> Task[DialogueState]:
    """Set keys of the state; the others stay (5.7)."""

    def work(tx: WriteTx) -> DialogueState:
        row = _stored(tx, str(request.id))
        _check_version(caller, row)
        state = documents.merge(row.state, request.state)
        size = len(state.encode())
        if size > MAX_STATE_BYTES:
            raise StateTooLarge(
                f"Invalid state: {size} bytes after the merge, at most {MAX_STATE_BYTES} are "
                "allowed",
                field="state",
            )
        version = row.version + _store(tx, row, row, state)
        return DialogueState(state=documents.raw(state), version=version)

    return Task(Scope(caller.project_id, request.namespace), work)


def act(caller: Caller, request: ActOnDialogue) -> Task[Dialogue | Replayed]:
    """End, archive, unarchive or reopen a dialogue; what is so already stays so (5.6, 7.1)."""

    def work(tx: WriteTx) -> Dialogue:
        row = _stored(tx, str(request.id))
        _check_version(caller, row)
        now_ms = tx.runtime.now()
        after = {
            "end": row._replace(ended=row.ended or now_ms),
            "reopen": row._replace(ended=None),
            "archive": row._replace(archived=row.archived or now_ms),
            "unarchive": row._replace(archived=None),
        }[str(request.action)]
        _store(tx, row, after, row.state)
        return _with_first_messages(tx, caller, row.id)

    whole = once(
        "dialogues.act",
        caller,
        request,
        work,
        made=lambda dialogue: dialogue.id,
        rebuild=lambda tx, made: _with_first_messages(tx, caller, made),
    )
    return Task(Scope(caller.project_id, request.namespace), whole)


def delete(caller: Caller, request: DeleteDialogue) -> Task[Deleted]:
    """Delete a dialogue with its state; its messages remain unless `cascade` is set (7.4).

    So do its summaries: they say what the messages do.
    """

    def work(tx: WriteTx) -> Deleted:
        row = _stored(tx, str(request.id))
        _check_version(caller, row)
        if caller.immutable:
            raise DialogueImmutable(
                "Dialogues cannot be deleted: the project's dialogues are immutable", field="id"
            )
        stored.delete(tx, row.id)
        claims.drop(tx, "dialogue", row.id)
        changes.dialogue_gone(tx, row.id)
        if request.cascade:
            gone = stored_messages.delete_of_dialogue(tx, row.id)
            for message_id, _ in gone:
                claims.drop(tx, "message", message_id)
            changes.messages_gone(
                tx,
                [(message_id, row.id, sequence) for message_id, sequence in gone],
                tx.runtime.now(),
            )
            summaries.delete_of_dialogue(tx, row.id)
        return Deleted(success=True, id=row.id)

    return Task(Scope(caller.project_id, request.namespace), work, short=not request.cascade)
