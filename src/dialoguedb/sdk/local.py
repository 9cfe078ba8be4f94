"""The in-process carrier: the same engine and the same checks, without a socket.

It stands in for the server: project, the reading of the request, the call of the engine.
"""

import os
import weakref
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from contextlib import ExitStack, closing
from typing import Any, NamedTuple

from dialoguedb import engine
from dialoguedb.contract import OPERATIONS
from dialoguedb.engine import Caller, Handler, Replayed, Task, projects
from dialoguedb.errors import AdminError, ClientClosed, DialogueDBError, InternalError, Unauthorized
from dialoguedb.models import positions
from dialoguedb.runtime import Runtime
from dialoguedb.sdk.calls import Call, Reply, Response
from dialoguedb.settings import LocalSettings, load
from dialoguedb.store.opening import Service, open_store, opener
from dialoguedb.store.protocol import Job, Outcome, Store
from dialoguedb.store.sqlite.waiting import filled
from dialoguedb.wire import RequestReader
from dialoguedb.worker.beside import Attendant

#: The status of what is done after the answer.
ACCEPTED = 202


class _House(NamedTuple):
    """An open database, and what is needed to call its engine."""

    store: Store
    #: Closes it, after what runs beside it.
    opened: ExitStack
    #: Makes summaries, from when the first one is asked for.
    attendant: Attendant
    project_id: str
    readers: dict[str, RequestReader]
    handlers: Mapping[str, Handler]
    runtime: Runtime

    def close(self) -> None:
        self.opened.close()


def _open(settings: LocalSettings) -> _House:
    told = load(
        {"db": settings.db, "db_key_file": settings.key_file, "embedder": settings.embedder}
    )
    runtime = Runtime()
    store = open_store(
        told.db,
        key_file=told.db_key_file,
        runtime=runtime,
        make=settings.make,
        embedder=told.embedder,
        open_embedder=opener(told),
        service=Service(told.db_connections, told.db_timeout_seconds, told.replica),
    )
    handlers = engine.handlers()
    readers = {
        row.name: RequestReader(row, told.limits, refuse_unknown=told.unknown_fields == "reject")
        for row in OPERATIONS
        if row.name in handlers
    }
    with ExitStack() as opened:
        opened.callback(store.close)
        project_id = _project(store, settings)
        # Vectors of the bundled model are made in the write: only those of others are waited for.
        if not store.search_standing().embedder.startswith("static:"):
            opened.enter_context(filled(store))
        attendant = opened.enter_context(closing(Attendant(store, told)))
        attendant.begin_if_needed()
        return _House(store, opened.pop_all(), attendant, project_id, readers, handlers, runtime)


def _project(store: Store, settings: LocalSettings) -> str:
    """Find the project to work in, or make it where that is allowed."""
    name = settings.project or projects.DEFAULT_PROJECT
    try:
        return projects.find(store, name).id
    except AdminError:
        if settings.project and not settings.make:
            raise
    if settings.project:
        return projects.create(store, name).id
    return projects.ensure_default(store)[0].id


class LocalTransport:
    """Calls the engine in this process, in the calling thread. Thread-safe."""

    #: What raises has not happened; what returns is on disk.
    loses_answers = False

    def __init__(self, settings: LocalSettings) -> None:
        """Open the database.

        Raises:
            StoreError: it cannot be opened; the message says why and what to do.
        """
        house = _open(settings)
        self._house: _House | None = house
        self._owner = os.getpid()
        self._finalizer = weakref.finalize(self, _close_in, self._owner, house)

    def send(self, call: Call) -> Reply:
        """Carry out a call.

        Raises:
            DialogueDBError: as a server would have answered.
        """
        house = self._opened()
        request_id = house.runtime.uuid()
        try:
            task = _task(house, call, request_id)
            if call.operation.writes:
                result = house.store.write(task.scope, task.work)
            else:  # also from a standby what this client has written can be read
                result = house.store.read(task.scope, task.work, after=house.store.position())
        except Exception as error:  # noqa: BLE001 - the edge: it is told as a server would
            told = _told(error, request_id)
            raise told from told.__cause__
        return _reply(house, call, request_id, result)

    def begin(self, call: Call) -> "Future[Reply]":
        """Prepare a call in this thread; it is done when the future is.

        A write does not keep the thread until it is on disk: so a few threads are enough for many
        of them, and those that come meanwhile are one group.

        Raises:
            DialogueDBError: as a server would have answered.
        """
        future: Future[Reply] = Future()
        if not call.operation.writes:
            future.set_result(self.send(call))
            return future
        house = self._opened()
        request_id = house.runtime.uuid()
        try:
            task = _task(house, call, request_id)
        except Exception as error:  # noqa: BLE001 - the edge: it is told as a server would
            told = _told(error, request_id)
            raise told from told.__cause__

        def resolve(outcomes: Sequence[Outcome]) -> None:
            for _, result, error in outcomes:
                if not future.set_running_or_notify_cancel():
                    continue  # nobody waits any more
                if error is not None:
                    future.set_exception(_told(error, request_id))
                    continue
                try:
                    future.set_result(_reply(house, call, request_id, result))
                except Exception as failure:  # noqa: BLE001 - it belongs to who waits
                    future.set_exception(_told(failure, request_id))

        house.store.submit([Job(task.scope, task.work, None, resolve, task.apart, not task.short)])
        return future

    def _opened(self) -> _House:
        """Give what is open.

        Raises:
            ClientClosed: nothing is.
            StoreError: it is open in the process from which this one was forked.
        """
        house = self._house
        if house is None:
            raise ClientClosed
        if self._owner != os.getpid():
            house.store.check_not_forked()
        return house

    def open(self) -> None:
        """Do nothing: it is open. The asynchronous one has that still to do."""

    def close(self) -> None:
        """Finish what has been submitted, then close the database."""
        self._house = None
        self._finalizer()


def _close_in(owner: int, house: _House) -> None:
    if os.getpid() == owner:
        house.close()


def _told(error: BaseException, request_id: str) -> DialogueDBError:
    """Let an error name the request; what is none of ours becomes one, as on a server."""
    if not isinstance(error, DialogueDBError):
        failure = InternalError(f"Something went wrong in the engine: {error!r}")
        failure.__cause__ = error
        error = failure
    error.request_id = request_id
    return error


def _task(house: _House, call: Call, request_id: str) -> Task[Any]:
    """Do what the server does with a request before the engine's work: project, reading."""
    operation = call.operation
    request = house.readers[operation.name].read(call.path, list(call.query.items()), call.body)
    caller = Caller(
        project_id=house.project_id,
        request_id=request_id,
        # Only what changes or deletes asks for it. A project that is gone takes no new space, and
        # of one that is being deleted what is still there can be read: so could the file.
        immutable=operation.route.method in ("PUT", "DELETE") and _is_immutable(house),
        idempotency_key=call.idempotency_key,
        if_match=None if call.if_match is None else frozenset((call.if_match,)),
    )
    task: Task[Any] = house.handlers[operation.name](caller, request)
    return task


def _reply(house: _House, call: Call, request_id: str, result: Any) -> Reply:
    if call.operation.status == ACCEPTED:
        house.attendant.begin()
    headers = {"x-request-id": request_id}
    position = house.store.position() if call.operation.writes else None
    if position is not None:
        headers[positions.HEADER.lower()] = position
    if type(result) is Replayed:
        result = result.answer
        headers["idempotent-replayed"] = "true"
    if call.operation.versioned:
        headers["etag"] = f'"{result.version}"'
    status = call.operation.status
    return Reply(result, Response(call.operation.name, status, headers, request_id))


def _is_immutable(house: _House) -> bool:
    """Look the project up each time: others may have changed or deleted it."""
    access = house.store.read(None, lambda tx: projects.access_of_project(tx, house.project_id, ""))
    if access is None:
        raise Unauthorized("The project of this client has been deleted")
    return access.immutable
