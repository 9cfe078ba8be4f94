"""Workers in a process, and how they end with it."""

import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager

from dialoguedb.errors import DialogueDBError
from dialoguedb.runtime import monotonic_s
from dialoguedb.settings import Settings, is_file
from dialoguedb.store import jobs
from dialoguedb.store.opening import Service, open_store, opener
from dialoguedb.store.protocol import Store
from dialoguedb.worker.kinds import awaited, kinds_of
from dialoguedb.worker.working import Worker

log = logging.getLogger("dialoguedb.worker")

#: Connections that a worker needs: to take jobs, to renew a lease meanwhile, to read and to write.
_CONNECTIONS = 4
#: How long a statement of a job may take, seconds: many vectors enter a graph in one.
_STATEMENT_S = 60.0
#: How long to wait before the database is tried again, seconds.
_RETRY_S = 5.0


def opened(settings: Settings, *, workers: int = 1) -> Store:
    """Open the database of the settings for so many workers.

    Raises:
        StoreError: it cannot be opened; the message says why and what to do.
    """
    return open_store(
        settings.db,
        key_file=settings.db_key_file,
        make=False,
        embedder=settings.embedder,
        open_embedder=opener(settings),
        service=Service(_CONNECTIONS * workers, _STATEMENT_S),
    )


def work(
    store: Store,
    settings: Settings,
    *,
    workers: int,
    once: bool,
    asked_to_stop: Callable[[], bool],
) -> None:
    """Do jobs with several workers until that is asked for; with `once`, until none is due.

    What takes longer than `shutdown_seconds` then is left to others.

    Args:
        store: the database.
        settings: by what summaries are made, and that time.
        workers: so many jobs at the same time.
        once: whether to end when none is due.
        asked_to_stop: asked a few times a second.
    Raises:
        DialogueDBError: with `once`, the database is away.
    """
    errors: list[Exception] = []
    kinds = kinds_of(store, settings)
    doers = [Worker(store, kinds=kinds) for _ in range(workers)]
    threads = [_started(doer, errors, once=once) for doer in doers]
    while (left := [one for one in threads if one.is_alive()]) and not asked_to_stop():
        left[0].join(0.1)
    _end(doers, threads, settings.shutdown_seconds)
    if errors:
        raise errors[0]


def _started(worker: Worker, errors: list[Exception], *, once: bool) -> threading.Thread:
    def run() -> None:
        try:
            worker.run(once=once)
        except Exception as error:  # noqa: BLE001 - it is raised in the thread that waits
            errors.append(error)

    thread = threading.Thread(target=run, name="dialoguedb-jobs", daemon=True)
    thread.start()
    return thread


def _end(workers: Sequence[Worker], threads: Sequence[threading.Thread], grace_s: float) -> None:
    """Have workers end; a job that takes too long is released, and its thread is left behind."""
    for worker in workers:
        worker.stop()
    until_s = monotonic_s() + grace_s
    for worker, thread in zip(workers, threads, strict=True):
        thread.join(max(0.0, until_s - monotonic_s()))
        if thread.is_alive():
            log.warning("a job takes too long to end; another worker will do it")
            try:
                worker.release()
            except DialogueDBError as error:
                log.warning("it could not be released: %s", error.message)


@contextmanager
def alongside(settings: Settings, store: Store) -> Iterator[None]:
    """Do jobs in a thread meanwhile, if the settings want that of a server.

    Of a file only what somebody waits for: for the rest it has threads of its own
    (`store/sqlite/waiting.py`), or can wait.

    Args:
        settings: the server's.
        store: the server's.
    """
    if not settings.jobs:
        yield
    elif is_file(settings.db):
        with closing(Attendant(store, settings)) as attendant:
            attendant.begin()
            yield
    else:
        with closing(_Companion(settings)):
            yield


class Attendant:
    """A worker in a thread that does what somebody waits for, on a store that is open already."""

    def __init__(self, store: Store, settings: Settings) -> None:
        """Make it; nothing is done yet.

        Args:
            store: where the jobs are.
            settings: by what summaries are made.
        """
        self._kinds = awaited(kinds_of(store, settings))
        self._store = store
        self._grace_s = settings.shutdown_seconds
        self._worker = Worker(store, kinds=self._kinds)
        self._beginning = threading.Lock()
        self._thread: threading.Thread | None = None
        self._closed = False

    def begin(self) -> None:
        """Begin, or look at once if it has begun; one that is closed does neither."""
        with self._beginning:
            if self._thread is None and not self._closed:
                self._thread = _started(self._worker, [], once=False)
        self._worker.wake()

    def begin_if_needed(self) -> None:
        """Begin if there is something to do: what another process has left."""
        names = tuple(self._kinds)
        position = self._store.position()
        if self._store.read(None, lambda tx: jobs.has_any(tx, names), after=position):
            self.begin()

    def close(self) -> None:
        """End it; what is not done goes on where the database is opened again."""
        with self._beginning:
            self._closed = True
            thread = self._thread
        if thread is not None:
            _end([self._worker], [thread], self._grace_s)


class _Companion:
    """A worker in a thread, with connections of its own: the server's are for requests."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._stopping = threading.Event()
        self._worker: Worker | None = None
        self._thread = threading.Thread(target=self._run, name="dialoguedb-jobs", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                with closing(opened(self._settings)) as store:
                    self._worker = Worker(store, kinds=kinds_of(store, self._settings))
                    if not self._stopping.is_set():
                        self._worker.run()
                    self._worker = None
            except Exception as error:  # noqa: BLE001 - the thread's edge: it must live on
                told = error.message if isinstance(error, DialogueDBError) else repr(error)
                log.warning("background jobs wait: %s", told)
                self._stopping.wait(_RETRY_S)

    def close(self) -> None:
        """End it."""
        self._stopping.set()
        worker = self._worker
        if worker is None:
            self._thread.join(self._settings.shutdown_seconds)
        else:
            _end([worker], [self._thread], self._settings.shutdown_seconds)
