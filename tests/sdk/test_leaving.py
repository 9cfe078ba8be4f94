"""Callers that go away: tasks that are cancelled, clients that are closed early, loops that end."""

import asyncio
import json
import logging
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

import dialoguedb
from dialoguedb import AsyncDialogueDB, LocalSettings, errors
from dialoguedb.contract import OPERATIONS
from dialoguedb.sdk.answers import error_of, reply_of
from dialoguedb.sdk.calls import call
from harness import Server, new_project


def test_cancelled_writes_are_no_errors(local_db: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def run() -> None:
        async with await dialoguedb.open_async(local_db) as db:
            made = await db.create_dialogue()
            appends = [
                asyncio.create_task(made.save_message(role="user", content=str(turn)))
                for turn in range(100)
            ]
            await asyncio.sleep(0.005)
            for one in appends:
                one.cancel()
            await asyncio.gather(*appends, return_exceptions=True)
            await db.create_memory("after")
            stored = [one.sequence async for one in made.messages_iter()]
            assert stored == list(range(1, len(stored) + 1))

    with caplog.at_level(logging.WARNING, "dialoguedb"):
        asyncio.run(run())
    assert not caplog.records


def test_closing_while_it_opens_and_twice(local_db: Path) -> None:
    async def run() -> None:
        db = AsyncDialogueDB(settings=LocalSettings(db=str(local_db)))
        first = asyncio.create_task(db.create_memory(1))
        await asyncio.sleep(0)
        await db.close()
        await asyncio.gather(first, return_exceptions=True)
        await db.close()
        with pytest.raises(errors.ClientClosed):
            await db.create_memory(2)

    before = set(threading.enumerate())
    asyncio.run(run())
    names = {thread.name for thread in set(threading.enumerate()) - before}
    assert "dialoguedb-writer" not in names, "the database is still open"


def test_each_loop_keeps_its_connections(server: Server) -> None:
    """Loops that take turns neither part the others from theirs nor leave any open."""
    db = AsyncDialogueDB(new_project(server.db).key, server.url)
    loops = [asyncio.new_event_loop() for _ in range(2)]
    for loop in loops:
        loop.run_until_complete(db.get_dialogue("none"))
    before = len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(30):
        for loop in loops:
            loop.run_until_complete(db.get_dialogue("none"))
    assert len(list(Path("/proc/self/fd").iterdir())) <= before
    for loop in loops:
        loop.run_until_complete(db.close())
        loop.close()


@pytest.mark.parametrize(
    "odd",
    [
        {"details": None},
        {"details": {"a": 1}},
        {"details": ["a", None]},
        {"details": [{"value": 1.5}, {"field": 5}]},
        {"message": None},
        {"message": ["x"], "requestId": 7},
    ],
)
def test_an_error_is_known_by_its_code_whatever_else_is_odd(odd: Mapping[str, Any]) -> None:
    said = {"code": "DIALOGUE_NOT_FOUND", "message": "m", **odd}
    error = error_of(404, {"x-request-id": "r"}, json.dumps({"error": said}).encode())
    assert type(error) is errors.DialogueNotFound
    assert error.message
    assert error.request_id == "r"
    assert all(isinstance(one.message, str) for one in error.details)


@pytest.mark.parametrize("body", [b"", b"[]", b"null", b'{"error":"x"}', b'{"error":[]}', b"\xff"])
def test_an_error_that_says_nothing_is_known_by_its_status(body: bytes) -> None:
    assert type(error_of(401, {}, body)) is errors.Unauthorized
    assert type(error_of(418, {}, body)) is errors.UnexpectedAnswer


def test_a_deletion_may_be_answered_by_nothing() -> None:
    for row in OPERATIONS:
        if row.name in ("dialogues.delete", "memories.delete"):
            assert reply_of(call(row.name, id="x"), 204, {}, b"").result is None
