"""Dialogues: made, found, listed, changed and deleted (contract 12.3 and 12.4)."""

from types import MappingProxyType
from typing import Any

import pytest

from dialoguedb import AsyncDialogue, AsyncDialogueDB, errors

READ_ONLY = [
    "id",
    "project_id",
    "request_id",
    "status",
    "namespace",
    "thread_of",
    "total_messages",
    "thread_count",
    "last_message_created",
    "metadata",
    "version",
    "created",
    "modified",
    "archived_at",
    "ended_at",
    "messages",
    "is_dirty",
    "has_more_messages",
]
ODD_IDS = [
    "...",
    ".a",
    "a.b",
    "~",
    "a+b",
    "a&b=c",
    "a;b:c",
    "@",
    "!$'()*,",
    "end",
    "[x]",
    "{}",
]


async def test_what_is_made_has_every_property(db: AsyncDialogueDB) -> None:
    made = await db.create_dialogue(
        id="d-1",
        namespace="u1",
        label="Bike",
        messages=[
            {"role": "user", "content": "one", "name": "Ada", "tags": ["t"]},
            {"role": "assistant", "content": [{"type": "text", "text": "two"}]},
        ],
        state={"step": 1},
        metadata={"channel": "web", "vip": True, "alts": ["a"]},
        tags=["x", "y"],
        created="2026-02-03T04:05:06+02:00",
    )
    found = await db.get_dialogue("d-1", "u1")
    assert found is not None
    for one in (made, found):
        assert isinstance(one, AsyncDialogue)
        assert (one.id, one.namespace, one.label, one.status) == ("d-1", "u1", "Bike", "active")
        assert (one.state, one.tags) == ({"step": 1}, ["x", "y"])
        assert one.metadata == {"channel": "web", "vip": True, "alts": ["a"]}
        assert (one.total_messages, one.thread_count, one.version) == (2, 0, 1)
        assert one.created == "2026-02-03T02:05:06.000Z"
        assert one.last_message_created is not None
        assert (one.thread_of, one.ended_at, one.archived_at) == (None, None, None)
        assert len(one.project_id) == 26
        assert len(one.request_id) == 36
        assert [message.content for message in one.messages] == [
            "one",
            [{"type": "text", "text": "two"}],
        ]
        assert isinstance(one.messages, tuple)
        assert not one.is_dirty
        assert not one.has_more_messages
    assert made.to_dict() == found.to_dict()


async def test_an_empty_dialogue(db: AsyncDialogueDB) -> None:
    made = await db.create_dialogue()
    assert (made.label, made.namespace, made.last_message_created) == (None, None, None)
    assert (made.state, made.tags, made.metadata) == ({}, [], {})
    assert (made.total_messages, made.messages) == (0, ())
    shown = made.to_dict()
    assert shown["projectId"] == made.project_id
    assert shown["totalMessages"] == 0
    assert {"label", "namespace", "endedAt", "archivedAt"}.isdisjoint(shown)


async def test_one_message_or_several_not_both(db: AsyncDialogueDB) -> None:
    made = await db.create_dialogue(message={"role": "user", "content": "hello"})
    assert [message.content for message in made.messages] == ["hello"]
    with pytest.raises(errors.InvalidInput):
        await db.create_dialogue(
            message={"role": "user", "content": "a"}, messages=[{"role": "user", "content": "b"}]
        )


async def test_what_is_missing_is_none(db: AsyncDialogueDB) -> None:
    made = await db.create_dialogue(namespace="u1")
    assert await db.get_dialogue("no-such") is None
    assert await db.get_dialogue(made.id) is None
    assert await db.get_dialogue(made.id, "u2") is None
    assert await db.get_dialogue(made.id, namespace="u1") is not None


async def test_ids_of_any_kind_are_found_again(db: AsyncDialogueDB) -> None:
    for name in ODD_IDS:
        await follow(db, name)


async def follow(db: AsyncDialogueDB, name: str) -> None:
    """Do with an id in paths all that can be done."""
    made = await db.create_dialogue(id=name, state={"a": 1})
    message = await made.save_message(id=name, role="user", content="hello")
    memory = await db.create_memory(5, id=name)
    assert (made.id, message.id, memory.id) == (name, name, name)
    found = await db.get_dialogue(name)
    assert found is not None
    assert found.state == {"a": 1}
    assert (await found.save_state({"b": 2})).state == {"a": 1, "b": 2}
    again = await found.get_message(name)
    assert again is not None
    assert again.content == "hello"
    await again.save_tags(["t"])
    await found.delete_message(name)
    assert await found.get_message(name) is None
    assert (await found.end()).status == "ended"
    kept = await db.get_memory(name)
    assert kept is not None
    assert kept.value == 5
    await db.delete_memory(name)
    assert await db.get_memory(name) is None
    await db.delete_dialogue(name)
    assert await db.get_dialogue(name) is None


async def test_what_is_read_only_refuses_assignment(db: AsyncDialogueDB) -> None:
    made = await db.create_dialogue()
    for name in READ_ONLY:
        before = getattr(made, name)
        with pytest.raises(AttributeError, match=name):
            setattr(made, name, before)
        assert getattr(made, name) == before


async def test_a_misspelt_attribute_is_refused(db: AsyncDialogueDB) -> None:
    made = await db.create_dialogue()
    with pytest.raises(AttributeError):
        made.lable = "x"  # type: ignore[attr-defined]


async def test_changes_are_batched_until_saved_by_one_request(db: AsyncDialogueDB) -> None:
    made = await db.create_dialogue(id="d", state={"a": 1}, tags=["x"])
    made.label = "New"
    made.tags = ["y", "z"]
    assert made.set_state({"b": 2}) is made
    assert made.is_dirty
    before = await db.get_dialogue("d")
    assert before is not None
    assert (before.label, before.tags, before.state) == (None, ["x"], {"a": 1})
    with db.raw_responses() as seen:
        assert await made.save() is made
    assert [(one.operation, one.status) for one in seen] == [("dialogues.update", 200)]
    assert not made.is_dirty
    after = await db.get_dialogue("d")
    for one in (made, after):
        assert one is not None
        assert (one.label, one.tags, one.state) == ("New", ["y", "z"], {"a": 1, "b": 2})
        assert one.version == 2
    assert after is not None
    assert made.modified == after.modified


async def test_in_place_changes_count_too(db: AsyncDialogueDB) -> None:
    made = await db.create_dialogue(id="d", state={"deep": {"list": [1]}}, tags=["x"])
    assert not made.is_dirty
    made.state["deep"]["list"].append(2)
    assert made.is_dirty
    made.state["deep"]["list"].pop()
    assert not made.is_dirty, "the change was taken back"
    made.state["deep"]["list"].append(3)
    made.tags.append("y")
    await made.save()
    assert not made.is_dirty
    after = await db.get_dialogue("d")
    assert after is not None
    assert (after.state, after.tags) == ({"deep": {"list": [1, 3]}}, ["x", "y"])


async def test_nothing_to_save_asks_nobody(db: AsyncDialogueDB) -> None:
    made = await db.create_dialogue(label="x", state={"a": 1}, tags=["t"])
    assert (made.label, made.state, made.tags) == ("x", {"a": 1}, ["t"])
    with db.raw_responses() as seen:
        await made.save()
    assert seen == []


async def test_a_label_is_cleared(db: AsyncDialogueDB) -> None:
    made = await db.create_dialogue(id="d", label="x")
    made.label = None
    await made.save()
    after = await db.get_dialogue("d")
    assert after is not None
    assert (made.label, after.label) == (None, None)


async def test_state_is_replaced_by_assignment(db: AsyncDialogueDB) -> None:
    made = await db.create_dialogue(id="d", state={"a": 1, "b": 2})
    made.state = {"c": None}
    await made.save()
    after = await db.get_dialogue("d")
    assert after is not None
    assert made.state == after.state == {"c": None}


async def test_tags_are_saved_at_once(db: AsyncDialogueDB) -> None:
    made = await db.create_dialogue(id="d", tags=["x"])
    assert await made.save_tags(["b", "a", "b"]) is made
    after = await db.get_dialogue("d")
    assert after is not None
    assert made.tags == after.tags == ["b", "a", "b"]
    assert not made.is_dirty


async def test_dirty_messages_are_saved_with_their_dialogue(db: AsyncDialogueDB) -> None:
    made = await db.create_dialogue(
        id="d", messages=[{"role": "user", "content": "a"}, {"role": "user", "content": "b"}]
    )
    made.messages[1].tags.append("t")
    assert made.messages[1].is_dirty
    with db.raw_responses() as seen:
        await made.save()
    assert [one.operation for one in seen] == ["messages.update"]
    assert not made.messages[1].is_dirty
    after = await db.get_dialogue("d")
    assert after is not None
    assert [message.tags for message in after.messages] == [[], ["t"]]


async def test_a_failed_save_stays_dirty(db: AsyncDialogueDB) -> None:
    made = await db.create_dialogue(id="d", label="old")
    made.label = "new"
    made.tags = ["x"] * 11
    with pytest.raises(errors.InvalidInput) as caught:
        await made.save()
    assert caught.value.details[0].field == "tags"
    assert made.is_dirty
    assert made.label == "new"
    made.tags = ["x"]
    await made.save()
    after = await db.get_dialogue("d")
    assert after is not None
    assert (after.label, after.tags) == ("new", ["x"])


async def test_refresh_takes_what_is_stored(db: AsyncDialogueDB, other: AsyncDialogueDB) -> None:
    made = await db.create_dialogue(id="d", label="old")
    elsewhere = await other.get_dialogue("d")
    assert elsewhere is not None
    await elsewhere.save_state({"x": 1})
    await elsewhere.save_message(role="user", content="hello")
    assert made.state == {}
    assert await made.refresh() is made
    assert (made.state, made.total_messages) == ({"x": 1}, 1)
    await db.delete_dialogue("d")
    with pytest.raises(errors.DialogueNotFound):
        await made.refresh()


async def test_the_status_goes_through_its_actions(db: AsyncDialogueDB) -> None:
    made = await db.create_dialogue(id="d", message={"role": "user", "content": "a"})
    assert await made.end() is made
    assert (made.status, made.ended_at is not None) == ("ended", True)
    assert [message.content for message in made.messages] == ["a"]
    with pytest.raises(errors.DialogueEnded):
        await made.save_message(role="user", content="too late")
    assert (await made.reopen()).status == "active"
    await made.save_message(role="user", content="in time")
    assert (await made.archive()).status == "archived"
    assert made.archived_at is not None
    assert (await made.unarchive()).status == "active"
    after = await db.get_dialogue("d")
    assert after is not None
    assert after.status == "active"


async def test_delete_leaves_the_messages_unless_told(db: AsyncDialogueDB) -> None:
    kept = await db.create_dialogue(id="kept", message={"role": "user", "content": "a"})
    gone = await db.create_dialogue(id="gone", message={"role": "user", "content": "a"})
    await db.delete_dialogue("kept")
    await db.delete_dialogue("gone", cascade=True)
    assert await kept.get_message(kept.messages[0].id) is not None
    assert await gone.get_message(gone.messages[0].id) is None
    for name in ("kept", "never"):
        with pytest.raises(errors.DialogueNotFound):
            await db.delete_dialogue(name)


async def test_delete_needs_the_namespace(db: AsyncDialogueDB) -> None:
    await db.create_dialogue(id="d", namespace="u1")
    with pytest.raises(errors.DialogueNotFound):
        await db.delete_dialogue("d")
    await db.delete_dialogue("d", "u1")
    assert await db.get_dialogue("d", "u1") is None


async def test_threads_share_their_parent_s_namespace(db: AsyncDialogueDB) -> None:
    parent = await db.create_dialogue(id="p", namespace="u1")
    thread = await parent.create_thread(
        id="t",
        label="Side",
        messages=[{"role": "user", "content": "hi"}],
        state={"a": 1},
        metadata={"m": 1},
        tags=["x"],
    )
    assert (thread.thread_of, thread.namespace, thread.label) == ("p", "u1", "Side")
    assert (thread.state, thread.metadata, thread.tags) == ({"a": 1}, {"m": 1}, ["x"])
    assert [message.content for message in thread.messages] == ["hi"]
    assert [one.id for one in await parent.get_threads()] == ["t"]
    assert (await parent.refresh()).thread_count == 1


async def test_all_threads_are_found(db: AsyncDialogueDB) -> None:
    parent = await db.create_dialogue(id="p")
    for number in range(120):
        await parent.create_thread(id=f"t-{number}", state={"n": number})
    threads = await parent.get_threads()
    assert sorted(one.id for one in threads) == sorted(f"t-{number}" for number in range(120))
    assert {one.id: one.state for one in threads}["t-7"] == {"n": 7}


async def test_get_or_create(db: AsyncDialogueDB) -> None:
    first = await db.get_or_create_dialogue("d", namespace="u1", label="L", tags=["t"])
    assert (first.id, first.namespace, first.label) == ("d", "u1", "L")
    again = await db.get_or_create_dialogue("d", namespace="u1", label="other")
    assert (again.request_id, again.label) == (first.request_id, "L")
    new: set[str] = {(await db.get_or_create_dialogue()).id for _ in range(2)}
    assert len(new) == 2
    with pytest.raises(errors.DuplicateId):
        await db.get_or_create_dialogue("d", namespace="u2")


async def test_saved_state_is_merged(db: AsyncDialogueDB) -> None:
    made = await db.create_dialogue(id="d", state={"a": 1, "deep": {"x": 1}})
    assert await made.save_state({"b": 2, "deep": {"y": 2}}) is made
    expected: dict[str, Any] = {"a": 1, "b": 2, "deep": {"y": 2}}
    after = await db.get_dialogue("d")
    assert after is not None
    assert made.state == after.state == expected
    assert made.version == after.version == 2
    assert not made.is_dirty


async def test_saved_state_can_be_made_of_what_is_stored(db: AsyncDialogueDB) -> None:
    made = await db.create_dialogue(id="d", state={"n": 1})
    await made.save_state(lambda state: {"n": state["n"] + 1})
    await made.save_state(lambda state: {"n": state["n"] + 1})
    after = await db.get_dialogue("d")
    assert after is not None
    assert made.state == after.state == {"n": 3}


async def test_tags_are_a_list_of_texts(db: AsyncDialogueDB) -> None:
    made = await db.create_dialogue(tags=["kept"])
    message = await made.save_message(role="user", content="x")
    memory = await db.create_memory(1)
    for one in (made, message, memory):
        wrong: Any
        for wrong in ("vip", None, 5, [1], [None]):
            with pytest.raises(errors.InvalidInput) as caught:
                await one.save_tags(wrong)
            assert caught.value.details[0].field == "tags"
        assert not one.is_dirty
        given: Any = (tag for tag in ("a", "b"))
        assert (await one.save_tags(given)).tags == ["a", "b"]


@pytest.mark.parametrize("value", [float("nan"), b"x", {1: 2}, {"x"}, MappingProxyType({1: 2})])
async def test_what_is_no_json_is_not_made_json(db: AsyncDialogueDB, value: Any) -> None:
    """Neither in what is given, nor in what was put into the state before."""
    made = await db.create_dialogue(state={"kept": 1})
    made.state["wrong"] = value
    for act in (made.save, lambda: made.save_state({"right": 1})):
        with pytest.raises(errors.InvalidInput):
            await act()
    assert (await made.refresh()).state == {"kept": 1}


async def test_a_function_that_fails_leaves_the_state_in_hand(db: AsyncDialogueDB) -> None:
    made = await db.create_dialogue(state={"n": 1})
    in_hand = made.state

    def fail(state: dict[str, Any]) -> dict[str, Any]:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await made.save_state(fail)
    in_hand["n"] = 2
    assert made.is_dirty
    assert (await made.save()).state == {"n": 2}
