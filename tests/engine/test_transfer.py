"""Export and import: what goes out comes in again, byte for byte, however it is cut."""

import base64
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from dialoguedb.engine import Replayed
from dialoguedb.errors import DialogueDBError, InvalidParameter
from dialoguedb.models.transfer import Restored
from dialoguedb.store import jobs
from dialoguedb.store.transfer import STEP
from dialoguedb.worker.kinds import kinds_of
from dialoguedb.worker.working import Worker
from searching import Hashing, checked
from transferring import Clock, Here, Step, batches, here, live, namespace_of, world

WORLDS = st.builds(world, st.integers(0, 2**32), st.integers(20, 120))
SIZES = st.lists(st.integers(1, 12), min_size=1, max_size=5)
LONG = "--all" in sys.argv
#: A world is made of a seed, which is none the simpler for being smaller: nothing is shrunk.
FIXED = settings(
    derandomize=True, deadline=None, database=None, max_examples=200 if LONG else 15,
    phases=[Phase.generate],
)  # fmt: skip


@pytest.fixture
def model() -> Hashing:
    return Hashing(inline=True)


@pytest.fixture
def one(tmp_path: Path, model: Hashing) -> Iterator[Here]:
    with here(tmp_path / "one.db", model) as place:
        yield place


@pytest.fixture
def other(tmp_path: Path, model: Hashing) -> Iterator[Here]:
    with here(tmp_path / "other.db", model) as place:
        yield place


# ── worlds ───────────────────────────────────────────────────────────────────────────────────


@FIXED
@given(WORLDS, WORLDS, SIZES, SIZES, st.integers(0, 40))
def test_what_is_exported_and_imported_is_the_same_world(
    before: list[Step], after: list[Step], pages: list[int], sizes: list[int], cut: int
) -> None:
    """Byte for byte, with the import interrupted and begun again; and it goes on the same way."""
    model = Hashing(inline=True)
    with tempfile.TemporaryDirectory() as folder, here(Path(folder) / "one.db", model) as one:
        live(one, before, named="before")
        records = one.export()
        assert one.export(*pages) == records
        again = Path(folder) / "other.db"
        with here(again, model, Clock()) as other:
            for namespace, batch in list(batches(records, [7]))[:cut]:
                other.restore(batch, namespace=namespace)
        with here(again, model, Clock()) as other:
            imported = 0
            for namespace, batch in batches(records, sizes):
                done = other.restore(batch, namespace=namespace)
                assert done.imported + done.skipped == len(batch)
                imported += done.imported
            assert other.export(*pages) == records
            assert checked(other.store, model).equal
            other.clock.now_ms = one.clock.now_ms
            live(one, after, named="after")
            live(other, after, named="after")
            assert comparable(other.export()) == comparable(one.export())
            assert checked(other.store, model).equal


def comparable(records: list[bytes]) -> list[Any]:
    """Records without the ids that the stores have made by themselves, message by message."""
    found = [msgspec.json.decode(record) for record in records]
    for record in found:
        if len(record["id"]) == 26:
            record["id"] = "made"
    return found


# ── records by hand ──────────────────────────────────────────────────────────────────────────

STAMP = "2026-02-03T04:05:06.007Z"
LATER = "2026-02-03T04:05:06.008Z"
DIALOGUE = {
    "type": "dialogue", "id": "d", "requestId": "r", "status": "active", "version": 1,
    "created": STAMP, "modified": LATER, "lastSequence": 3, "lastServerTime": LATER,
}  # fmt: skip
MESSAGE = {
    "type": "message", "id": "m1", "dialogueId": "d", "role": "user", "content": "a bent wheel",
    "sequence": 1, "created": STAMP, "modified": STAMP,
}  # fmt: skip
GONE = {"type": "deleted_dialogue", "id": "g", "lastSequence": 3, "lastServerTime": LATER}
MEMORY = {"type": "memory", "id": "k", "value": 1, "created": STAMP, "modified": STAMP}


SUMMARY = {
    "type": "summary", "id": "s", "dialogueId": "d", "status": "completed", "content": "So far.",
    "stale": False, "incremental": True, "created": STAMP, "modified": LATER, "endCreated": STAMP,
    "endSequence": 1, "messageCount": 1,
}  # fmt: skip


def put(place: Here, *records: dict[str, Any], **query: Any) -> tuple[int, int]:
    """Import records; give how many were stored and how many skipped."""
    done = place.call("transfer.restore", list(records), **query)
    return done.imported, done.skipped


def refused(place: Here, *records: dict[str, Any], **query: Any) -> tuple[str, str | None]:
    """Import records that must be refused, and store none; give the code and the field."""
    before = place.export()
    with pytest.raises(DialogueDBError) as caught:
        put(place, *records, **query)
    assert place.export() == before
    (detail,) = caught.value.details
    assert caught.value.message.startswith(str(detail.field).partition(".")[0])
    return caught.value.code, detail.field


def shown(place: Here) -> list[dict[str, Any]]:
    return [msgspec.json.decode(record) for record in place.export()]


def test_counters_are_worked_out_and_not_taken_from_the_file(one: Here) -> None:
    """A thread may come before its parent, messages in any order, and records may lie."""
    lies = {"totalMessages": 99, "threadCount": 99, "lastMessageCreated": "2040-01-01"}
    thread = DIALOGUE | {"id": "t", "threadOf": "d", "lastSequence": 0}
    put(one, thread | lies)
    put(one, DIALOGUE | lies)
    newest = MESSAGE | {"id": "m3", "sequence": 3, "created": LATER, "modified": LATER}
    put(one, newest, MESSAGE | {"contentLength": 99, "preview": "another"})
    put(one, thread | {"id": "t2"})
    found = {record["id"]: record for record in shown(one)}
    assert (found["d"]["totalMessages"], found["d"]["threadCount"]) == (2, 2)
    assert found["d"]["lastMessageCreated"] == LATER
    assert found["d"]["modified"] == LATER
    assert found["t"]["totalMessages"] == 0
    assert "lastMessageCreated" not in found["t"]
    assert (found["m1"]["contentLength"], found["m1"]["preview"]) == (12, "a bent wheel")


def test_what_is_imported_is_found(one: Here) -> None:
    """By its words, at once, and the search gives what the export gives."""
    put(one, DIALOGUE | {"label": "zanzibar"}, MESSAGE, MEMORY | {"value": "rust"})
    for query, kind, wanted in [
        ("bent", "message", "m1"), ("zanzibar", "dialogue", "d"), ("rust", "memory", "k"),
    ]:  # fmt: skip
        answer = one.call("search.find", {"query": query, "object": kind})
        items = [msgspec.json.decode(item) for item in answer.items]
        assert [item["id"] for item in items] == [wanted]


def test_a_dialogue_goes_on_after_its_last_number_and_time(one: Here) -> None:
    """Also one that is made again after its tombstone was imported."""
    one.clock.now_ms = 0
    put(one, DIALOGUE, GONE, MESSAGE | {"dialogueId": "g"})
    made = one.call("messages.create", {"dialogueId": "d", "role": "user", "content": "x"})
    assert (made.sequence, made.created) == (4, LATER)
    again = one.call("dialogues.create", {"id": "g", "message": {"role": "user", "content": "x"}})
    assert again.total_messages == 2
    assert (again.messages[0].sequence, again.messages[0].created) == (4, LATER)


def test_a_dialogue_that_was_deleted_comes_again_with_what_it_left(one: Here) -> None:
    """As when it is created again: its messages are there, its numbers go on from the higher."""
    put(one, DIALOGUE, MESSAGE)
    one.call("messages.create", {"dialogueId": "d", "role": "user", "content": "x"})
    one.call("dialogues.delete", {"id": "d"})
    records = (DIALOGUE, MESSAGE, MESSAGE | {"id": "m2", "sequence": 2})
    assert put(one, *records) == (2, 1)
    assert put(one, *records) == (0, 3)
    dialogue = shown(one)[0]
    assert (dialogue["totalMessages"], dialogue["lastSequence"]) == (3, 4)


def test_ties_keep_the_order_of_the_file(one: Here, other: Here) -> None:
    """The order in which they were made, which no field says."""
    names = ["c", "a", "b"]
    put(one, *(DIALOGUE | {"id": name} for name in names))
    put(one, *(MEMORY | {"id": name} for name in names))
    assert [record["id"] for record in shown(one)] == names * 2
    for record in one.export():
        other.restore([record])
    assert other.export() == one.export()


def test_equal_records_are_skipped_and_different_ones_refused(one: Here) -> None:
    """In whatever field they differ, and also inside one request."""
    records = [DIALOGUE, MESSAGE, GONE, MEMORY]
    assert put(one, *records, *records) == (4, 4)
    assert put(one, *records) == (0, 4)
    other = {
        "dialogue": [
            {"requestId": "s"}, {"threadOf": "t"}, {"label": "x"}, {"tags": ["x"]},
            {"metadata": {"a": 1}}, {"state": {"a": 1}}, {"version": 2}, {"lastSequence": 4},
            {"created": "2026-02-02"}, {"modified": "2027-01-01"},
            {"lastServerTime": "2027-01-01"}, {"status": "ended", "endedAt": LATER},
            {"status": "archived", "archivedAt": LATER},
        ],
        "message": [
            {"dialogueId": "g"}, {"role": "x"}, {"content": "x"}, {"name": "x"}, {"tags": ["x"]},
            {"metadata": {"a": 1}}, {"sequence": 2}, {"created": "2026-02-02"},
            {"modified": LATER},
        ],
        "deleted_dialogue": [{"lastSequence": 4}, {"lastServerTime": "2027-01-01"}],
        "memory": [
            {"label": "x"}, {"description": "x"}, {"value": 1.0}, {"tags": ["x"]},
            {"metadata": {"a": 1}}, {"created": "2026-02-02"}, {"modified": LATER},
        ],
    }  # fmt: skip
    for record in records:
        for change in other[str(record["type"])]:
            assert refused(one, MEMORY, record | change) == ("DUPLICATE_ID", "records[1].id"), (
                change
            )
    fresh = [record | {"id": "new"} for record in records]
    for record in fresh:
        change = other[str(record["type"])][0]
        assert refused(one, record, record | change) == ("DUPLICATE_ID", "records[1].id")


def test_an_id_of_another_namespace_is_taken(one: Here) -> None:
    """Ids are unique in a project; what is left of a deleted dialogue claims none."""
    put(one, DIALOGUE, MESSAGE, MEMORY, GONE, namespace="u1")
    for record in (DIALOGUE, MEMORY):
        assert refused(one, record) == ("DUPLICATE_ID", "records[0].id")
    put(one, DIALOGUE | {"id": "e"})
    assert refused(one, MESSAGE | {"dialogueId": "e"}) == ("DUPLICATE_ID", "records[0].id")
    assert put(one, GONE) == (1, 0)
    assert put(one, DIALOGUE, MEMORY, namespace="u1") == (0, 2)


def test_a_dialogue_is_there_or_deleted_and_not_both(one: Here) -> None:
    """In whichever order they come."""
    put(one, DIALOGUE, GONE)
    assert put(one, GONE | {"id": "d"}) == (0, 1), "it is there"
    new = {"id": "new"}
    assert put(one, GONE | new, DIALOGUE | new) == (1, 1)
    assert put(one, DIALOGUE | {"id": "g"}) == (1, 0), "it is made again"
    assert [record["type"] for record in shown(one)] == ["dialogue"] * 3


def test_a_message_needs_a_dialogue_and_a_number_of_its_own(one: Here) -> None:
    """One that the dialogue has given, and that no other message has."""
    assert refused(one, MESSAGE) == ("DIALOGUE_NOT_FOUND", "records[0].dialogueId")
    put(one, DIALOGUE, MESSAGE, GONE)
    wrong = ("INVALID_INPUT", "records[0].sequence")
    for dialogue in ("d", "g"):
        new = MESSAGE | {"id": "new", "dialogueId": dialogue}
        assert refused(one, new | {"sequence": 4}) == wrong
        twice = [
            new | {"sequence": 2},
            new | {"id": "second", "sequence": 2, "created": "2026-01-01"},
        ]
        assert refused(one, *twice) == ("INVALID_INPUT", "records[1].sequence")
    assert refused(one, MESSAGE | {"id": "new", "created": "2026-01-01"}) == wrong
    assert put(one, DIALOGUE, *(MESSAGE | {"id": f"n{n}", "sequence": n} for n in (3, 2))) == (2, 1)


BAD = [
    (DIALOGUE | {"modified": "2026-01-01"}, "INVALID_PARAMETER", "modified"),
    (MESSAGE | {"modified": "2026-01-01"}, "INVALID_PARAMETER", "modified"),
    (MEMORY | {"modified": "2026-01-01"}, "INVALID_PARAMETER", "modified"),
    (DIALOGUE | {"status": "ended"}, "INVALID_INPUT", "status"),
    (DIALOGUE | {"status": "active", "endedAt": STAMP}, "INVALID_INPUT", "status"),
    (DIALOGUE | {"status": "ended", "archivedAt": STAMP}, "INVALID_INPUT", "status"),
    (DIALOGUE | {"threadOf": "d"}, "INVALID_PARAMETER", "threadOf"),
    (MEMORY | {"namespace": "u2"}, "INVALID_PARAMETER", "namespace"),
    (GONE | {"namespace": "u2"}, "INVALID_PARAMETER", "namespace"),
]


@pytest.mark.parametrize(("record", "code", "field"), BAD)
def test_the_parts_of_a_record_agree(
    one: Here, record: dict[str, Any], code: str, field: str
) -> None:
    """What no single field says is checked too, and nothing of the request is stored."""
    wanted = (code, f"records[1].{field}")
    assert refused(one, MEMORY | {"id": "good"}, record, namespace="u1") == wanted


def test_a_record_without_a_namespace_goes_into_the_one_of_the_request(one: Here) -> None:
    """So an export can be moved into another namespace."""
    assert put(one, DIALOGUE, MESSAGE, namespace="u1") == (2, 0)
    assert [record["namespace"] for record in shown(one)] == ["u1", "u1"]


def test_a_dry_run_checks_and_counts_and_stores_nothing(one: Here) -> None:
    """A message's dialogue may have come with a request before it, which stored nothing either."""
    put(one, MEMORY)
    records = [DIALOGUE, MESSAGE, GONE, MEMORY]
    assert put(one, *records, dryRun="true") == (3, 1)
    assert put(one, MESSAGE | {"dialogueId": "before"}, dryRun="true") == (1, 0)
    assert refused(one, MEMORY | {"value": 2}, dryRun="true") == ("DUPLICATE_ID", "records[0].id")
    assert [record["id"] for record in shown(one)] == ["k"]
    assert put(one, *records) == (3, 1)


def test_an_import_that_is_sent_again_with_its_key_gives_the_same_answer(one: Here) -> None:
    """What it stored, not what it would skip now."""
    body = msgspec.json.encode([DIALOGUE, MESSAGE])
    first = one.call("transfer.restore", body, key="k")
    again = one.call("transfer.restore", body, key="k")
    assert isinstance(again, Replayed)
    assert again.answer == first == Restored(imported=2, skipped=0)


# ── pages ────────────────────────────────────────────────────────────────────────────────────


def test_a_namespace_is_exported_alone_and_so_is_the_one_without_a_name(one: Here) -> None:
    """In the order of all; a cursor carries which."""
    for namespace in ("u2", "", "u1"):
        put(one, DIALOGUE | {"id": f"d{namespace}"}, GONE, namespace=namespace)
    parts = {name: one.export(namespace=name) for name in ("u1", "u2")}
    parts[""] = one.export(1, unnamed="true")
    assert all(len(part) == 2 for part in parts.values())
    assert one.export() == parts[""] + parts["u1"] + parts["u2"]
    assert one.export(1, namespace="u1") == parts["u1"]
    assert one.export(namespace="u3") == []
    assert one.export(namespace="") == one.export()


def test_more_namespaces_than_are_read_at_once_are_all_exported(one: Here) -> None:
    """Each once, in order."""
    names = [f"n{number:03}" for number in range(2 * STEP + 1)]
    for name in names:
        put(one, MEMORY | {"id": name}, namespace=name)
    assert [namespace_of(record) for record in one.export(7)] == names
    figures = one.call("transfer.stats")
    assert [space.namespace for space in figures.namespaces] == names
    assert figures.total.memories == len(names)


def test_a_page_ends_before_it_passes_8_mib(one: Here) -> None:
    """But holds one record at least; what is larger than a page comes alone."""
    big = "x" * (3 * 2**20)
    put(one, DIALOGUE | {"lastSequence": 9})
    for number, text in enumerate([big, big, "y" * (8 * 2**20), big], 1):
        put(one, MESSAGE | {"id": f"m{number}", "sequence": number, "content": text})
    sizes, more = [], {}
    while True:
        page = one.call("transfer.export", **more)
        sizes.append([len(record) // 2**20 for record in map(bytes, page.items)])
        if page.next is None:
            break
        more = {"next": page.next}
    assert sizes == [[0, 3, 3], [8], [3]]


def test_messages_that_come_between_pages_are_not_of_the_export(one: Here, other: Here) -> None:
    """They are beyond what their dialogue's record says; the export stays one that goes in."""
    put(one, DIALOGUE, *(MESSAGE | {"id": f"m{n}", "sequence": n} for n in (1, 2)))
    page = one.call("transfer.export", limit=2)
    one.call("messages.create", {"dialogueId": "d", "id": "late", "role": "user", "content": "x"})
    rest = one.call("transfer.export", next=page.next)
    records = [*map(bytes, page.items), *map(bytes, rest.items)]
    assert [msgspec.json.decode(record)["id"] for record in records] == ["d", "m1", "m2"]
    assert other.restore(records).imported == 3


def test_a_cursor_that_is_none_is_refused(one: Here, other: Here) -> None:
    """Of another project, of a list, made up, with another namespace, or cut."""
    put(one, MEMORY, MEMORY | {"id": "k2"}, namespace="u1")
    put(other, MEMORY, MEMORY | {"id": "k2"}, namespace="u1")
    good = one.call("transfer.export", namespace="u1", limit=1).next
    every = one.call("transfer.export", limit=1).next
    of_list = one.call("memories.list", namespace="u1", limit=1).next
    huge = base64.urlsafe_b64encode(
        msgspec.msgpack.encode([1, one.id, None, ["", 0, 2**63, 0, "", 0, 0, 0]])
    ).decode()
    part = base64.urlsafe_b64encode(msgspec.msgpack.encode([1, one.id, None, ["", 4]])).decode()
    foreign = other.call("transfer.export", limit=1).next
    for text in (of_list, foreign, "x", "!", good[:-3], huge.rstrip("="), part.rstrip("=")):
        with pytest.raises(InvalidParameter) as caught:
            one.call("transfer.export", next=text)
        assert caught.value.details[0].field == "next"
    for cursor, query, field in [
        (good, {"namespace": "u2"}, "namespace"), (good, {"unnamed": "true"}, "unnamed"),
        (every, {"namespace": "u1"}, "namespace"), (every, {"unnamed": "true"}, "unnamed"),
    ]:  # fmt: skip
        with pytest.raises(InvalidParameter) as caught:
            one.call("transfer.export", next=cursor, **query)
        assert caught.value.details[0].field == field
    with pytest.raises(InvalidParameter):
        one.call("transfer.export", namespace="u1", unnamed="true")
    assert len(one.call("transfer.export", next=good, namespace="u1", limit=9).items) == 1


# ── figures ──────────────────────────────────────────────────────────────────────────────────


def test_the_figures_count_what_is_there(one: Here) -> None:
    """By namespace, in all, and the ten largest dialogues, deleted ones too."""
    put(one, DIALOGUE, MESSAGE, MEMORY | {"value": "é"})
    put(one, GONE, MESSAGE | {"id": "m2", "dialogueId": "g", "content": "é" * 50}, namespace="u1")
    for number in range(20):
        put(one, DIALOGUE | {"id": f"d{number}"})
        put(one, MESSAGE | {"id": f"n{number}", "dialogueId": f"d{number}", "content": "x" * 13})
    figures = one.call("transfer.stats")
    assert [msgspec.to_builtins(space) for space in figures.namespaces] == [
        {"namespace": "", "dialogues": 21, "messages": 21, "memories": 1, "bytes": 12 + 4 + 260},
        {"namespace": "u1", "dialogues": 0, "messages": 1, "memories": 0, "bytes": 100},
    ]
    assert msgspec.to_builtins(figures.total) == {
        "dialogues": 21, "messages": 22, "memories": 1, "bytes": 376,
    }  # fmt: skip
    largest = msgspec.to_builtins(figures.largest_dialogues)
    assert largest[0] == {"id": "g", "namespace": "u1", "totalMessages": 1, "bytes": 100}
    assert largest[1] == {"id": "d0", "totalMessages": 1, "bytes": 13}
    assert len(largest) == 10


@pytest.mark.parametrize("together", [True, False])
def test_a_dialogue_that_was_deleted_while_it_was_exported_comes_in(
    one: Here, *, together: bool
) -> None:
    """It is in the file twice; it stays there, with its messages and the numbers of its end."""
    gone = GONE | {"id": "d", "lastSequence": 5}
    late = MESSAGE | {"id": "m5", "sequence": 5}
    records = [DIALOGUE, MESSAGE, gone, MESSAGE, late]
    if together:
        assert put(one, *records) == (4, 1)
    else:
        assert [put(one, record) for record in records] == [(1, 0), (1, 0), (1, 0), (0, 1), (1, 0)]
    assert put(one, *records) == (0, 5), "again, it is all there"
    dialogue, *messages = shown(one)
    assert (dialogue["type"], dialogue["lastSequence"]) == ("dialogue", 5)
    assert dialogue["totalMessages"] == len(messages) == 2


# ── summaries ────────────────────────────────────────────────────────────────────────────────


def test_a_summary_is_what_it_was(one: Here, other: Here) -> None:
    """Its range too: what enters it marks it, and what builds on it goes on behind it."""
    put(one, DIALOGUE, MESSAGE, SUMMARY)
    assert other.restore(one.export()).imported == 3
    assert other.export() == one.export()
    assert put(other, SUMMARY) == (0, 1)
    assert other.call("summaries.list").items[0].content == "So far."
    late = {"dialogueId": "d", "role": "user", "content": "x", "created": "2020-01-01"}
    other.call("messages.create", late)
    assert other.call("summaries.list").items[0].stale
    assert put(other, SUMMARY) == (0, 1)  # it was not stale when it was exported


def test_one_that_was_being_made_is_made_anew(one: Here, other: Here) -> None:
    """It has a job where it was imported; and what has been made since is still the same one."""
    put(one, DIALOGUE, MESSAGE)
    one.call("summaries.create", {"dialogueId": "d", "id": "s"})
    records = one.export()
    assert other.restore(records).imported == 3
    assert [job.kind for job in other.store.read(None, jobs.every)] == ["summarize"]
    kinds = {"summarize": kinds_of(other.store)["summarize"]}
    assert Worker(other.store, kinds=kinds).run(once=True) == 1
    made = other.call("summaries.list").items[0]
    assert (made.status, made.message_count) == ("completed", 1)
    assert other.restore(records).skipped == 3


ASKED = {
    "type": "summary", "id": "s", "dialogueId": "d", "status": "processing", "stale": False,
    "incremental": True, "created": STAMP, "modified": LATER, "endCreated": STAMP, "endSequence": 1,
}  # fmt: skip


def test_a_summary_of_a_deleted_dialogue_goes_with_what_that_has_left(
    one: Here, other: Here
) -> None:
    """As its messages do, of which it can still be made."""
    put(one, DIALOGUE, MESSAGE, SUMMARY)
    one.call("summaries.create", {"dialogueId": "d", "id": "s2"})
    one.call("dialogues.delete", {"id": "d"})
    records = one.export()
    kinds = [msgspec.json.decode(record)["type"] for record in records]
    assert kinds == ["deleted_dialogue", "message", "summary", "summary"]
    for record in records:
        assert other.restore([record]).imported == 1
    assert other.export() == records
    assert [job.kind for job in other.store.read(None, jobs.every)] == ["summarize"]


def test_of_a_dialogue_that_is_nowhere_no_summary_is_made(one: Here) -> None:
    """An export of a project in use can hold one: its dialogue is younger than the file's part of
    dialogues. Nothing is lost of those that are made, and there is nothing to make others of.
    """
    for record in (SUMMARY, ASKED | {"id": "s2"}):
        assert put(one, record, dryRun="true") == (1, 0)
        assert put(one, record) == (1, 0)
        assert put(one, record) == (0, 1)
    made, failed = shown(one)
    assert (made["status"], made["content"]) == ("completed", "So far.")
    assert (failed["status"], "not there" in failed["error"]) == ("failed", True)
    assert one.store.read(None, jobs.every) == []
    assert put(one, ASKED | {"id": "s3"}, DIALOGUE) == (2, 0)
    assert [job.kind for job in one.store.read(None, jobs.every)] == ["summarize"]


@pytest.mark.parametrize(
    ("change", "code", "field"),
    [
        ({"startCreated": LATER, "startSequence": 1}, "INVALID_PARAMETER", "startCreated"),
        ({"modified": "2026-01-01"}, "INVALID_PARAMETER", "modified"),
        ({"status": "odd"}, "INVALID_INPUT", "status"),
        ({"content": "a\0b"}, "INVALID_INPUT", "content"),
        ({"messageCount": -1}, "INVALID_INPUT", "messageCount"),
    ],
)
def test_a_summary_whose_parts_do_not_agree_is_refused(
    one: Here, change: dict[str, Any], code: str, field: str
) -> None:
    assert refused(one, SUMMARY | change) == (code, f"records[0].{field}")


def test_another_summary_of_the_same_id_is_refused(one: Here) -> None:
    put(one, DIALOGUE, MESSAGE, SUMMARY)
    for change in ({"content": "Other."}, {"dialogueId": "e"}, {"status": "failed"}):
        assert refused(one, SUMMARY | change)[0] == "DUPLICATE_ID"
