"""Summaries of a client that has the engine in its own process."""

import asyncio
import threading
import time
from contextlib import closing, suppress
from pathlib import Path

import apsw
import pytest

import dialoguedb
from dialoguedb import DialogueDB, Summary


def names() -> list[str]:
    return [one.name for one in threading.enumerate()]


def talk(db: DialogueDB) -> Summary:
    dialogue = db.create_dialogue(id="d")
    dialogue.save_message(role="user", content="My wheel is bent.")
    return dialogue.summarize(id="s", wait=False)


def test_a_thread_makes_them_from_the_first_one_on(tmp_path: Path) -> None:
    """And it ends with the client."""
    with dialoguedb.open(tmp_path / "chat.db") as db:
        assert "dialoguedb-jobs" not in names()
        assert talk(db).wait(20).status == "completed"
        assert "dialoguedb-jobs" in names()
    assert "dialoguedb-jobs" not in names()


def test_what_a_program_has_left_goes_on_with_the_next_one(tmp_path: Path) -> None:
    """Whether it was begun or not; it is made once."""
    path = tmp_path / "chat.db"
    for number in range(5):
        with dialoguedb.open(path) as db:
            dialogue = db.get_or_create_dialogue("d")
            dialogue.save_message(role="user", content=f"Wheel {number} is bent.")
            dialogue.summarize(id=f"s{number}", wait=False, incremental=False)
    with dialoguedb.open(path) as db:
        for summary in db.list_summaries():
            assert summary.wait(20).status == "completed"
        assert len(list(db.list_summaries())) == 5


def test_one_that_is_asked_for_as_the_client_closes_leaves_no_thread(tmp_path: Path) -> None:
    """It goes on with the next client."""

    async def leave() -> None:
        db = await dialoguedb.open_async(tmp_path / "chat.db")
        dialogue = await db.create_dialogue(id="d")
        await dialogue.save_message(role="user", content="My wheel is bent.")
        asked = asyncio.create_task(dialogue.summarize(id="s", wait=False))
        await asyncio.sleep(0)
        await db.close()
        with suppress(dialoguedb.DialogueDBError):
            await asked

    before = set(threading.enumerate())
    for _ in range(3):
        asyncio.run(leave())
        (tmp_path / "chat.db").unlink()
    deadline = time.monotonic() + 20  # a thread of the client has been told, and may be ending
    while left := set(threading.enumerate()) - before:
        assert time.monotonic() < deadline, left
        time.sleep(0.02)


def test_a_database_that_cannot_be_opened_to_the_end_is_closed_again(tmp_path: Path) -> None:
    """Whatever it was that failed; here there is no table of jobs any more."""
    path = tmp_path / "chat.db"
    dialoguedb.open(path).close()
    with closing(apsw.Connection(str(path))) as file:
        file.execute("DROP TABLE jobs")
    before = names()
    with pytest.raises(dialoguedb.DialogueDBError):
        dialoguedb.open(path)
    assert names() == before
    opened = [str(one.resolve()) for one in Path("/proc/self/fd").iterdir()]
    assert [one for one in opened if one.startswith(str(path))] == []
