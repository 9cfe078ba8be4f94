"""A dialogue, as a client holds it."""

import re
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from typing import Any, Literal

from msgspec import UNSET, Raw

from dialoguedb.errors import (
    BatchInterrupted,
    DialogueDBError,
    InvalidParameter,
    MessageNotFound,
    PreconditionFailed,
)
from dialoguedb.models import dialogues
from dialoguedb.models.context import Form
from dialoguedb.models.messages import Message as StoredMessage
from dialoguedb.models.messages import MessagePage
from dialoguedb.runtime import Runtime, chance
from dialoguedb.sdk._async.message import AsyncMessage
from dialoguedb.sdk._async.sending import AsyncSender, pause
from dialoguedb.sdk._async.summary import AsyncSummary
from dialoguedb.sdk.calls import cut, encoded, moved
from dialoguedb.sdk.contexts import Context, context_of
from dialoguedb.sdk.records import (
    DialogueRecord,
    Json,
    NewMessage,
    fields_of,
    fixed,
    read_object,
)

Order = Literal["asc", "desc"]
#: Messages that one request takes (contract 5.9).
BATCH_MESSAGES = 25
#: How often a change of state is put on a newer version before somebody is told.
MERGE_TRIES = 100
_runtime = Runtime()
#: What `BatchInterrupted.resume` says: the key of the list, and how many of it are stored.
_RESUME = re.compile(r"([0-9a-f-]{36}):([0-9]{1,15})")


class AsyncDialogue(DialogueRecord):
    """A conversation: messages in order, with a state, tags and a label that can be changed."""

    __slots__ = ("_messages", "_sender")
    _messages: list[AsyncMessage]

    def __init__(self, sender: AsyncSender, data: dialogues.Dialogue) -> None:
        self._sender = sender
        self._hold(data)
        came = [] if data.messages is UNSET else data.messages
        self._messages = [AsyncMessage(sender, one) for one in came]
        self._next = None if data.messages_next is UNSET else data.messages_next
        self._loaded = data.messages is not UNSET and (
            self._next is not None or len(came) == data.total_messages
        )

    @fixed
    def messages(self) -> tuple[AsyncMessage, ...]:
        """The messages that have been loaded, in the order in which they came."""
        return tuple(self._messages)

    async def _send(self, operation: str, **fields: Any) -> Any:
        return await self._sender.send(operation, id=self.id, namespace=self.namespace, **fields)

    # ── state, tags, label ───────────────────────────────────────────────────────────────────

    def set_state(self, state: Mapping[str, Any]) -> "AsyncDialogue":
        """Set keys of the state; the others stay. Nothing is stored before `save`.

        Raises:
            InvalidInput: it is no dict.
        """
        self._merge(state)
        return self

    async def save(self) -> "AsyncDialogue":
        """Store what has been changed: label, tags and state in one request, and tags of messages.

        Where somebody else has changed the state since it was read, only the keys that were
        changed here are put on the newer one.

        Raises:
            DialogueNotFound: it has been deleted.
            InvalidInput, StateTooLarge: a value is not valid; nothing of it is stored.
        """
        for message in self._messages:
            await message.save()
        for attempt in range(1, MERGE_TRIES + 1):
            changes = self._changes()
            if not changes:
                return self
            try:
                return await self._put(changes, self.version)
            except PreconditionFailed:
                if attempt == MERGE_TRIES:
                    raise
                await self._catch_up(attempt)
        return self

    async def _put(self, changes: Json, version: int) -> "AsyncDialogue":
        guard = version if "state" in changes else None
        self._hold(await self._send("dialogues.update", if_match=guard, **changes))
        return self

    async def _catch_up(self, attempt: int) -> None:
        """Read the dialogue again and put what is not saved on it."""
        await pause(min(attempt, 10) * chance() / 200)
        self._put_on(await self._send("dialogues.get"))

    async def save_state(
        self,
        state: Mapping[str, Any] | Callable[[Json], Mapping[str, Any]],
        *,
        if_version: int | None = None,
        on_conflict: Literal["merge", "raise"] = "merge",
    ) -> "AsyncDialogue":
        """Set keys of the state and store them at once, with what else is not saved.

        On a conflict the dialogue is read again and the keys are set on its newest state; so
        nobody's other keys are lost. A function is called again with that state: for counters
        and lists, which depend on what was there.

        Args:
            state: the keys, or a function that is given a copy of the state and gives the keys.
            if_version: the version that was looked at; the one held here if None.
            on_conflict: `raise` leaves it to the caller.
        Raises:
            PreconditionFailed: there is another version, and `on_conflict` is `raise`.
            DialogueNotFound: it has been deleted.
            InvalidInput, StateTooLarge: a value is not valid; nothing is stored.
        """
        version = self.version if if_version is None else if_version
        for attempt in range(1, MERGE_TRIES + 1):
            before, patch = self._state, self._patch
            held = read_object(Raw(encoded(self.state, "state")))
            self._state = held
            try:
                self._merge(state(dict(held)) if callable(state) else state)
            except BaseException:  # it stays what the caller has in hand
                self._state = before
                raise
            try:
                return await self._put(self._changes() | {"state": self._state}, version)
            except PreconditionFailed:
                self._state, self._patch = before, patch
                if on_conflict == "raise" or attempt == MERGE_TRIES:
                    raise
                await self._catch_up(attempt)
                version = self.version
        return self

    async def save_tags(self, tags: Sequence[str]) -> "AsyncDialogue":
        """Replace the tags and store them at once; see `save`."""
        self.tags = tags
        return await self.save()

    async def refresh(self) -> "AsyncDialogue":
        """Read it again; changes that are not saved are dropped, loaded messages stay.

        Raises:
            DialogueNotFound: it has been deleted.
        """
        self._hold(await self._send("dialogues.get"))
        return self

    # ── messages ─────────────────────────────────────────────────────────────────────────────

    async def save_message(
        self,
        *,
        role: str,
        content: Any,
        id: str | None = None,
        name: str | None = None,
        tags: Sequence[str] | None = None,
        metadata: Mapping[str, Any] | None = None,
        created: str | None = None,
    ) -> AsyncMessage:
        """Append a message; when this returns it is on disk.

        Args:
            role: who speaks: user, assistant, system, or a role of your own.
            content: a text, a dict, or a list of dicts (content blocks); kept as it is.
            id: an id of your own, unique in the project.
            name: the speaker's name.
            tags: at most 10.
            metadata: a flat dict, for good.
            created: a time of your own, ISO 8601.
        Raises:
            DialogueEnded: the dialogue takes no new messages.
            DialogueNotFound: it has been deleted.
            DuplicateId: the id is taken.
            BadRequest, TooLarge: a value is not valid; the error names the field.
        """
        made = await self._sender.send(
            "messages.create",
            dialogueId=self.id,
            namespace=self.namespace,
            role=role,
            content=content,
            id=id,
            name=name,
            tags=tags,
            metadata=metadata,
            created=created,
        )
        return self._appended([made])[0]

    async def save_messages(
        self, messages: Iterable[NewMessage], *, resume: str | None = None
    ) -> list[AsyncMessage]:
        """Append messages in order, however many; up to 25 go together, all or none.

        Args:
            messages: see `MessageInput`.
            resume: `resume` of a `BatchInterrupted`, with the same list: the rest is stored, and
                nothing twice, within 24 hours.
        Returns: the messages that were stored now.
        Raises:
            BatchInterrupted: some are stored, or may be; its cause says why.
            BadRequest, TooLarge, DialogueNotFound, DialogueEnded: nothing is stored.
        """
        items = [
            Raw(encoded(fields_of(one), f"messages[{index}]")) for index, one in enumerate(messages)
        ]
        key, start = _resumed(resume, len(items))
        again = self._sender.transport.loses_answers
        saved: list[AsyncMessage] = []
        for begin, end in cut(items, start, most=BATCH_MESSAGES):
            try:
                made = await self._sender.send(
                    "messages.create_batch",
                    dialogueId=self.id,
                    namespace=self.namespace,
                    messages=items[begin:end],
                    idempotency_key=f"{key}:{begin}" if again else None,
                )
            except DialogueDBError as error:
                moved(error, begin)
                if begin == 0 and not error.retryable:
                    raise
                raise _interrupted(error, saved, f"{key}:{begin}", begin, len(items)) from error
            saved += self._appended(made)
        return saved

    def _appended(self, made: Sequence[StoredMessage]) -> list[AsyncMessage]:
        """Hold messages that have been stored now."""
        new = [AsyncMessage(self._sender, one) for one in made]
        self._messages += new
        self._data.total_messages += len(new)
        newest = max((one.created for one in made), default="")
        if newest > (self.last_message_created or ""):
            self._data.last_message_created = newest
        return new

    async def load_messages(
        self,
        *,
        limit: int | None = None,
        order: Order | None = None,
        next: bool = False,
        created: str | None = None,
        start_date: str | None = None,
        end_date: str | None = None,
    ) -> list[AsyncMessage]:
        """Load messages: they take the place of those loaded before, or follow them.

        Args:
            limit: messages at most, from 1; 100 if None, and never over 1,000.
            order: `asc`, the oldest first, or `desc`.
            next: load the page behind those loaded, which stay; the other filters stay as they
                were. Nothing comes when there is no such page.
            created: the beginning of the time, such as `2026-02`.
            start_date: not before this, ISO 8601.
            end_date: not after this, ISO 8601.
        Returns: the messages that were loaded now.
        Raises:
            InvalidParameter: a value is not valid; the error names it.
        """
        if next and self._loaded:
            if self._next is None:
                return []
            page = await self._page(limit=limit, next=self._next)
        else:
            self._messages = []
            page = await self._page(
                limit=limit, order=order, created=created, startDate=start_date, endDate=end_date
            )
        came = [AsyncMessage(self._sender, one) for one in page.items]
        if self._messages:  # some of them can have been appended here meanwhile
            ids = {one.id for one in came}
            self._messages = [one for one in self._messages if one.id not in ids]
        self._messages += came
        self._next = page.next
        self._loaded = True
        return came

    async def _page(self, **fields: Any) -> MessagePage:
        page: MessagePage = await self._sender.send(
            "messages.list", dialogueId=self.id, namespace=self.namespace, **fields
        )
        return page

    async def messages_iter(
        self,
        *,
        order: Order | None = None,
        page_size: int | None = None,
        created: str | None = None,
        start_date: str | None = None,
        end_date: str | None = None,
    ) -> AsyncIterator[AsyncMessage]:
        """Go through all messages, page by page, without holding them.

        Args:
            order: `asc`, the oldest first, or `desc`.
            page_size: messages in a request, 1 to 1,000; 100 if None.
            created: see `load_messages`.
            start_date: see `load_messages`.
            end_date: see `load_messages`.
        """
        page = await self._page(
            limit=page_size, order=order, created=created, startDate=start_date, endDate=end_date
        )
        while True:
            for one in page.items:
                yield AsyncMessage(self._sender, one)
            if page.next is None:
                return
            page = await self._page(limit=page_size, next=page.next)

    async def get_message(self, id: str) -> AsyncMessage | None:
        """Get a message of this dialogue; None when it has none of this id."""
        try:
            found = await self._sender.send(
                "messages.get", id=id, dialogueId=self.id, namespace=self.namespace
            )
        except MessageNotFound:
            return None
        return AsyncMessage(self._sender, found)

    async def delete_message(self, id: str) -> None:
        """Delete a message, for good.

        Raises:
            MessageNotFound: the dialogue has none of this id.
            DialogueImmutable: the project's dialogues are immutable.
        """
        await self._sender.send(
            "messages.delete", id=id, dialogueId=self.id, namespace=self.namespace
        )
        self._messages = [one for one in self._messages if one.id != id]
        self._data.total_messages -= 1

    async def context(
        self,
        *,
        max_tokens: int | None = None,
        format: Form | None = None,
        query: str | None = None,
        memories: bool | None = None,
        keep_last: int | None = None,
    ) -> Context:
        """Put together what a model should see next, within a budget of tokens.

        First the system prompt, then the summary that reaches farthest, then the last messages;
        what is recalled stands before the last thing that the user has said.

        Args:
            max_tokens: what it may cost at most, 1 to 2,000,000; 4,000 if None.
            format: `dialoguedb` (also if None) has messages as they are stored; `openai` and
                `anthropic` as these take them.
            query: what the next turn is about, such as what the user has just said: older messages
                and memories of the namespace are recalled for it. If None, nothing is.
            memories: False recalls messages only.
            keep_last: so many of the last messages are there at least, while they fit, 0 to
                1,000; 10 if None.
        Raises:
            DialogueNotFound: it has been deleted.
            InvalidParameter: a value is not valid, or not even the system prompt and the last turn
                cost so little; the error names it.
        """
        made = await self._send(
            "context.build",
            maxTokens=max_tokens,
            format=format,
            query=query,
            memories=memories,
            keepLast=keep_last,
        )
        return context_of(made)

    # ── threads and life ─────────────────────────────────────────────────────────────────────

    async def create_thread(
        self,
        *,
        id: str | None = None,
        label: str | None = None,
        message: NewMessage | None = None,
        messages: Sequence[NewMessage] | None = None,
        state: Mapping[str, Any] | None = None,
        metadata: Mapping[str, Any] | None = None,
        tags: Sequence[str] | None = None,
        created: str | None = None,
    ) -> "AsyncDialogue":
        """Make a dialogue that is a thread of this one, in the same namespace.

        Takes what `create_dialogue` takes, and raises what it raises.
        """
        made = await self._sender.send(
            "dialogues.create",
            id=id,
            namespace=self.namespace,
            threadOf=self.id,
            label=label,
            message=message,
            messages=messages,
            state=state,
            metadata=metadata,
            tags=tags,
            created=created,
        )
        self._data.thread_count += 1
        return AsyncDialogue(self._sender, made)

    async def get_threads(self) -> "list[AsyncDialogue]":
        """Get all threads of this dialogue, the newest first."""
        found: list[AsyncDialogue] = []
        next: str | None = None
        while True:
            page = await self._sender.send(
                "dialogues.list",
                namespace=self.namespace,
                threadOf=self.id,
                limit=1000,
                next=next,
            )
            found += [AsyncDialogue(self._sender, one) for one in page.items]
            next = page.next
            if next is None:
                return found

    async def _act(self, action: str) -> "AsyncDialogue":
        self._put_on(await self._send("dialogues.act", action=action))
        return self

    async def end(self) -> "AsyncDialogue":
        """End it: it takes no new messages. Ended before, it stays as it is."""
        return await self._act("end")

    async def reopen(self) -> "AsyncDialogue":
        """Undo the end."""
        return await self._act("reopen")

    async def archive(self) -> "AsyncDialogue":
        """Archive it: it takes no new messages."""
        return await self._act("archive")

    async def unarchive(self) -> "AsyncDialogue":
        """Undo the archiving."""
        return await self._act("unarchive")

    # ── summaries ────────────────────────────────────────────────────────────────────────────

    async def summarize(
        self,
        *,
        template: str | None = None,
        start_id: str | None = None,
        end_id: str | None = None,
        id: str | None = None,
        incremental: bool = True,
        metadata: Mapping[str, Any] | None = None,
        tags: Sequence[str] | None = None,
        wait: bool = True,
        timeout_s: float = 300.0,
    ) -> AsyncSummary:
        """Have it summarised, or a range of its messages; the messages stay as they are.

        What is being summarised already is not begun again: that summary comes back.

        Args:
            template: the slug of a template of the server's settings.
            start_id: the first message of the range; the dialogue's if None.
            end_id: the last message of the range; the newest if None.
            id: an id of your own for the summary, unique in the project.
            incremental: build on the summary of the same template that reaches farthest: its text
                stays, and what is new follows. Not with `start_id`.
            metadata: a flat dict, for good.
            tags: at most 10.
            wait: until it is made; else it comes back while it is `processing`.
            timeout_s: how long to wait, seconds.
        Raises:
            SummaryFailed: it could not be made; the message says why.
            TimedOut: it takes longer; it is still being made.
            SummaryUnderWay: the same messages are being summarised under another id.
            DialogueNotFound, MessageNotFound: there is none of this id.
            DuplicateId, BadRequest: a value is not valid; the error names the field.
        """
        made = await self._sender.send(
            "summaries.create",
            dialogueId=self.id,
            namespace=self.namespace,
            template=template,
            startId=start_id,
            endId=end_id,
            id=id,
            incremental=None if incremental else False,
            metadata=metadata,
            tags=tags,
        )
        summary = AsyncSummary(self._sender, made)
        return await summary.wait(timeout_s) if wait else summary

    async def compact(
        self,
        *,
        template: str | None = None,
        start_id: str | None = None,
        end_id: str | None = None,
        id: str | None = None,
        incremental: bool = True,
        wait: bool = True,
        timeout_s: float = 300.0,
    ) -> AsyncSummary:
        """Do the same as `summarize`, under its old name."""
        return await self.summarize(
            template=template,
            start_id=start_id,
            end_id=end_id,
            id=id,
            incremental=incremental,
            wait=wait,
            timeout_s=timeout_s,
        )


def _resumed(resume: str | None, count: int) -> tuple[str, int]:
    """Read what `BatchInterrupted.resume` says: the key of the list, and where to go on.

    Raises:
        InvalidParameter: it says nothing of a list like this.
    """
    if resume is None:
        return _runtime.uuid(), 0
    found = _RESUME.fullmatch(resume) if isinstance(resume, str) else None
    if found is None or int(found[2]) > count:
        raise InvalidParameter(
            "Invalid resume: give the resume of a BatchInterrupted, with the same list",
            field="resume",
        )
    return found[1], int(found[2])


def _interrupted(
    error: DialogueDBError, saved: list[AsyncMessage], resume: str, begin: int, count: int
) -> BatchInterrupted:
    told = BatchInterrupted(
        f"{begin} of {count} messages are stored, then: {error.message}", details=error.details
    )
    told.saved, told.resume, told.request_id = saved, resume, error.request_id
    told.status = error.status  # so it is retryable where its cause is
    return told
