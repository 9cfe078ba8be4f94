"""Messages: append, read, tag, delete (contract 5.8 to 5.13)."""

from collections.abc import Sequence

from msgspec import UNSET, Raw

from dialoguedb.engine import pages
from dialoguedb.engine.caller import Caller, Replayed, Task
from dialoguedb.engine.idempotency import once
from dialoguedb.errors import (
    DialogueEnded,
    DialogueImmutable,
    DialogueNotFound,
    ImmutableField,
    MessageNotFound,
    MissingParameter,
)
from dialoguedb.models import content, documents
from dialoguedb.models.documents import EMPTY_ARRAY, EMPTY_OBJECT
from dialoguedb.models.messages import (
    CreateMessage,
    CreateMessages,
    DeletedMessage,
    ListMessages,
    Message,
    MessagePage,
    NameMessage,
    NewMessage,
    UpdateMessage,
)
from dialoguedb.models.times import EARLIEST_MS, parse_instant, text_of
from dialoguedb.search import texts
from dialoguedb.search.indexer import words_of
from dialoguedb.store import changes, claims, dialogues, summaries
from dialoguedb.store import messages as stored
from dialoguedb.store.messages import Draft, Place, StoredMessage
from dialoguedb.store.protocol import Param, ReadTx, Scope, WriteTx

#: Characters of content from which on it is analysed before the transaction: others write then.
LONG_TEXT = 65_536


def draft(message: NewMessage) -> Draft:
    """Prepare a checked message for the store, outside any transaction."""
    name = None if message.name is UNSET else message.name
    measured = content.measure(message.content)
    is_long = len(measured.text) > LONG_TEXT
    return Draft(
        id=None if message.id is UNSET else message.id,
        role=message.role,
        name=name,
        content=measured,
        metadata=EMPTY_OBJECT if message.metadata is UNSET else documents.compact(message.metadata),
        tags=documents.text_of(message.tags) if message.tags else EMPTY_ARRAY,
        created_ms=None if message.created is UNSET else parse_instant(message.created),
        words=words_of(texts.of_message(measured.text, name)) if is_long else None,
    )


def append(
    tx: WriteTx, dialogue_id: str, drafts: Sequence[Draft], places: Sequence[str]
) -> list[Message]:
    """Append messages to a dialogue, all or none.

    Args:
        tx: the transaction, bound to the dialogue's space.
        dialogue_id: the dialogue.
        drafts: the messages, at least one, in order.
        places: the path of each one's id in the request, for errors.
    Raises:
        DialogueNotFound, DialogueEnded, DuplicateId: nothing is stored.
    """
    now_ms = tx.runtime.now()
    custom = [one.created_ms for one in drafts if one.created_ms is not None]
    numbers = dialogues.take_numbers(
        tx,
        dialogue_id,
        count=len(drafts),
        newest_ms=max(custom, default=EARLIEST_MS),
        stamped=len(custom) < len(drafts),
        now_ms=now_ms,
    )
    if numbers is None:
        raise _refused(tx, dialogue_id)
    return insert(tx, dialogue_id, drafts, places, numbers)


def insert(
    tx: WriteTx,
    dialogue_id: str,
    drafts: Sequence[Draft],
    places: Sequence[str],
    numbers: dialogues.Numbers,
) -> list[Message]:
    """Store messages under numbers that their dialogue has given, the last of them the last one's.

    Raises:
        DuplicateId: one of their ids is taken.
    """
    ids = [one.id or tx.runtime.ulid() for one in drafts]
    if any(one.id for one in drafts):
        claims.take(tx, "message", ids, fields=places)
    else:
        claims.take_new(tx, "message", ids)
    first = numbers.last_sequence - len(drafts) + 1
    new = []
    for sequence, (message_id, one) in enumerate(zip(ids, drafts, strict=True), first):
        created_ms = numbers.server_time_ms if one.created_ms is None else one.created_ms
        modified_ms = max(numbers.now_ms, created_ms)
        new.append((message_id, one, Place(dialogue_id, sequence, created_ms, modified_ms)))
    rows = stored.insert(tx, new)
    for row, one in zip(rows, drafts, strict=True):
        changes.message(tx, row, numbers.now_ms, one.words)
    late = [(row.created, row.sequence) for row in rows if row.created < numbers.newest_ms]
    summaries.touch(tx, dialogue_id, late, numbers.now_ms)
    return [stored.of_row(row, tx.scope.namespace) for row in rows]


def _refused(tx: ReadTx, dialogue_id: str) -> DialogueNotFound | DialogueEnded:
    """Say why a dialogue takes no messages."""
    row = dialogues.get(tx, dialogue_id)
    if row is None:
        return no_dialogue(dialogue_id, "dialogueId")
    return DialogueEnded(
        f"Dialogue '{dialogue_id}' is {row.status} and takes no new messages", field="dialogueId"
    )


def no_dialogue(dialogue_id: str, field: str = "id") -> DialogueNotFound:
    """Make the error for a dialogue that is not there."""
    return DialogueNotFound(f"Dialogue '{dialogue_id}' not found in this namespace", field=field)


def no_message(message_id: str) -> MessageNotFound:
    """Make the error for a message that is not there."""
    return MessageNotFound(f"Message '{message_id}' not found in this namespace", field="id")


def create(caller: Caller, request: CreateMessage) -> Task[Message | Replayed]:
    """Append a message to a dialogue (5.8)."""
    dialogue_id = str(request.dialogue_id)
    drafts = [draft(request)]

    def work(tx: WriteTx) -> Message:
        return append(tx, dialogue_id, drafts, ["id"])[0]

    whole = once(
        "messages.create",
        caller,
        request,
        work,
        made=lambda message: [message.id, message.sequence],
        rebuild=_made,
    )
    scope = Scope(caller.project_id, request.namespace)
    return Task(scope, whole, apart=_apart(caller, dialogue_id))


def create_batch(caller: Caller, request: CreateMessages) -> Task[list[Message] | Replayed]:
    """Append messages to a dialogue, all or none (5.9)."""
    dialogue_id = str(request.dialogue_id)
    drafts = [draft(message) for message in request.messages]
    places = [f"messages[{index}].id" for index in range(len(drafts))]

    def work(tx: WriteTx) -> list[Message]:
        return append(tx, dialogue_id, drafts, places)

    whole = once(
        "messages.create_batch",
        caller,
        request,
        work,
        made=lambda messages: [[message.id, message.sequence] for message in messages],
        rebuild=lambda tx, made: [_made(tx, one) for one in made],
    )
    scope = Scope(caller.project_id, request.namespace)
    return Task(scope, whole, apart=_apart(caller, dialogue_id))


def _apart(caller: Caller, dialogue_id: str) -> tuple[str, ...]:
    """Name what an append is about: its dialogue, and what its idempotency key has made.

    A key that is the name of another dialogue keeps more apart than it must, and does no harm.
    """
    key = caller.idempotency_key
    return (dialogue_id,) if key is None else (dialogue_id, key)


def _made(tx: ReadTx, made: tuple[str, int]) -> Message:
    """Find what a request made: not another message that has taken its id since."""
    message_id, sequence = made
    row = stored.get(tx, message_id)
    if row is None or row.sequence != sequence:
        raise no_message(message_id)
    return stored.of_row(row, tx.scope.namespace)


def list_(caller: Caller, request: ListMessages) -> Task[MessagePage]:
    """List the messages of a dialogue; they remain when it is deleted (5.10, 7.4)."""
    asked = pages.question(caller, "messages", request, parent="dialogue_id", order="asc")
    dialogue_id = asked.cursor.parent
    if not dialogue_id:
        raise MissingParameter("dialogueId is required", field="dialogueId")

    def work(tx: ReadTx) -> MessagePage:
        page = page_of(tx, asked)
        if (
            not page.items
            and dialogues.get(tx, dialogue_id) is None
            and not stored.exist(tx, dialogue_id)
        ):
            raise no_dialogue(dialogue_id, "dialogueId")
        return page

    return Task(Scope(caller.project_id, asked.cursor.namespace), work)


def asking_page(asked: pages.Question) -> tuple[str, dict[str, Param]]:
    """Give what `page_of` asks for, to be foreseen."""
    return stored.asking_page(asked.cursor.parent, asked.cursor.order, **asked.window)


def page_of(tx: ReadTx, asked: pages.Question) -> MessagePage:
    """Read one page of messages."""
    found = stored.page(tx, asked.cursor.parent, asked.cursor.order, **asked.window)
    namespace = tx.scope.namespace
    items = [stored.of_row(row, namespace) for row in found[0]]
    page = pages.take(asked, found, items, position=(2, 3, 4))
    return MessagePage(items=page.items, next=page.next)


def _named(tx: ReadTx, request: NameMessage) -> StoredMessage:
    """Find the message that a request names; in the dialogue that it names, if it does."""
    row = stored.get(tx, str(request.id))
    if row is None or (request.dialogue_id is not UNSET and row.dialogue_id != request.dialogue_id):
        raise no_message(str(request.id))
    return row


def get(caller: Caller, request: NameMessage) -> Task[Message]:
    """Get a message (5.11)."""

    def work(tx: ReadTx) -> Message:
        return stored.of_row(_named(tx, request), tx.scope.namespace)

    return Task(Scope(caller.project_id, request.namespace), work)


def update(caller: Caller, request: UpdateMessage) -> Task[Message]:
    """Replace the tags of a message (5.12)."""
    tags = None if request.tags is UNSET else documents.text_of(request.tags)

    def work(tx: WriteTx) -> Message:
        row = _named(tx, request)
        message = stored.of_row(row, tx.scope.namespace)
        refuse_changes(
            {
                "role": (request.role, message.role),
                "content": (request.content, message.content),
                "name": (request.name, message.name),
                "metadata": (request.metadata, message.metadata),
            },
            created=(request.created, message.created),
        )
        if tags is None or tags == row.tags:
            return message
        if caller.immutable:
            raise _immutable("Messages cannot be changed")
        stored.set_tags(tx, row.id, tags, tx.runtime.now())
        row = _named(tx, request)
        changes.message_tagged(tx, row)
        return stored.of_row(row, tx.scope.namespace)

    return Task(Scope(caller.project_id, request.namespace), work)


def refuse_changes(
    repeated: dict[str, tuple[object, object]], *, created: tuple[object, str] | None = None
) -> None:
    """Let a body repeat what cannot be changed, and refuse another value (contract 6.2).

    Args:
        repeated: by wire name, what the body says (JSON text, or nothing) and what is stored.
        created: the same for the time of creation, which may be spelled in other ways.
    Raises:
        ImmutableField: the first that differs.
    """
    for wire, (said, held) in repeated.items():
        if isinstance(said, Raw):
            kept = documents.value_of(held) if isinstance(held, Raw) else held
            said = documents.value_of(said)
            if not documents.same(said, kept) and not (said is None and kept is UNSET):
                raise ImmutableField(f"{wire} cannot be changed", field=wire)
    if created is not None and isinstance(created[0], Raw):
        said = documents.value_of(created[0])
        try:
            same = isinstance(said, str) and text_of(parse_instant(said)) == created[1]
        except ValueError:
            same = False
        if not same:
            raise ImmutableField("created cannot be changed", field="created")


def _immutable(what: str) -> DialogueImmutable:
    return DialogueImmutable(f"{what}: the project's dialogues are immutable", field="id")


def delete(caller: Caller, request: NameMessage) -> Task[DeletedMessage]:
    """Delete a message; its dialogue's counters follow (5.13)."""

    def work(tx: WriteTx) -> DeletedMessage:
        row = _named(tx, request)
        if caller.immutable:
            raise _immutable("Messages cannot be deleted")
        stored.delete(tx, row.id)
        claims.drop(tx, "message", row.id)
        now_ms = tx.runtime.now()
        dialogues.lose_message(tx, row.dialogue_id, now_ms)
        summaries.touch(tx, row.dialogue_id, [(row.created, row.sequence)], now_ms)
        changes.messages_gone(tx, [(row.id, row.dialogue_id, row.sequence)], now_ms)
        return DeletedMessage(success=True, id=row.id, dialogue_id=row.dialogue_id)

    return Task(Scope(caller.project_id, request.namespace), work)
