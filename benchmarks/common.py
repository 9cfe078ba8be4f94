"""What the benchmarks share: server processes, memory, the machine, tables."""

import importlib.metadata
import json
import os
import platform
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import numpy as np
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

Json = dict[str, Any]

ROOT = Path(__file__).resolve().parent.parent
DIALOGUEDB = Path(sys.executable).with_name("dialoguedb")
KEY = "skv1_" + "b" * 43
START_S = 30
PACKAGES = (
    "dialoguedb",
    "starlette",
    "uvicorn",
    "uvloop",
    "httptools",
    "msgspec",
    "apsw-sqlite3mc",
    "numpy",
    "simsimd",
    "model2vec",
    "PyStemmer",
)


# ---- processes -----------------------------------------------------------------------------------


class Running(NamedTuple):
    """A server process and its address."""

    url: str
    pid: int


@contextmanager
def running(
    command: Sequence[str], log: Path, env: dict[str, str] | None = None
) -> Iterator[Running]:
    """Run a server that prints its address, and end it afterwards.

    What it prints goes to a file: to read ten thousand log lines a second from a pipe would take
    from the processors that are measured.
    """
    surroundings = {k: v for k, v in os.environ.items() if not k.startswith("DIALOGUEDB_")}
    surroundings |= {"DIALOGUEDB_API_KEY": KEY} | (env or {})
    with log.open("w") as printed:
        process = subprocess.Popen(
            command, stdout=printed, stderr=printed, env=surroundings, cwd=ROOT
        )
    try:
        yield Running(_address(process, log), process.pid)
    finally:
        process.terminate()
        process.wait(60)


@contextmanager
def serving(db: Path) -> Iterator[tuple[Running, httpx.Client]]:
    """Run the server on a file, on a free port, with a client that has its key."""
    command = [str(DIALOGUEDB), "serve", "--db", str(db), "--port", "0"]
    headers = {"Authorization": f"Bearer {KEY}"}
    with (
        running(command, db.with_suffix(".log")) as server,
        httpx.Client(base_url=server.url, headers=headers, timeout=120) as client,
    ):
        yield server, client


def _address(process: subprocess.Popen[bytes], log: Path) -> str:
    """Wait until the process has printed its address and answers there."""
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline and process.poll() is None:
        found = re.search(r"http://[\w.\[\]:-]+:\d+", log.read_text())
        if found:
            try:
                httpx.get(found.group(), timeout=1)
            except httpx.TransportError:
                time.sleep(0.05)
                continue
            return found.group()
        time.sleep(0.01)
    raise SystemExit(f"a server did not start: {process.args!r}\n{log.read_text()}")


def resident_mib(pid: int | str) -> dict[str, float]:
    """Return the resident memory of a process in MiB: now, at its highest, and not of files."""
    status = Path(f"/proc/{pid}/status").read_text()
    names = {"VmRSS": "now", "VmHWM": "highest", "RssAnon": "anonymous"}
    found = re.findall(r"^(VmRSS|VmHWM|RssAnon):\s+(\d+) kB", status, re.MULTILINE)
    return {names[name]: int(kib) / 1024 for name, kib in found}


class Busy(NamedTuple):
    """Processor seconds used up to a moment: on this machine, and by this benchmark."""

    at: float
    all: float
    own: float


def busy(pids: Sequence[int] = (), families: Sequence[int] = ()) -> Busy:
    """Look at the clock and at the processors.

    Args:
        pids: other processes of the benchmark.
        families: such that have children, which count too, also those that have ended.
    """
    tick = os.sysconf("SC_CLK_TCK")
    fields = Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:]
    user, nice, system, _, _, irq, soft_irq, stolen = (int(field) for field in fields[:8])
    own = sum(os.times()[:4])
    own += sum(sum(_ticks(pid)[:2]) for pid in pids) / tick
    own += sum(sum(_ticks(pid)) for family in families for pid in _family(family)) / tick
    return Busy(time.monotonic(), (user + nice + system + irq + soft_irq + stolen) / tick, own)


def _ticks(pid: int) -> list[int]:
    """Give the time that a process took: in itself, in the system, and its ended children's."""
    after_name = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return [int(field) for field in after_name[11:15]]


def _family(pid: int) -> list[int]:
    """Give a process and its children."""
    return [pid, *map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split())]


def strangers_share(before: Busy, after: Busy) -> float:
    """Return the share of all processors that other processes took between two moments."""
    strange_s = (after.all - before.all) - (after.own - before.own)
    return round(max(0.0, strange_s) / ((after.at - before.at) * (os.cpu_count() or 1)), 3)


# ---- what the figures belong to ------------------------------------------------------------------


def surroundings() -> dict[str, Any]:
    """Describe the machine, the versions and the commit that the figures belong to."""
    cpu = re.search(r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    memory = re.search(r"^MemTotal:\s+(\d+)", Path("/proc/meminfo").read_text(), re.MULTILINE)
    git = ["git", "-C", str(ROOT)]
    commit = subprocess.run(
        [*git, "rev-parse", "HEAD"], capture_output=True, text=True, check=False
    )
    changes = [*git, "status", "--porcelain", "--untracked-files=no", "src"]
    dirty = subprocess.run(changes, capture_output=True, text=True, check=False).stdout.strip()
    return {
        "cpu": cpu.group(1) if cpu else platform.processor(),
        "cores": os.cpu_count(),
        "memory_gib": round(int(memory.group(1)) / 2**20, 1) if memory else None,
        "system": platform.platform(),
        "python": platform.python_version(),
        "versions": {name: importlib.metadata.version(name) for name in PACKAGES},
        "commit": commit.stdout.strip() + (" with uncommitted changes in src" if dirty else ""),
    }


def machine_lines(machine: dict[str, Any]) -> list[str]:
    """Write `surroundings` as text."""
    versions = ", ".join(f"{name} {version}" for name, version in machine["versions"].items())
    return [
        f"machine: {machine['cpu']}, {machine['cores']} cores, {machine['memory_gib']} GiB, "
        f"{machine['system']}, Python {machine['python']}",
        f"versions: {versions}",
        f"commit: {machine['commit']}",
    ]


def columns(lines: Sequence[Sequence[str]]) -> list[str]:
    """Set lines of cells in columns."""
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    ]


def refuse_memory_file_system(room: Path) -> None:
    """Refuse to measure durable writes on a file system that lives in memory."""
    kind = subprocess.run(
        ["stat", "-f", "-c", "%T", str(room)], capture_output=True, text=True, check=True
    ).stdout.strip()
    if kind in ("tmpfs", "ramfs"):
        raise SystemExit(f"{room} is on {kind}; a durable write needs a disk: use --room")


# ---- times and figures ---------------------------------------------------------------------------


def seconds(act: Callable[..., Any], *given: Any, **named: Any) -> float:
    """Return how long something takes."""
    began = time.perf_counter()
    act(*given, **named)
    return time.perf_counter() - began


def spread(times: Sequence[float]) -> Json:
    """Return median and 99th percentile of seconds, in milliseconds."""
    p50, p99 = np.percentile(np.array(times) * 1e3, (50, 99))
    return {"p50_ms": round(float(p50), 3), "p99_ms": round(float(p99), 3)}


def progress_of(what: str, total: int) -> tuple[Progress, Any]:
    """Show a bar for long work."""
    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=Console(stderr=True),
        transient=True,
    )
    return bar, bar.add_task(what, total=total)


class Figure(NamedTuple):
    """A line of the result; a goal is the most (or with `least`, the least) that is allowed."""

    name: str
    size: int
    value: float
    unit: str
    goal: float | None = None
    least: bool = False

    @property
    def reached(self) -> bool | None:
        """Tell whether the goal is reached; None where there is none."""
        if self.goal is None:
            return None
        return self.value >= self.goal if self.least else self.value <= self.goal


def table(figures: Sequence[Figure]) -> list[str]:
    """Write figures as text."""
    verdicts = {True: "reached", False: "MISSED", None: ""}
    lines = [["figure", "messages", "measured", "goal", ""]]
    for one in figures:
        value = f"{one.value:,.0f}" if one.value >= 1000 else f"{one.value:g}"
        goal = "" if one.goal is None else f"{'>=' if one.least else '<='} {one.goal:,g}"
        size = f"{one.size:,}" if one.size else ""
        lines.append([one.name, size, f"{value} {one.unit}", goal, verdicts[one.reached]])
    return columns(lines)


def report(
    figures: Sequence[Figure], began: Busy, to: Path | None, *, ended: Busy | None = None
) -> None:
    """Print figures with what they belong to, and write them as JSON if asked.

    Args:
        figures: what was measured.
        began: what had been used of the processors before.
        to: where the JSON goes.
        ended: the same at the end; what it is now if None.
    """
    strangers = strangers_share(began, ended or busy())
    machine = surroundings()
    text = [
        *table(figures),
        "",
        f"other processes took {strangers:.1%} of the processors meanwhile",
        *machine_lines(machine),
    ]
    print("\n".join(text))
    if to:
        made = [one._asdict() | {"reached": one.reached} for one in figures]
        result = {"figures": made, "strangers_share": strangers, "machine": machine}
        to.write_text(json.dumps(result, indent=2) + "\n")
