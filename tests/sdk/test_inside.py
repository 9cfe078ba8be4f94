"""What goes wrong inside the engine of an in-process client, and before anything is sent."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import apsw
import pytest

import dialoguedb
from dialoguedb import errors
from dialoguedb.sdk.local import LocalTransport


def broken(*_: Any) -> Any:
    raise ZeroDivisionError("a defect")


def test_a_defect_is_an_internal_error_with_its_cause(local_db: Path) -> None:
    with dialoguedb.open(local_db) as db:
        transport = db._sender.transport
        assert isinstance(transport, LocalTransport)
        assert transport._house is not None
        transport._house.handlers["memories.get"] = broken  # type: ignore[index]
        with pytest.raises(errors.InternalError) as caught:
            db.get_memory("m")
    assert isinstance(caught.value.__cause__, ZeroDivisionError)
    assert caught.value.request_id


@pytest.mark.long
def test_those_who_fail_together_have_errors_of_their_own(local_db: Path) -> None:
    """Each names its own request."""
    with dialoguedb.open(local_db) as db, ThreadPoolExecutor(8) as pool:
        db.create_memory(0)
        other = apsw.Connection(str(local_db))
        other.execute("BEGIN IMMEDIATE")
        made = [pool.submit(db.create_memory, number) for number in range(8)]
        failed = [one.exception(60) for one in made]
        other.execute("ROLLBACK")
        other.close()
    requests = {one.request_id for one in failed if isinstance(one, errors.ServiceUnavailable)}
    assert len(requests) == 8


def test_of_a_list_that_cannot_be_written_nothing_is_sent(local_db: Path) -> None:
    several: list[Any] = [{"role": "user", "content": f"{n}"} for n in range(60)]
    several[55] = {"role": "user", "content": {"score": float("nan")}}
    with dialoguedb.open(local_db) as db:
        dialogue = db.create_dialogue()
        with pytest.raises(errors.InvalidInput) as caught:
            dialogue.save_messages(several)
        assert caught.value.details[0].field == "messages[55]"
        assert list(dialogue.messages_iter()) == []


def test_records_before_one_that_is_none_are_imported(local_db: Path) -> None:
    memory = {"type": "memory", "id": "m", "value": 1}
    times = dict.fromkeys(("created", "modified"), "2026-02-03T04:05:06.007Z")
    with dialoguedb.open(local_db) as db:
        with pytest.raises(errors.InvalidJson, match=r"records\[1\]"):
            db.import_records([memory | times, b"{"])
        found = db.get_memory("m")
        assert found is not None
        assert found.value == 1
