"""Summaries of a client that has the engine in its own process."""

import threading
from pathlib import Path

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
