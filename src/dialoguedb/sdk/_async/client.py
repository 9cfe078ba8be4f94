"""The client: where dialogues, memories and searches come from."""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from os import PathLike, fspath
from typing import Any

from msgspec import Raw

from dialoguedb.errors import (
    DialogueDBError,
    DialogueNotFound,
    DuplicateId,
    MemoryNotFound,
    SummaryNotFound,
)
from dialoguedb.models.summaries import SummaryStatus
from dialoguedb.models.transfer import ExportPage, Restored, Stats
from dialoguedb.sdk._async.dialogue import AsyncDialogue, Order
from dialoguedb.sdk._async.memory import AsyncMemory
from dialoguedb.sdk._async.message import AsyncMessage
from dialoguedb.sdk._async.searching import AsyncSearching
from dialoguedb.sdk._async.sending import AsyncSender
from dialoguedb.sdk._async.summary import AsyncSummary
from dialoguedb.sdk.calls import Response, grouped, moved, recording
from dialoguedb.sdk.opening import async_transport, policy_of
from dialoguedb.sdk.pages import AsyncPages, Part
from dialoguedb.sdk.records import NewMessage
from dialoguedb.settings import ClientSettings, LocalSettings, client_settings


class AsyncDialogueDB(AsyncSearching):
    """A client of a server, or of a database in this process: see `dialoguedb.open_async`.

    Make one and use it everywhere: threads and tasks can share it. Close it at the end, or use it
    in a `with` statement. A pickled one opens connections of its own where it is unpickled.
    """

    def __init__(
        self,
        api_key: str | None = None,
        base_url: str | None = None,
        *,
        timeout_s: float = 30.0,
        max_retries: int = 3,
        retry_min_s: float = 0.5,
        retry_max_s: float = 10.0,
        ca_file: str | None = None,
        settings: ClientSettings | LocalSettings | None = None,
    ) -> None:
        """Make a client of a server.

        Args:
            api_key: if None, `DIALOGUE_DB_API_KEY` or `DIALOGUEDB_API_KEY` of the environment.
            base_url: if None, `DIALOGUEDB_BASE_URL` or `DIALOGUEDB_ENDPOINT` of the environment,
                else `http://127.0.0.1:8642`.
            timeout_s: seconds that one attempt may take.
            max_retries: how often a call is sent again after a lost connection, 408, 429 or 5xx.
            retry_min_s: the first wait before that; it doubles, with jitter.
            retry_max_s: the longest of these waits; `Retry-After` may ask for up to a minute.
            ca_file: trust the certificates of this file (PEM) only.
            settings: all of these together, in place of the others.
        Raises:
            InvalidParameter: there is no key, or a value cannot be one.
        """
        if settings is None:
            settings = client_settings(
                api_key,
                base_url,
                timeout_s=timeout_s,
                max_retries=max_retries,
                retry_min_s=retry_min_s,
                retry_max_s=retry_max_s,
                ca_file=ca_file,
            )
        self.settings = settings
        self._sender = AsyncSender(async_transport(settings), policy_of(settings))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.settings!r})"

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle the settings; connections stay where they are."""
        return _again, (self.settings,)

    async def __aenter__(self) -> "AsyncDialogueDB":
        """Begin to use it."""
        return self

    async def __aexit__(self, *error: object) -> None:
        """Close it."""
        await self.close()

    async def close(self) -> None:
        """Close the connections, or the database; what has been sent is finished first."""
        await self._sender.transport.aclose()

    def raw_responses(self) -> AbstractContextManager[list[Response]]:
        """Collect what comes with answers: status, headers, request id, attempts.

        Returns: a context manager; the list that it gives grows with each answer to this thread
            or task, errors too, while the `with` statement lasts.
        """
        return recording()

    # ── dialogues ────────────────────────────────────────────────────────────────────────────

    async def create_dialogue(
        self,
        *,
        id: str | None = None,
        namespace: str | None = None,
        thread_of: str | None = None,
        label: str | None = None,
        message: NewMessage | None = None,
        messages: Sequence[NewMessage] | None = None,
        state: Mapping[str, Any] | None = None,
        metadata: Mapping[str, Any] | None = None,
        tags: Sequence[str] | None = None,
        created: str | None = None,
    ) -> AsyncDialogue:
        """Make a dialogue, with its first messages if wanted.

        Args:
            id: an id of your own, unique in the project.
            namespace: what separates users or tenants; every later call needs the same one.
            thread_of: the parent dialogue.
            label: a text for people.
            message: one first message, see `MessageInput`.
            messages: or up to 25 of them.
            state: the dialogue's own data.
            metadata: a flat dict, for good.
            tags: at most 10.
            created: a time of your own, ISO 8601.
        Raises:
            DuplicateId: the id is taken.
            DialogueNotFound: there is no dialogue `thread_of`.
            BadRequest, TooLarge: a value is not valid; the error names the field.
        """
        made = await self._sender.send(
            "dialogues.create",
            id=id,
            namespace=namespace,
            threadOf=thread_of,
            label=label,
            message=message,
            messages=messages,
            state=state,
            metadata=metadata,
            tags=tags,
            created=created,
        )
        return AsyncDialogue(self._sender, made)

    async def get_dialogue(self, id: str, namespace: str | None = None) -> AsyncDialogue | None:
        """Get a dialogue with its state and first ten messages; None when there is none."""
        try:
            found = await self._sender.send("dialogues.get", id=id, namespace=namespace)
        except DialogueNotFound:
            return None
        return AsyncDialogue(self._sender, found)

    async def get_or_create_dialogue(
        self,
        id: str | None = None,
        *,
        namespace: str | None = None,
        thread_of: str | None = None,
        label: str | None = None,
        state: Mapping[str, Any] | None = None,
        metadata: Mapping[str, Any] | None = None,
        tags: Sequence[str] | None = None,
    ) -> AsyncDialogue:
        """Get a dialogue, or make it when there is none; callers that race get the same one.

        Args:
            id: its id; without one a dialogue is made.
            namespace: its namespace.
            thread_of: for one that is made; as the following, see `create_dialogue`.
            label: for one that is made.
            state: for one that is made.
            metadata: for one that is made.
            tags: for one that is made.
        Raises:
            DuplicateId: the id belongs to a dialogue in another namespace.
        """
        if id is not None:
            found = await self.get_dialogue(id, namespace)
            if found is not None:
                return found
        try:
            return await self.create_dialogue(
                id=id,
                namespace=namespace,
                thread_of=thread_of,
                label=label,
                state=state,
                metadata=metadata,
                tags=tags,
            )
        except DuplicateId:
            found = None if id is None else await self.get_dialogue(id, namespace)
            if found is None:
                raise
            return found

    def list_dialogues(
        self,
        *,
        namespace: str | None = None,
        thread_of: str | None = None,
        limit: int | None = None,
        order: Order | None = None,
        next: str | None = None,
        created: str | None = None,
        start_date: str | None = None,
        end_date: str | None = None,
    ) -> AsyncPages[AsyncDialogue]:
        """List dialogues, the newest first; iterating goes through all pages.

        Args:
            namespace: the un-named one if None.
            thread_of: only threads of this dialogue.
            limit: dialogues in a page, from 1; 50 if None, and never over 1,000.
            order: `desc` or `asc`, by time of creation.
            next: the `next` of a page; it carries the other filters.
            created: the beginning of the time, such as `2026-02`.
            start_date: not before this, ISO 8601.
            end_date: not after this, ISO 8601.
        Raises:
            InvalidParameter: a value is not valid; the error names it.
        """

        async def fetch(cursor: str | None) -> Part[AsyncDialogue]:
            page = await self._sender.send(
                "dialogues.list",
                namespace=namespace,
                threadOf=thread_of,
                limit=limit,
                order=order,
                next=cursor,
                created=created,
                startDate=start_date,
                endDate=end_date,
            )
            return Part([AsyncDialogue(self._sender, one) for one in page.items], page.next)

        return AsyncPages(fetch, next)

    async def delete_dialogue(
        self, id: str, namespace: str | None = None, *, cascade: bool = False
    ) -> None:
        """Delete a dialogue with its state, for good; its messages and summaries remain.

        Args:
            id: its id.
            namespace: its namespace.
            cascade: delete its messages and summaries too.
        Raises:
            DialogueNotFound: there is none.
            DialogueImmutable: the project's dialogues are immutable.
        """
        await self._sender.send(
            "dialogues.delete", id=id, namespace=namespace, cascade=cascade or None
        )

    def list_messages(
        self,
        dialogue_id: str,
        *,
        namespace: str | None = None,
        limit: int | None = None,
        order: Order | None = None,
        next: str | None = None,
        created: str | None = None,
        start_date: str | None = None,
        end_date: str | None = None,
    ) -> AsyncPages[AsyncMessage]:
        """List the messages of a dialogue, the oldest first, also of one that has been deleted.

        Args:
            dialogue_id: the dialogue.
            namespace: its namespace.
            limit: messages in a page, from 1; 100 if None, and never over 1,000.
            order: `asc` or `desc`, by time of creation.
            next: as the following, see `list_dialogues`.
            created: see there.
            start_date: see there.
            end_date: see there.
        Raises:
            DialogueNotFound: there is no such dialogue, and no message of it.
            InvalidParameter: a value is not valid; the error names it.
        """

        async def fetch(cursor: str | None) -> Part[AsyncMessage]:
            page = await self._sender.send(
                "messages.list",
                dialogueId=dialogue_id,
                namespace=namespace,
                limit=limit,
                order=order,
                next=cursor,
                created=created,
                startDate=start_date,
                endDate=end_date,
            )
            return Part([AsyncMessage(self._sender, one) for one in page.items], page.next)

        return AsyncPages(fetch, next)

    # ── memories ─────────────────────────────────────────────────────────────────────────────

    async def create_memory(
        self,
        value: Any,
        *,
        id: str | None = None,
        namespace: str | None = None,
        label: str | None = None,
        description: str | None = None,
        tags: Sequence[str] | None = None,
        metadata: Mapping[str, Any] | None = None,
    ) -> AsyncMemory:
        """Store a memory.

        Args:
            value: any JSON value but null.
            id: an id of your own, unique in the project.
            namespace: what separates users or tenants.
            label: a text for people.
            description: what it is about.
            tags: at most 10.
            metadata: a flat dict, for good.
        Raises:
            DuplicateId: the id is taken; a memory is never overwritten.
            BadRequest, TooLarge: a value is not valid; the error names the field.
        """
        made = await self._sender.send(
            "memories.create",
            value=value,
            id=id,
            namespace=namespace,
            label=label,
            description=description,
            tags=tags,
            metadata=metadata,
        )
        return AsyncMemory(self._sender, made)

    async def get_memory(self, id: str, namespace: str | None = None) -> AsyncMemory | None:
        """Get a memory; None when there is none."""
        try:
            found = await self._sender.send("memories.get", id=id, namespace=namespace)
        except MemoryNotFound:
            return None
        return AsyncMemory(self._sender, found)

    def list_memories(
        self,
        *,
        namespace: str | None = None,
        limit: int | None = None,
        order: Order | None = None,
        next: str | None = None,
        created: str | None = None,
        start_date: str | None = None,
        end_date: str | None = None,
    ) -> AsyncPages[AsyncMemory]:
        """List memories, the newest first; iterating goes through all pages.

        Takes what `list_dialogues` takes, and raises what it raises.
        """

        async def fetch(cursor: str | None) -> Part[AsyncMemory]:
            page = await self._sender.send(
                "memories.list",
                namespace=namespace,
                limit=limit,
                order=order,
                next=cursor,
                created=created,
                startDate=start_date,
                endDate=end_date,
            )
            return Part([AsyncMemory(self._sender, one) for one in page.items], page.next)

        return AsyncPages(fetch, next)

    async def delete_memory(self, id: str, namespace: str | None = None) -> None:
        """Delete a memory, for good.

        Raises:
            MemoryNotFound: there is none.
        """
        await self._sender.send("memories.delete", id=id, namespace=namespace)

    # ── summaries ────────────────────────────────────────────────────────────────────────────

    async def get_summary(self, id: str, namespace: str | None = None) -> AsyncSummary | None:
        """Get a summary as it is now; None when there is none."""
        try:
            found = await self._sender.send("summaries.get", id=id, namespace=namespace)
        except SummaryNotFound:
            return None
        return AsyncSummary(self._sender, found)

    def list_summaries(
        self,
        dialogue_id: str | None = None,
        *,
        namespace: str | None = None,
        status: SummaryStatus | None = None,
        limit: int | None = None,
        order: Order | None = None,
        next: str | None = None,
        created: str | None = None,
        start_date: str | None = None,
        end_date: str | None = None,
    ) -> AsyncPages[AsyncSummary]:
        """List summaries, the newest first; iterating goes through all pages.

        Args:
            dialogue_id: of this dialogue; of all of the namespace if None.
            namespace: its namespace.
            status: only those that are `processing`, `completed` or `failed`.
            limit: as the following, see `list_dialogues`.
            order: see there.
            next: see there.
            created: see there.
            start_date: see there.
            end_date: see there.
        Raises:
            InvalidParameter: a value is not valid; the error names it.
        """

        async def fetch(cursor: str | None) -> Part[AsyncSummary]:
            page = await self._sender.send(
                "summaries.list",
                dialogueId=dialogue_id,
                namespace=namespace,
                status=status,
                limit=limit,
                order=order,
                next=cursor,
                created=created,
                startDate=start_date,
                endDate=end_date,
            )
            return Part([AsyncSummary(self._sender, one) for one in page.items], page.next)

        return AsyncPages(fetch, next)

    async def delete_summary(self, id: str, namespace: str | None = None) -> None:
        """Delete a summary, for good; the messages stay.

        Raises:
            SummaryNotFound: there is none.
        """
        await self._sender.send("summaries.delete", id=id, namespace=namespace)

    # ── all of a project ─────────────────────────────────────────────────────────────────────

    async def export_page(
        self,
        *,
        namespace: str | None = None,
        limit: int | None = None,
        next: str | None = None,
    ) -> ExportPage:
        """Export a page of records: all that the project holds, always in the same order.

        Args:
            namespace: only this one, `""` for the un-named one; all of them if None.
            limit: records in a page, from 1; 500 if None, and never over 1,000.
            next: the `next` of the page before.
        Returns: `items`, one JSON object each, as written; and `next`, None at the end.
        Raises:
            Forbidden: the key has no admin scope.
            InvalidParameter: a value is not valid; the error names it.
        """
        page: ExportPage = await self._sender.send(
            "transfer.export",
            namespace=namespace or None,
            unnamed=True if namespace == "" else None,
            limit=limit,
            next=next,
        )
        return page

    async def import_records(
        self, records: Iterable[Mapping[str, Any] | bytes | Raw], *, dry_run: bool = False
    ) -> Restored:
        """Import records of an export, as many as there are, up to 500 in one transaction.

        Those that are there already, and equal, are skipped: after an interruption the same
        import is made again.

        Args:
            records: in the order of the export; read as they come.
            dry_run: check and count, and store nothing.
        Returns: how many were `imported`, and how many `skipped`.
        Raises:
            Forbidden: the key has no admin scope.
            DuplicateId: a record is there already, and differs.
            BadRequest, TooLarge: a record is not valid; nothing of its transaction is stored.
        """
        done = Restored(imported=0, skipped=0)
        for namespace, some in grouped(records):
            try:
                part = await self._sender.send(
                    "transfer.restore", namespace=namespace, dryRun=dry_run or None, records=some
                )
            except DialogueDBError as error:
                moved(error, done.imported + done.skipped)
                raise
            done.imported += part.imported
            done.skipped += part.skipped
        return done

    async def stats(self) -> Stats:
        """Count what the project holds.

        Returns: `namespaces`, each with its `dialogues`, `messages`, `memories` and `bytes`;
            `largest_dialogues`, the ten with the most bytes; and the `total`.
        Raises:
            Forbidden: the key has no admin scope.
        """
        found: Stats = await self._sender.send("transfer.stats")
        return found


def _again(settings: ClientSettings | LocalSettings) -> AsyncDialogueDB:
    return AsyncDialogueDB(settings=settings)


async def open_async(
    db: str | PathLike[str] | None = None,
    *,
    project: str | None = None,
    key_file: str | PathLike[str] | None = None,
    embedder: str | None = None,
    make: bool = True,
) -> AsyncDialogueDB:
    """Open a database in this process: the same client, without a server, a key or a network.

    Args:
        db: a file, or an address: `sqlite:///chat.db`, or `postgresql://USER@HOST/DATABASE` with
            the extra `postgres`; if None, `DIALOGUEDB_DB` of the environment, else `dialoguedb.db`.
        project: the project to work in, by name or id, made if it is not there; the default one
            if None.
        key_file: encrypt the file with this key: 32 raw bytes or 64 hex digits.
        embedder: what makes the vectors of a new database: `static` is built in.
        make: whether to make the file, or the schema in PostgreSQL, if it is not there.
    Raises:
        StoreError: it cannot be opened; the message says why and what to do.
    """
    settings = LocalSettings(
        db=None if db is None else fspath(db),
        project=project,
        key_file=None if key_file is None else fspath(key_file),
        embedder=embedder,
        make=make,
    )
    client = AsyncDialogueDB(settings=settings)
    await client._sender.transport.aopen()
    return client
