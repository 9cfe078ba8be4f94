"""Measure DialogueDB on PostgreSQL, in one run on one machine.

Writes and reads over HTTP are held against `pgbench`, which runs the same statements, transaction
included, with as many connections on the same database. The two take turns. Search is measured in a
space of 10,000 messages and over all of a project, and the graph of its vectors against comparing
all of them. PostgreSQL is that of the wheel, with fsync on.
"""

import argparse
import statistics
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import NamedTuple

import msgspec
import psycopg
from benchmarks import copying, failover, http, pgbench, postgres_search, row_security
from benchmarks.clusters import Cluster
from benchmarks.common import (
    DIALOGUEDB,
    ROOT,
    Figure,
    busy,
    refuse_memory_file_system,
    report,
    running,
    table,
)
from benchmarks.corpus import IN_NAMESPACE, Corpus

from dialoguedb.engine import Caller, dialogues, projects
from dialoguedb.models.dialogues import CreateDialogue
from dialoguedb.models.messages import NewMessage
from dialoguedb.store.opening import open_store
from dialoguedb.store.protocol import Store

SETTINGS = {"shared_buffers": "512MB", "max_connections": "200"}
MESSAGES = 1_000_000
#: Connections of a server to the database, and of pgbench.
CONNECTIONS = 8
#: Dialogues that appends go to, each in a namespace of its own; and those that are read.
DIALOGUES = 1024
WORKERS = (1, 2, 4)
WARM_UP_S = 2
#: Messages that row-level security is measured with at most.
ROWS_SECURED = 100_000


class Lengths(NamedTuple):
    """How long and how often a load is run."""

    seconds: float
    rounds: int


class Bench(NamedTuple):
    """A database that loads run on, and where their scripts lie."""

    cluster: Cluster
    database: str
    room: Path
    texts: Sequence[str]
    lengths: Lengths

    @property
    def address(self) -> str:
        """Where it is, for its owner."""
        return self.cluster.address(self.database)


# ---- preparing -----------------------------------------------------------------------------------


def new_database(cluster: Cluster, name: str) -> str:
    """Make a database with the extension; give its address."""
    cluster.run(f"CREATE DATABASE {name} OWNER dialoguedb")
    cluster.run("CREATE EXTENSION vector", name)
    return cluster.address(name)


def prepared(bench: Bench) -> dict[str, pgbench.Dialogues]:
    """Make the dialogues of each load; those to be read get their messages."""
    store = open_store(bench.address)
    project = projects.ensure_default(store)[0]
    made = {}
    for prefix, messages in (("append", 0), ("read", http.EMBEDDED), ("batch", 0)):
        names = [f"{prefix}-{number}" for number in range(DIALOGUES)]
        made[prefix] = pgbench.Dialogues(
            project.id, prefix, _spaces(bench, project.id, names), DIALOGUES
        )
        with ThreadPoolExecutor(http.CONNECTIONS) as pool:
            for _ in pool.map(partial(_make, store, project.id, messages), names):
                pass
    store.close()
    return made


def _spaces(bench: Bench, project_id: str, namespaces: Sequence[str]) -> int:
    """Make spaces whose numbers follow each other; give the first."""
    with psycopg.connect(bench.address) as connection:
        made = [
            connection.execute(
                "INSERT INTO dialoguedb.spaces (project_id, namespace) VALUES (%s, %s) "
                "RETURNING id",
                (project_id, name),
            ).fetchone()
            for name in namespaces
        ]
    numbers = [row[0] for row in made if row]
    assert numbers == list(range(numbers[0], numbers[0] + len(namespaces)))
    return int(numbers[0])


def _make(store: Store, project_id: str, messages: int, name: str) -> None:
    content = msgspec.Raw(msgspec.json.encode(http.TEXT))
    request = CreateDialogue(
        id=name,
        namespace=name,
        messages=[NewMessage(role="user", content=content)] * messages or msgspec.UNSET,
    )
    task = dialogues.create(Caller(project_id=project_id, request_id=""), request)
    store.write(task.scope, task.work)


@contextmanager
def serving(bench: Bench, workers: int = 1, *, connections: int = CONNECTIONS) -> Iterator[str]:
    """Run the server on the database, each worker with so many connections; give its address."""
    command = [
        str(DIALOGUEDB), "serve", "--db", bench.address, "--port", "0",
        "--db-connections", str(connections), "--workers", str(workers), "--no-jobs",
    ]  # fmt: skip
    with running(command, bench.room / f"server-{workers}.log") as server:
        yield server.url


def wrk(bench: Bench, load: http.Load, url: str, seconds: float) -> http.Sample:
    """Run a load over HTTP, spread over its dialogues."""
    texts = bench.room / "texts"
    texts.write_text("".join(f"{text}\n" for text in bench.texts))
    script = bench.room / f"{load.name}.lua"
    script.write_text(http.lua(load, texts, dialogues=DIALOGUES))
    return http.run_wrk(script, url, seconds)


_NAMED = {"dialogueId": "ID", "namespace": "ID"}
LOADS = {
    load.name: load
    for load in (
        http.Load("append", "POST", "/message", http.MESSAGE_BODY | _NAMED, "append", 1, 0, ""),
        http.Load("read", "GET", "/dialogue/ID?namespace=ID", None, "read", 0, 0, ""),
        http.Load(
            "batch",
            "POST",
            "/messages",
            _NAMED | {"messages": [http.MESSAGE_BODY] * http.BATCH},
            "batch",
            http.BATCH,
            0,
            "",
        ),
    )
}


# ---- writes and reads ----------------------------------------------------------------------------


def counted(bench: Bench, prefix: str) -> int:
    """Count the messages that the dialogues of a load say they hold, and those that are there."""
    said = "SELECT SUM(total_messages) FROM dialoguedb.dialogues WHERE starts_with(id, %s)"
    there = "SELECT COUNT(*) FROM dialoguedb.messages WHERE starts_with(dialogue_id, %s)"
    with psycopg.connect(bench.cluster.superuser(bench.database)) as connection:
        connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ  # requests go on
        found = [connection.execute(sql, (prefix,)).fetchone() for sql in (said, there)]
    if found[0] != found[1] or found[0] is None:
        raise SystemExit(f"{prefix}: dialogues count {found[0]} messages, there are {found[1]}")
    return int(found[0][0])


def _alternating(bench: Bench, acts: Sequence[Callable[[float], float]], name: str) -> list[float]:
    """Run loads in turn, round after round; give the median of each."""
    rates: list[list[float]] = [[] for _ in acts]
    for turn in range(bench.lengths.rounds + 1):
        for act, taken in zip(acts, rates, strict=True):
            rate = act(bench.lengths.seconds if turn else min(WARM_UP_S, bench.lengths.seconds))
            if turn:
                taken.append(rate)
        bench.cluster.run("CHECKPOINT")  # none while the next round is measured
    print(f"{name}: {[[round(rate) for rate in taken] for taken in rates]}", file=sys.stderr)
    return [statistics.median(taken) for taken in rates]


def against_pgbench(bench: Bench, where: dict[str, pgbench.Dialogues]) -> Iterator[Figure]:
    """Hold appends and reads over HTTP against pgbench with the same statements."""
    with psycopg.connect(bench.address) as connection:
        row = connection.execute(
            "SELECT generation FROM dialoguedb.indexes WHERE active = 1"
        ).fetchone()
    assert row is not None
    room = bench.room
    room.chmod(0o755)  # pgbench is its own user's
    scripts = {
        "append": pgbench.appends(room, where["append"], row[0], bench.texts),
        "read": pgbench.reads(room, where["read"], http.EMBEDDED),
    }
    for name, goal, unit in (("append", 0.6, "messages/s"), ("read", 0.5, "dialogues/s")):
        half = CONNECTIONS // 2
        with serving(bench) as one, serving(bench, 2, connections=half) as two:
            over_http = [partial(_checked, bench, LOADS[name], url) for url in (one, two)]
            bare = partial(_by_pgbench, bench, scripts[name])
            ours, of_two, theirs = _alternating(bench, (*over_http, bare), name)
        title = http.TITLES[name]
        yield Figure(f"{title}, over HTTP", 0, round(ours), unit)
        yield Figure(f"{title}, pgbench, {CONNECTIONS} connections", 0, round(theirs), unit)
        yield Figure(f"{title}, of pgbench", 0, round(ours / theirs, 3), "", goal, least=True)
        ratio = round(of_two / theirs, 3)
        yield Figure(
            f"{title}, 2 processes of {half} connections, of pgbench",
            0,
            ratio,
            "",
            goal,
            least=True,
        )


def _by_pgbench(bench: Bench, scripts: Sequence[Path], seconds: float) -> float:
    found = pgbench.run(
        bench.cluster, bench.database, scripts, clients=CONNECTIONS, seconds=seconds
    )
    if found.failed:
        raise SystemExit(f"pgbench gave {found.failed} transactions up")
    return found.per_s


def _checked(bench: Bench, load: http.Load, url: str, seconds: float) -> float:
    """Run a load; give its answers per second. Fail if fewer messages were stored than answered."""
    before = counted(bench, load.prefix) if load.messages else 0
    sample = wrk(bench, load, url, seconds)
    if load.messages:
        http.check_work(load, sample, counted(bench, load.prefix) - before)
    return sample.per_s


def with_workers(bench: Bench, counts: Sequence[int]) -> Iterator[Figure]:
    """Measure what several server processes do on one database, and batches with one."""
    rates: dict[tuple[str, int], float] = {}
    for workers in counts:
        with serving(bench, workers) as url:
            for name in ("append", "read"):
                rates[name, workers] = _repeated(bench, LOADS[name], url)
            if workers == 1:
                rate = _repeated(bench, LOADS["batch"], url) * http.BATCH
                yield Figure(f"{http.TITLES['batch']}, over HTTP", 0, round(rate), "messages/s")
    for name in ("append", "read"):
        for workers in counts:
            rate, one = rates[name, workers], rates[name, counts[0]]
            title = f"{http.TITLES[name]}, {workers} server processes"
            yield Figure(title, 0, round(rate), "/s")
            if workers != counts[0]:
                yield Figure(f"{title}, of one", 0, round(rate / one, 2), "")


def _repeated(bench: Bench, load: http.Load, url: str) -> float:
    _checked(bench, load, url, min(WARM_UP_S, bench.lengths.seconds))
    rounds = range(bench.lengths.rounds)
    return statistics.median(_checked(bench, load, url, bench.lengths.seconds) for _ in rounds)


# ---- all of it -----------------------------------------------------------------------------------


def measure(cluster: Cluster, room: Path, messages: int, lengths: Lengths) -> Iterator[Figure]:
    """Measure everything."""
    new_database(cluster, "loads")
    texts = [message.text for message in Corpus().namespace(0)]
    bench = Bench(cluster, "loads", room, texts[:DIALOGUES], lengths)
    where = prepared(bench)
    yield from against_pgbench(bench, where)
    yield from with_workers(bench, WORKERS)
    cluster.run("DROP DATABASE loads")
    for size in dict.fromkeys((IN_NAMESPACE, messages)):
        name = f"searched_{size}"
        address = new_database(cluster, name)
        searched, figures = postgres_search.built(cluster, name, address, size)
        yield from figures
        yield from postgres_search.looked(searched, room)
        cluster.run(f"DROP DATABASE {name} WITH (FORCE)")
    yield from _others(cluster, room, messages)


def _others(cluster: Cluster, room: Path, messages: int) -> Iterator[Figure]:
    """Measure what has benchmarks of its own: row-level security, failover, copying."""
    yield from row_security.figures(cluster, min(messages, ROWS_SECURED))
    yield from failover.figures(cluster)
    target = new_database(cluster, "copied")
    yield from copying.figures(room, target, messages // 10, engine="PostgreSQL")


def versions(cluster: Cluster) -> str:
    """Name the database's versions and the load generators."""
    ((server,),) = cluster.run("SHOW server_version")
    ((vector,),) = cluster.run(
        "SELECT default_version FROM pg_available_extensions WHERE name = 'vector'"
    )
    shown = ", ".join(f"{name} = {value}" for name, value in SETTINGS.items())
    return (
        f"database: PostgreSQL {server}, pgvector {vector}, fsync on, {shown}; {http.wrk_version()}"
    )


def main() -> None:
    """Measure, print the table, and write it as JSON if asked."""
    first, _, rest = (__doc__ or "").partition("\n\n")
    options = argparse.ArgumentParser(description=first, epilog=rest)
    options.add_argument("--messages", type=int, default=MESSAGES, help="the project searched")
    options.add_argument("--seconds", type=float, default=8, help="length of one load")
    options.add_argument("--rounds", type=int, default=3, help="how often each load is run")
    options.add_argument("--quick", action="store_true", help="see that it runs: small and short")
    options.add_argument("--json", type=Path, metavar="FILE", help="write the result here too")
    options.add_argument("--room", type=Path, default=ROOT / "build", help="where the files lie")
    chosen = options.parse_args()
    lengths = Lengths(1, 1) if chosen.quick else Lengths(chosen.seconds, chosen.rounds)
    messages = 2 * IN_NAMESPACE if chosen.quick else chosen.messages
    if messages % IN_NAMESPACE:
        options.error(f"--messages takes a multiple of {IN_NAMESPACE:,}")
    chosen.room.mkdir(parents=True, exist_ok=True)
    refuse_memory_file_system(chosen.room)
    figures = []
    with (
        Cluster(SETTINGS, room=chosen.room) as cluster,
        tempfile.TemporaryDirectory(dir=chosen.room, prefix="bench-") as room,
    ):
        said = versions(cluster)
        began = busy(families=[cluster.first_process()])
        for figure in measure(cluster, Path(room), messages, lengths):
            figures.append(figure)
            print(table([figure])[-1], file=sys.stderr)
        ended = busy(families=[cluster.first_process()])
    report(figures, began, chosen.json, ended=ended)
    print(f"{said}; load generators: {http.wrk_version()}, pgbench of the same PostgreSQL")


if __name__ == "__main__":
    main()
