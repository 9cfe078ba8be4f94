"""Measure `dialoguedb copy`: the bulk, a catch-up in which nothing has changed, and the last step.

`figures` is for a benchmark that has a database to copy into. By itself this copies into a file, or
to the empty database of `--target`.
"""

import argparse
import json
import os
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from benchmarks.common import DIALOGUEDB, Figure, Json, busy, report, resident_mib
from benchmarks.search import build

SIZE = 100_000
_LOOK_S = 0.05


class Run(NamedTuple):
    """What a copy has told, and the most memory that it had, MiB."""

    told: Json
    highest_mib: float


def copied(source: str, target: str, *flags: str) -> Run:
    """Copy in a process of its own."""
    command = [str(DIALOGUEDB), "copy", source, target, "--output", "json", *flags]
    surroundings = {k: v for k, v in os.environ.items() if not k.startswith("DIALOGUEDB_")}
    highest = 0.0
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=surroundings) as process:
        while process.poll() is None:
            # The highest up to now; what `wait4` tells begins with that of this process.
            highest = max(highest, resident_mib(process.pid).get("highest", 0.0))
            time.sleep(_LOOK_S)
        assert process.stdout is not None
        told = process.stdout.read()
    if process.returncode:
        raise SystemExit(f"{command} ended with {process.returncode}: {told.decode()}")
    return Run(json.loads(told), highest)


def figures(room: Path, target: str, size: int = SIZE, *, engine: str = "") -> Iterator[Figure]:
    """Copy a file of so many messages to an empty database, catch up, and finish.

    Args:
        room: a folder for the file; what is made in it stays.
        target: the address of an empty database, or a file that is not there.
        size: messages.
        engine: what the target is called in the figures.
    """
    source = room / f"source-{size}.db"
    if not source.exists():
        build(source, size)
    begun = copied(str(_small(room)), str(room / f"small-copy-{os.getpid()}.db"))
    name = f"copy to {engine or target}"
    for what, flags in (("bulk", ()), ("catch-up, unchanged", ()), ("--final", ("--final",))):
        run = copied(str(source), target, *flags)
        yield Figure(f"{name}, {what}", size, run.told["rowsPerSecond"], "rows/s")
        yield Figure(f"{name}, {what}", size, run.told["seconds"], "s")
        over = round(run.highest_mib - begun.highest_mib)
        goal = 100 if what == "bulk" else None
        yield Figure(f"{name}, {what}: above a small one", size, over, "MiB", goal)


def _small(room: Path) -> Path:
    """Make a file whose copy takes no more memory than the program itself."""
    small = room / "source-small.db"
    if not small.exists():
        build(small, 100)
    return small


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--size", type=int, default=SIZE, help="messages")
    parser.add_argument("--target", help="an empty database; else a file")
    parser.add_argument("--room", type=Path, help="a folder to keep the source in")
    given = parser.parse_args()
    began = busy()
    with tempfile.TemporaryDirectory() as folder:
        room = given.room or Path(folder)
        target = given.target or str(Path(folder) / "copy.db")
        engine = "PostgreSQL" if given.target else "SQLite"
        report(list(figures(room, target, given.size, engine=engine)), began, None)


if __name__ == "__main__":
    main()
