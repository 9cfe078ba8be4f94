"""Measure search and what it costs, on made-up conversations of several sizes.

Each size is built once, in a directory that is removed afterwards, and used for all figures. What
depends on a fresh process (opening, memory) is measured in one. Queries are 3 to 8 words of stored
messages, rare ones and common; what is compared takes turns, query by query.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec
from benchmarks import http
from benchmarks.common import (
    KEY,
    ROOT,
    Figure,
    Json,
    busy,
    progress_of,
    refuse_memory_file_system,
    report,
    resident_mib,
    seconds,
    serving,
    spread,
    table,
)
from benchmarks.corpus import IN_NAMESPACE, Corpus, Message, batches, namespace_name

from dialoguedb.engine import Caller, Task, dialogues, messages, projects, search
from dialoguedb.models.dialogues import CreateDialogue
from dialoguedb.models.messages import CreateMessage, CreateMessages
from dialoguedb.models.search import Search
from dialoguedb.store.opening import open_store
from dialoguedb.store.protocol import Job, Outcome
from dialoguedb.store.sqlite.index import active, last_change
from dialoguedb.store.sqlite.session import Session
from dialoguedb.store.sqlite.store import SqliteStore

SIZES = (10_000, 100_000, 1_000_000)
QUERIES, WARM_UP = 300, 10
BATCH = 25
#: Batches of one commit, and commits that may be under way while more are prepared.
TOGETHER, IN_FLIGHT = 40, 3
APPENDS = 400
SMALL = 100
FOREIGN = 300_000
TAG, CUSTOMER = "t7", 7
ASKED: dict[str, Json] = {
    "plain": {},
    "dialogues": {"object": "dialogue"},
    "tag": {"tags": msgspec.Raw(f'["{TAG}"]'.encode())},
    "metadata": {"metadata": msgspec.Raw(f'{{"customer":{CUSTOMER}}}'.encode())},
}


# ---- a store in this process ---------------------------------------------------------------------


class Bench:
    """A store on a file, its default project, and what is asked of it."""

    def __init__(self, db: Path) -> None:
        self.store: SqliteStore = open_store(str(db))
        # Only a new file is written to here: a write would have the log packed meanwhile.
        known = projects.every(self.store)
        project = known[0] if known else projects.ensure_default(self.store)[0]
        self.caller = Caller(project_id=project.id, request_id="")

    def search(self, query: str, **asked: Any) -> list[float]:
        """Search, for messages unless asked for others; return the relevance of each found."""
        task = search.find(self.caller, Search(query=query, **({"object": "message"} | asked)))
        return [result.relevance for result in self.store.read(task.scope, task.work).results]

    def append(self, namespace: str, dialogue_id: str, text: str) -> None:
        """Append a message, on disk when this returns."""
        content = msgspec.Raw(msgspec.json.encode(text))
        request = CreateMessage(
            dialogue_id=dialogue_id, namespace=namespace, role="user", content=content
        )
        _wait(self._submit([messages.create(self.caller, request)]))

    def load(self, made: Sequence[Message], bodies: Sequence[bytes]) -> None:
        """Store the dialogues of a namespace and their messages, several commits at a time."""
        where = made[0].namespace
        names = dict.fromkeys(message.dialogue_id for message in made)
        under_way: deque[list[Future[Any]]] = deque()
        for tasks in _parts(
            [dialogues.create(self.caller, CreateDialogue(id=n, namespace=where)) for n in names]
        ):
            under_way.append(self._submit(tasks))
        for part in _parts(bodies):
            requests = [_BATCH.decode(body) for body in part]
            under_way.append(
                self._submit([messages.create_batch(self.caller, one) for one in requests])
            )
            while len(under_way) > IN_FLIGHT:
                _wait(under_way.popleft())
        while under_way:
            _wait(under_way.popleft())

    def _submit(self, tasks: Sequence[Task[Any]]) -> list[Future[Any]]:
        futures: list[Future[Any]] = [Future() for _ in tasks]
        jobs = [
            Job(task.scope, task.work, future, _told)
            for task, future in zip(tasks, futures, strict=True)
        ]
        self.store.submit(jobs)
        return futures


_BATCH = msgspec.json.Decoder(CreateMessages)


def _parts(items: Sequence[Any]) -> Iterator[Sequence[Any]]:
    for start in range(0, len(items), TOGETHER):
        yield items[start : start + TOGETHER]


def _told(outcomes: Sequence[Outcome]) -> None:
    for future, result, error in outcomes:
        if error is None:
            future.set_result(result)
        else:
            future.set_exception(error)


def _wait(futures: Sequence[Future[Any]]) -> None:
    for future in futures:
        future.result()


def bodies_of(made: Sequence[Message]) -> list[bytes]:
    """Write messages as the bodies of batches."""
    return [
        msgspec.json.encode(
            {
                "dialogueId": batch[0].dialogue_id,
                "namespace": batch[0].namespace,
                "messages": [message.body() for message in batch],
            }
        )
        for batch in batches(made, BATCH)
    ]


# ---- parts, each run in a process of its own -----------------------------------------------------


def build(db: Path, size: int) -> Json:
    """Build a store by bulk import; making the texts is not part of the time."""
    corpus = Corpus()
    bench = Bench(db)
    total_s = 0.0
    bar, task = progress_of(f"importing {size:,} messages", size)
    with bar:
        for number in range(-(-size // IN_NAMESPACE)):
            made = corpus.namespace(number)[: size - number * IN_NAMESPACE]
            bodies = bodies_of(made)
            total_s += seconds(bench.load, made, bodies)
            bar.advance(task, len(made))
    bench.store.close()
    return {"messages_per_s": round(size / total_s), "seconds": round(total_s, 1)}


def begin(db: Path, size: int) -> Json:
    """Open a store and answer a first search over all of it."""
    queries = Corpus().queries(Corpus().namespace(0), 1)
    began = time.perf_counter()
    bench = Bench(db)
    found = bench.search(queries[0])
    took_s = time.perf_counter() - began
    if not found:
        raise SystemExit(f"the first search of {db.name} found nothing")
    memory = resident_mib("self")
    bench.store.close()
    return {"seconds": round(took_s, 3), "resident_mib": round(memory["now"])}


def pack(db: Path, size: int) -> Json:
    """Wait until the store has packed its log by itself, as it does after a write."""
    bench = Bench(db)
    session = Session(bench.store.file.open_reader())
    bar, task = progress_of("packing", last_change(session))
    began = time.perf_counter()
    projects.ensure_default(bench.store)
    with bar:
        while (current := active(session)) is None or last_change(session) > current.since:
            bar.update(task, completed=0 if current is None else current.since)
            time.sleep(0.1)
    took_s = time.perf_counter() - began
    session.close()
    bench.store.close()
    return {"seconds": round(took_s, 1)}


def look(db: Path, size: int) -> Json:
    """Search a store: all of it and one space, without a filter and with some that keep 1%."""
    corpus = Corpus()
    queries = corpus.queries(corpus.namespace(0), QUERIES + WARM_UP)
    bench = Bench(db)
    bench.search(queries[0])
    for query in queries[:100]:
        bench.search(query)
    memory = resident_mib("self")
    made: Json = {"resident_mib": round(memory["now"]), "highest_mib": round(memory["highest"])}
    for reach, where in (("project", {}), ("space", {"namespace": namespace_name(0)})):
        times: dict[str, list[float]] = {name: [] for name in ASKED}
        for turn, query in enumerate(queries):
            for name, filters in ASKED.items():
                took_s = seconds(bench.search, query, **filters, **where)
                if turn >= WARM_UP:
                    times[name].append(took_s)
        made[reach] = {name: spread(taken) for name, taken in times.items()}
    bench.store.close()
    return made


def append(small: Path, large: Path) -> Json:
    """Append to a small and to a large store, in turn."""
    corpus = Corpus()
    texts = [message.text for message in corpus.namespace(10**6)]
    benches = [Bench(small), Bench(large)]
    for bench in benches:
        bench.search(texts[0])  # so that the index is in memory, as it is in a server
    times: list[list[float]] = [[], []]
    for turn, text in enumerate(texts[: APPENDS + WARM_UP]):
        for bench, taken in zip(benches, times, strict=True):
            where = namespace_name(0)
            took_s = seconds(bench.append, where, f"{where}-{turn % 100}", text)
            if turn >= WARM_UP:
                taken.append(took_s)
    for bench in benches:
        bench.store.close()
    return {"small": spread(times[0]), "large": spread(times[1])}


def neighbours(alone: Path, crowd: Path) -> Json:
    """Search a space of 100 messages that is alone, and the same among many others, in turn."""
    corpus = Corpus()
    made = [one._replace(namespace="small") for one in corpus.namespace(10**6 + 1)[:SMALL]]
    queries = corpus.queries(made, QUERIES + WARM_UP)
    benches = [Bench(alone), Bench(crowd)]
    for bench in benches:
        bench.load(made, bodies_of(made))
    times: list[list[float]] = [[], []]
    different = 0
    for turn, query in enumerate(queries):
        found = []
        for bench, taken in zip(benches, times, strict=True):
            began = time.perf_counter()
            found.append(bench.search(query, namespace="small"))
            if turn >= WARM_UP:
                taken.append(time.perf_counter() - began)
        different += found[0] != found[1]
    for bench in benches:
        bench.store.close()
    return {"alone": spread(times[0]), "crowd": spread(times[1]), "scored_else": different}


PARTS: dict[str, Callable[..., Json]] = {
    "build": build,
    "begin": begin,
    "pack": pack,
    "look": look,
    "append": append,
    "neighbours": neighbours,
}


def part(name: str, *given: object) -> Json:
    """Run a part in a process of its own; return what it printed."""
    command = [sys.executable, "-m", "benchmarks.search", "--part", name, *map(str, given)]
    surroundings = {k: v for k, v in os.environ.items() if not k.startswith("DIALOGUEDB_")}
    done = subprocess.run(
        command, stdout=subprocess.PIPE, text=True, check=False, cwd=ROOT, env=surroundings
    )
    if done.returncode:
        raise SystemExit(f"the part {name} failed")
    found: Json = json.loads(done.stdout)
    return found


# ---- all of it -----------------------------------------------------------------------------------


def over_http(db: Path, size: int) -> Iterator[Figure]:
    """Search one space through the server."""
    corpus = Corpus()
    queries = corpus.queries(corpus.namespace(0), QUERIES + WARM_UP)
    with serving(db) as (server, _):
        address = urlsplit(server.url)
        connection = HTTPConnection(str(address.hostname), address.port)
        headers = {"Authorization": f"Bearer {KEY}", "Content-Type": "application/json"}
        times = []
        for turn, query in enumerate(queries):
            asked = {"query": query, "object": "message", "namespace": namespace_name(0)}
            body = msgspec.json.encode(asked)
            began = time.perf_counter()
            connection.request("POST", "/api/v1/search", body, headers)
            answer = connection.getresponse()
            text = answer.read()
            if turn >= WARM_UP:
                times.append(time.perf_counter() - began)
            if answer.status != 200 or not msgspec.json.decode(text)["results"]:
                raise SystemExit(f"{query!r} was answered with {answer.status}: {text[:300]!r}")
        connection.close()
    yield from _times("space of 10,000, over HTTP", size, spread(times), (5, 15))


def _times(
    name: str, size: int, found: Json, goals: tuple[float, float] | None = None
) -> Iterator[Figure]:
    p50, p99 = goals or (None, None)
    yield Figure(f"{name}, p50", size, found["p50_ms"], "ms", p50)
    yield Figure(f"{name}, p99", size, found["p99_ms"], "ms", p99)


def _looked(found: Json, size: int, *, largest: bool) -> Iterator[Figure]:
    goals = (30, 100) if largest else None
    yield from _times("project", size, found["project"]["plain"], goals)
    yield from _times("space of 10,000", size, found["space"]["plain"], (3, 10))
    yield from _times("project, for dialogues", size, found["project"]["dialogues"])
    yield from _times("space of 10,000, for dialogues", size, found["space"]["dialogues"], (3, 10))
    for reach in ("project", "space"):
        plain = found[reach]["plain"]
        for name in ("tag", "metadata"):
            here = found[reach][name]
            yield from _times(f"{reach}, a {name} filter keeps 1%", size, here)
            ratio = round(here["p50_ms"] / plain["p50_ms"], 3)
            yield Figure(f"{reach}, a {name} filter keeps 1%, p50 of without", size, ratio, "", 1)


def _drop_from_cache(db: Path) -> None:
    """Have the system forget what it holds of a file."""
    for file in db.parent.glob(f"{db.name}*"):
        with file.open("rb") as opened:
            os.fsync(opened.fileno())
            os.posix_fadvise(opened.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def of_size(db: Path, size: int, *, largest: bool) -> Iterator[Figure]:
    """Build a store of a size and measure what one store is enough for."""
    built = part("build", db, size)
    goal = 20_000 if largest else None
    rate = built["messages_per_s"]
    yield Figure("bulk import", size, rate, "messages/s", goal, least=True)
    found = part("begin", db, size)
    yield Figure("opened as the import left it, first answer", size, found["seconds"], "s")
    found = part("pack", db, size)
    yield Figure("packing what it left, with a second of waiting", size, found["seconds"], "s")
    for name, cold in (("opened, file not in memory", True), ("opened, file in memory", False)):
        if cold:
            _drop_from_cache(db)
        found = part("begin", db, size)
        limit = 3 if largest else None
        yield Figure(f"{name}, first answer", size, found["seconds"], "s", limit)
    found = part("look", db, size)
    memory_goal = 1024 if largest else None
    yield Figure("resident after 100 searches", size, found["resident_mib"], "MiB", memory_goal)
    yield from _looked(found, size, largest=largest)


def between(room: Path, small: int, large: int) -> Iterator[Figure]:
    """Measure what takes a small and a large store."""
    if small != large:
        found = part("append", room / f"{small}.db", room / f"{large}.db")
        yield from _times("append, in-process", small, found["small"])
        yield from _times("append, in-process", large, found["large"])
        ratio = round(found["large"]["p50_ms"] / found["small"]["p50_ms"], 3)
        yield Figure(f"append, p50 of that at {small:,}", large, ratio, "", 1.3)
    found = part("neighbours", room / "alone.db", room / f"{large}.db")
    yield from _times("space of 100, alone", SMALL, found["alone"])
    yield from _times("space of 100, among others", large, found["crowd"])
    ratio = round(found["crowd"]["p50_ms"] / found["alone"]["p50_ms"], 3)
    name = "space of 100, among others, p50 of alone"
    yield Figure(name, large, ratio, "", 1.3 if large >= FOREIGN else None)
    yield Figure("space of 100, queries scored differently", large, found["scored_else"], "", 0)


def measure(room: Path, sizes: Sequence[int], rounds: int, length_s: float) -> Iterator[Figure]:
    """Measure everything."""
    for size in sizes:
        yield from of_size(room / f"{size}.db", size, largest=size >= SIZES[-1])
    yield from over_http(room / f"{sizes[0]}.db", sizes[0])
    yield from between(room, sizes[0], sizes[-1])
    loads = [load for load in http.LOADS if load.name in ("empty", "append")]
    texts = [message.text for number in range(2) for message in Corpus().namespace(number)]
    medians = http.measure(rounds, length_s, room, loads, texts)["loads"]
    ratio = medians[1]["ratio"]
    name = "append over HTTP, of the empty handler"
    yield Figure(name, 0, ratio, "", 0.4, least=True)


def main() -> None:
    """Measure, print the table, and write it as JSON if asked."""
    first, _, rest = (__doc__ or "").partition("\n\n")
    options = argparse.ArgumentParser(description=first, epilog=rest)
    options.add_argument("--sizes", type=int, nargs="+", default=SIZES, help="messages, ascending")
    options.add_argument("--seconds", type=float, default=5, help="length of one load over HTTP")
    options.add_argument("--rounds", type=int, default=3, help="how often each load is run")
    options.add_argument("--json", type=Path, metavar="FILE", help="write the result here too")
    options.add_argument("--room", type=Path, default=ROOT / "build", help="where the files lie")
    options.add_argument("--part", nargs=3, help=argparse.SUPPRESS)
    chosen = options.parse_args()
    if chosen.part:
        name, db, other = chosen.part
        given = int(other) if other.isdecimal() else Path(other)
        print(json.dumps(PARTS[name](Path(db), given)))
        return
    chosen.room.mkdir(parents=True, exist_ok=True)
    refuse_memory_file_system(chosen.room)
    began = busy()
    figures = []
    with tempfile.TemporaryDirectory(dir=chosen.room, prefix="bench-") as room:
        for figure in measure(Path(room), chosen.sizes, chosen.rounds, chosen.seconds):
            figures.append(figure)
            if sys.stderr.isatty():
                print(table([figure])[-1], file=sys.stderr)
    report(figures, began, chosen.json)


if __name__ == "__main__":
    main()
