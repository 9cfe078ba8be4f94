"""Works that are submitted to a store at once."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import msgspec

from dialoguedb.engine import Caller, Task, handlers
from dialoguedb.store.postgres.store import PostgresStore
from dialoguedb.store.protocol import Job, Outcome
from dialoguedb.store.slot import Slot, tell_slots
from transferring import READERS


class House(NamedTuple):
    """A store and a project in it."""

    store: PostgresStore
    project_id: str

    def task(
        self,
        name: str,
        body: Any,
        *,
        key: str | None = None,
        match: int | None = None,
        query: Sequence[tuple[str, str]] = (),
        **path: str,
    ) -> Task[Any]:
        caller = Caller(
            project_id=self.project_id,
            request_id="",
            idempotency_key=key,
            if_match=None if match is None else frozenset((match,)),
        )
        sent = b"" if body is None else msgspec.json.encode(body)
        return handlers()[name](caller, READERS[name].read(path, list(query), sent))

    def at_once(self, tasks: list[Task[Any]]) -> list[Outcome]:
        """Submit works together and wait for all."""
        slots = [Slot() for _ in tasks]
        self.store.submit(
            [
                Job(task.scope, task.work, slot, tell_slots, task.apart)
                for task, slot in zip(tasks, slots, strict=True)
            ]
        )
        for slot in slots:
            if slot.outcome is None:
                slot._told.acquire()
        outcomes = [slot.outcome for slot in slots]
        assert None not in outcomes
        return [outcome for outcome in outcomes if outcome is not None]

    def say(self, dialogue_id: str, namespace: str = "", **more: Any) -> Task[Any]:
        key = more.pop("key", None)
        body = {"dialogueId": dialogue_id, "role": "user", "content": "about a wheel"} | more
        if namespace:
            body["namespace"] = namespace
        return self.task("messages.create", body, key=key)
