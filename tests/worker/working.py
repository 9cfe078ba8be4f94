"""Kinds of jobs for the tests, whose effects can be counted, and processes that do them."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Self

import msgspec

from dialoguedb.contract import OPERATIONS
from dialoguedb.engine import Caller, handlers
from dialoguedb.server import logs
from dialoguedb.settings import load
from dialoguedb.store import jobs
from dialoguedb.store.opening import open_store
from dialoguedb.store.protocol import Store
from dialoguedb.worker.kinds import Kind, Kinds, kinds_of
from dialoguedb.worker.task import Again, Task
from dialoguedb.worker.working import Pace, Worker

_REQUESTS: dict[str, Any] = {one.name: one.request for one in OPERATIONS}
#: Soon over, and long enough for a machine that does much besides.
LEASE_S = 1.0


def do(store: Store, project_id: str, name: str, body: dict[str, Any], **caller: Any) -> Any:
    """Carry out an operation of the contract."""
    task = task_of(project_id, name, body, **caller)
    return store.write(task.scope, task.work)


def task_of(project_id: str, name: str, body: dict[str, Any], **caller: Any) -> Any:
    request = msgspec.json.decode(msgspec.json.encode(body), type=_REQUESTS[name])
    return handlers()[name](Caller(project_id=project_id, request_id="r", **caller), request)


def say_texts(
    store: Store, project_id: str, texts: Sequence[str], dialogue: str = "d", **more: Any
) -> None:
    """Make a dialogue with messages of these texts."""
    messages = [{"role": "user", "content": text} for text in texts]
    do(store, project_id, "dialogues.create", {"id": dialogue, "messages": messages} | more)


def work(store: Store, *names: str) -> int:
    """Do what is due of some of the kinds that there are, or of all; give how often that was."""
    found = kinds_of(store)
    return Worker(store, kinds={name: found[name] for name in names or found}).run(once=True)


def add(store: Store, kind: str, key: str, **payload: Any) -> None:
    assert store.write(None, lambda tx: jobs.add(tx, kind, key, json.dumps(payload)))


def effects(store: Store, project_id: str) -> list[str]:
    """What jobs have stored: the keys of those that were done, as often as they were."""
    found: list[str] = []
    cursor: str | None = None
    while True:
        body = {"limit": 100} | ({"next": cursor} if cursor else {})
        task = task_of(project_id, "memories.list", body)
        page = msgspec.json.decode(msgspec.json.encode(store.read(task.scope, task.work)))
        found += [one["value"] for one in page["items"]]
        cursor = page["next"]
        if cursor is None:
            return sorted(found)


def states(store: Store) -> dict[str, str]:
    """How each job stands, by its kind and key."""
    return {f"{one.kind}:{one.key}": one.state for one in store.read(None, jobs.every)}


def until(true: Callable[[], Any], what: str, seconds: float = 15) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, f"not within {seconds} s: {what}"
        time.sleep(0.01)


def store_key(task: Task) -> None:
    """Store the key of the job, in a memory of a new id: twice would be seen."""
    made = task_of(task.payload["project"], "memories.create", {"value": task.job.key})
    task.finish(made.scope, made.work)


def wait_and_store_key(task: Task) -> None:
    """The same, when the test says so: by a line on standard input."""
    say(f"began {task.job.key}")
    sys.stdin.readline()
    store_key(task)
    say(f"stored {task.job.key}")


def step_by_step(task: Task) -> Again | None:
    """Go on as long as one may."""
    say(f"began {task.job.key}")
    while task.going:
        time.sleep(0.01)
    return Again()


def say(line: str) -> None:
    print(line, flush=True)


KINDS: Kinds = {
    "store": Kind(store_key),
    "wait": Kind(wait_and_store_key),
    "steps": Kind(step_by_step),
}


class Process:
    """A process with a worker that does `KINDS` and summaries; what it says is read line by line.

    Its settings are the variables that it is given.
    """

    def __init__(self, db: str, *, lease_s: float = LEASE_S, **variables: str) -> None:
        self.seen: list[str] = []
        self.process = subprocess.Popen(
            [sys.executable, str(Path(__file__)), db, str(lease_s)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env={k: v for k, v in os.environ.items() if not k.startswith("DIALOGUEDB_")}
            | variables,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.communicate()

    def wait_for(self, text: str) -> None:
        """Read on until a line has this in it."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.seen.append(line)
            if text in line:
                return
        raise AssertionError(f"the worker ended without {text!r}: {''.join(self.seen)}")

    def go_on(self) -> None:
        """Let the job that waits go on."""
        assert self.process.stdin is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()

    def send(self, one: signal.Signals) -> None:
        self.process.send_signal(one)

    def ended(self) -> int:
        """Wait for its end; give the exit code."""
        out, _ = self.process.communicate(timeout=30)
        self.seen.append(out)
        return self.process.returncode


def main() -> None:
    db, lease_s = sys.argv[1:]
    logs.configure("debug")
    store = open_store(db)
    kinds = {**KINDS, "summarize": kinds_of(store, load({}))["summarize"]}
    worker = Worker(store, kinds=kinds, pace=Pace(lease_s=float(lease_s), idle_s=0.02))
    signal.signal(signal.SIGTERM, lambda *_: worker.stop())
    say("ready")
    worker.run()
    store.close()
    say("ended")


if __name__ == "__main__":
    main()
