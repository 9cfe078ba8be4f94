"""What can change after creation: state by merge or replacement, and little else (contract 6)."""

import json
import time
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

DIALOGUE, MESSAGE, MEMORY = "d-mut", "m-mut", "k-mut"
MESSAGE_PATHS = (
    f"/message/{MESSAGE}",
    f"/message/{MESSAGE}?dialogueId={DIALOGUE}",
    f"/messages/{MESSAGE}?dialogueId={DIALOGUE}",
    f"/dialogue/{DIALOGUE}/message/{MESSAGE}",
    f"/dialogue/{DIALOGUE}/messages/{MESSAGE}",
)
message_paths = pytest.mark.parametrize("path", MESSAGE_PATHS)


def code(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["error"]["code"]


def fields(answer: httpx.Response) -> list[tuple[str, str]]:
    return [(one["field"], one["code"]) for one in answer.json()["error"]["details"]]


def pass_by(stamp: str) -> None:
    """Wait until the clock shows a later millisecond than the stamp."""
    deadline = time.monotonic() + 5
    while datetime.now(UTC).isoformat(timespec="milliseconds") <= stamp.replace("Z", "+00:00"):
        assert time.monotonic() < deadline, "the server's clock is ahead"


@pytest.fixture
def home(api: httpx.Client) -> httpx.Client:
    """A client of a project with a dialogue, a message and a memory that have every field."""
    message = {
        "id": MESSAGE,
        "role": "user",
        "content": [{"type": "text", "text": "hi"}],
        "name": "Ann",
        "metadata": {"lang": "et"},
        "tags": ["old"],
        "created": "2026-01-02T03:04:05.678Z",
    }
    dialogue = {
        "id": DIALOGUE,
        "label": "old",
        "tags": ["old"],
        "state": {"step": 1, "deep": {"a": 1}},
        "metadata": {"channel": "web", "vip": True},
        "created": "2026-01-02T03:04:05.678Z",
        "message": message,
    }
    memory = {
        "id": MEMORY,
        "value": {"theme": "dark", "size": 12},
        "label": "old",
        "description": "as it was",
        "tags": ["old"],
        "metadata": {"source": "form"},
    }
    api.post("/dialogue", json=dialogue).raise_for_status()
    api.post("/memory", json=memory).raise_for_status()
    return api


def dialogue_of(api: httpx.Client) -> dict[str, Any]:
    return api.get(f"/dialogue/{DIALOGUE}").raise_for_status().json()


def merge(api: httpx.Client, patch: Any) -> httpx.Response:
    return api.put(f"/dialogue/{DIALOGUE}/state", content=json.dumps(patch))


def replace(api: httpx.Client, state: Any) -> httpx.Response:
    return api.put(f"/dialogue/{DIALOGUE}", json={"state": state})


# State: merge and replacement

MERGES = {
    "one more key": ({"next": 2}, {"step": 1, "deep": {"a": 1}, "next": 2}),
    "a key anew": ({"step": 2}, {"step": 2, "deep": {"a": 1}}),
    "not below the top": ({"deep": {"b": 2}}, {"step": 1, "deep": {"b": 2}}),
    "null is a value": ({"step": None}, {"step": None, "deep": {"a": 1}}),
    "another type": ({"step": ["x"]}, {"step": ["x"], "deep": {"a": 1}}),
    "nothing": ({}, {"step": 1, "deep": {"a": 1}}),
    "an empty key": ({"": 0}, {"step": 1, "deep": {"a": 1}, "": 0}),
    "a dotted key": ({"deep.a": 2}, {"step": 1, "deep": {"a": 1}, "deep.a": 2}),
}


@pytest.mark.parametrize(("patch", "expected"), MERGES.values(), ids=MERGES)
@pytest.mark.parametrize("prefix", ["", "/api/v1"], ids=["bare", "v1"])
def test_the_state_route_merges_shallowly(
    home: httpx.Client, prefix: str, patch: Any, expected: Any
) -> None:
    """Contract 5.7, 6.1: listed keys are set, others kept; the answer is the whole state, bare."""
    answer = home.put(f"{prefix}/dialogue/{DIALOGUE}/state", json=patch)
    assert (answer.status_code, answer.json()) == (200, expected)
    assert dialogue_of(home)["state"] == expected


@pytest.mark.parametrize("state", [{}, {"other": 1}, {"step": 9}, {"deep": {"b": {}}}], ids=str)
def test_the_dialogue_route_replaces_the_state(home: httpx.Client, state: Any) -> None:
    """Contract 5.4, 6.1: `state` in `PUT /dialogue/{id}` is the whole new state."""
    assert replace(home, state).json()["state"] == state
    assert dialogue_of(home)["state"] == state


def test_a_replacement_removes_a_key(home: httpx.Client) -> None:
    """Contract 5.7: a key goes by sending the full state without it."""
    assert replace(home, {"step": 1}).status_code == 200
    assert merge(home, {"more": 2}).json() == {"step": 1, "more": 2}


def test_an_update_without_state_keeps_the_state(home: httpx.Client) -> None:
    """Contract 5.4: only a state that is sent replaces."""
    home.put(f"/dialogue/{DIALOGUE}", json={"label": "new"}).raise_for_status()
    assert dialogue_of(home)["state"] == {"step": 1, "deep": {"a": 1}}


@pytest.mark.parametrize(
    "name", ["namespace", "id", "dialogueId", "state", "tags", "label", "metadata", "colour"]
)
def test_every_key_of_the_state_body_is_data(home: httpx.Client, name: str) -> None:
    """Contract 5.7: the whole body is the patch, also keys that are fields elsewhere."""
    assert merge(home, {name: "data"}).json()[name] == "data"


def test_the_state_route_takes_its_namespace_from_the_query(api: httpx.Client) -> None:
    """Contract 5.7: `namespace` counts only as a query parameter here."""
    api.post("/dialogue", json={"id": DIALOGUE, "namespace": "n1"}).raise_for_status()
    answer = api.put(f"/dialogue/{DIALOGUE}/state?namespace=n1", json={"namespace": "n2"})
    assert answer.json() == {"namespace": "n2"}
    assert code(merge(api, {"namespace": "n1"})) == (404, "DIALOGUE_NOT_FOUND")


@pytest.mark.parametrize("state", [[], [1], "text", 1, True, None], ids=repr)
@pytest.mark.parametrize("write", [merge, replace])
def test_a_state_is_an_object(home: httpx.Client, write: Any, state: Any) -> None:
    """Contract 3.9: anything else answers 400 `INVALID_INPUT`, and the state stays."""
    assert code(write(home, state)) == (400, "INVALID_INPUT")
    assert dialogue_of(home)["state"] == {"step": 1, "deep": {"a": 1}}


def test_the_size_of_a_state_is_taken_after_the_merge(home: httpx.Client) -> None:
    """Contract 3.9: two halves of which each would fit answer 413 together."""
    assert merge(home, {"one": "x" * 600_000}).status_code == 200
    assert code(merge(home, {"two": "x" * 600_000})) == (413, "STATE_TOO_LARGE")
    assert "two" not in dialogue_of(home)["state"]


def test_a_state_keeps_the_order_of_its_keys(home: httpx.Client) -> None:
    """Contract 6.1: a merge sets keys in place and appends the new ones."""
    replace(home, {"z": 1, "a": 2}).raise_for_status()
    merge(home, {"m": 3, "z": 4}).raise_for_status()
    assert list(dialogue_of(home)["state"]) == ["z", "a", "m"]


@pytest.mark.parametrize("write", [merge, replace])
def test_both_writes_of_state_set_modified(home: httpx.Client, write: Any) -> None:
    """Contract 6.1: both ways of writing state write `modified`."""
    before = dialogue_of(home)["modified"]
    pass_by(before)
    write(home, {"step": 2}).raise_for_status()
    assert dialogue_of(home)["modified"] > before


@pytest.mark.parametrize("write", [merge, replace])
def test_the_state_of_a_missing_dialogue_is_not_found(api: httpx.Client, write: Any) -> None:
    """Contract 5.7: state is nothing without its dialogue."""
    assert code(write(api, {"a": 1})) == (404, "DIALOGUE_NOT_FOUND")


# Dialogues

FIXED = {
    "metadata": {"channel": "app", "vip": True},
    "threadOf": "elsewhere",
    "created": "2026-01-02T03:04:05.679Z",
}


@pytest.mark.parametrize("field", FIXED)
def test_a_fixed_field_of_a_dialogue_cannot_change(home: httpx.Client, field: str) -> None:
    """Contract 5.4, 6.2: a different value answers 409 `IMMUTABLE_FIELD` and names the field."""
    answer = home.put(f"/dialogue/{DIALOGUE}", json={field: FIXED[field]})
    assert code(answer) == (409, "IMMUTABLE_FIELD")
    assert answer.json()["error"]["type"] == "conflict"
    assert fields(answer) == [(field, "IMMUTABLE")]


@pytest.mark.parametrize("field", FIXED)
def test_a_refused_change_of_a_dialogue_writes_nothing(home: httpx.Client, field: str) -> None:
    """Contract 6.2: what may change stays too when something else may not."""
    before = dialogue_of(home)
    body = {field: FIXED[field], "label": "new", "state": {}, "tags": []}
    assert home.put(f"/dialogue/{DIALOGUE}", json=body).status_code == 409
    assert dialogue_of(home) == before


@pytest.mark.parametrize("field", ["metadata", "created", "id"])
def test_a_fixed_field_of_a_dialogue_may_be_repeated(home: httpx.Client, field: str) -> None:
    """Contract 5.4: the same value is ignored."""
    before = dialogue_of(home)
    answer = home.put(f"/dialogue/{DIALOGUE}", json={field: before[field]})
    assert answer.status_code == 200
    assert dialogue_of(home) == before


def test_a_parent_may_be_repeated(home: httpx.Client) -> None:
    """Contract 5.4: `threadOf` with its own value is ignored."""
    thread = home.post("/dialogue", json={"threadOf": DIALOGUE}).json()
    answer = home.put(f"/dialogue/{thread['id']}", json={"threadOf": DIALOGUE, "label": "x"})
    assert (answer.status_code, answer.json()["threadOf"]) == (200, DIALOGUE)


@pytest.mark.parametrize("metadata", [{"vip": True, "channel": "web"}], ids=["another order"])
def test_the_order_of_metadata_is_no_difference(home: httpx.Client, metadata: Any) -> None:
    """Contract 5.4: the same value is the same JSON value."""
    answer = home.put(f"/dialogue/{DIALOGUE}", json={"metadata": metadata})
    assert answer.status_code == 200


@pytest.mark.parametrize("value", [{}, {"channel": "web"}, {"channel": "web", "vip": 1}], ids=str)
def test_metadata_cannot_even_shrink(home: httpx.Client, value: Any) -> None:
    """Contract 3.5: metadata is set at creation only."""
    answer = home.put(f"/dialogue/{DIALOGUE}", json={"metadata": value})
    assert code(answer) == (409, "IMMUTABLE_FIELD")


def test_a_dialogue_that_was_read_may_be_sent_back_whole(home: httpx.Client) -> None:
    """Contract 1.3: every read-only field that an answer carries is accepted and ignored."""
    before = dialogue_of(home)
    answer = home.put(f"/dialogue/{DIALOGUE}", json=before)
    assert answer.status_code == 200
    after = dialogue_of(home)
    assert after["messages"] == before["messages"]
    assert {name for name in after if after[name] != before[name]} <= {"modified", "version"}


def test_an_update_that_was_answered_may_be_sent_back_whole(home: httpx.Client) -> None:
    """Contract 1.3: the messages of an answer are not sent again."""
    said = {"role": "user", "content": "more"}
    answer = home.put(f"/dialogue/{DIALOGUE}", json={"messages": [said]}).json()
    assert home.put(f"/dialogue/{DIALOGUE}", json=answer).status_code == 200
    assert dialogue_of(home)["totalMessages"] == 2


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("status", "ended"),
        ("totalMessages", 99),
        ("threadCount", 99),
        ("requestId", "00000000-0000-4000-8000-000000000000"),
        ("projectId", "01KB0A1B2C3D4E5F6G7H8J9KMN"),
        ("modified", "2020-01-01T00:00:00.000Z"),
        ("lastMessageCreated", "2020-01-01T00:00:00.000Z"),
        ("metadataLength", 1),
        ("endedAt", "2020-01-01T00:00:00.000Z"),
        ("version", 99),
    ],
)
def test_a_read_only_field_of_a_dialogue_is_without_effect(
    home: httpx.Client, field: str, value: Any
) -> None:
    """Contract 1.3: read-only fields are tolerated, and change nothing."""
    before = dialogue_of(home)
    assert home.put(f"/dialogue/{DIALOGUE}", json={field: value}).status_code == 200
    assert dialogue_of(home) == before


# Messages

MESSAGE_FIXED = {
    "role": "assistant",
    "content": "edited",
    "name": "Bob",
    "metadata": {"lang": "en"},
    "created": "2027-01-01T00:00:00.000Z",
}


@message_paths
@pytest.mark.parametrize("field", MESSAGE_FIXED)
def test_a_message_cannot_be_edited(home: httpx.Client, path: str, field: str) -> None:
    """Contract 5.12: a different value answers 409 `IMMUTABLE_FIELD`, and changes nothing."""
    before = home.get(f"/message/{MESSAGE}").json()
    answer = home.put(path, json={field: MESSAGE_FIXED[field], "tags": ["new"]})
    assert code(answer) == (409, "IMMUTABLE_FIELD")
    assert fields(answer) == [(field, "IMMUTABLE")]
    assert home.get(f"/message/{MESSAGE}").json() == before


@message_paths
@pytest.mark.parametrize("tags", [["new"], [], ["b", "a", "b"]], ids=str)
def test_the_tags_of_a_message_are_replaced(home: httpx.Client, path: str, tags: Any) -> None:
    """Contract 5.12, 3.4: an update replaces the whole list."""
    assert home.put(path, json={"tags": tags}).json()["tags"] == tags
    assert home.get(f"/message/{MESSAGE}").json()["tags"] == tags


@message_paths
def test_an_update_of_nothing_leaves_a_message(home: httpx.Client, path: str) -> None:
    """Contract 5.12: a body without tags answers 200 and the unchanged message."""
    before = home.get(path).json()
    assert home.put(path, json={}).json() == before


@message_paths
def test_a_message_that_was_read_may_be_sent_back_whole(home: httpx.Client, path: str) -> None:
    """Contract 1.3: with new tags, and every other field as it was read."""
    read = home.get(path).json()
    answer = home.put(path, json=read | {"tags": ["new"]})
    assert answer.json() | {"modified": ""} == read | {"tags": ["new"], "modified": ""}


def test_new_tags_set_the_modified_of_a_message(home: httpx.Client) -> None:
    """Contract 5.12: the answer carries the new `modified`."""
    before = home.get(f"/message/{MESSAGE}").json()["modified"]
    pass_by(before)
    assert home.put(f"/message/{MESSAGE}", json={"tags": ["new"]}).json()["modified"] > before


# Memories

MEMORY_FIXED = {
    "value": {"theme": "light", "size": 12},
    "label": "new",
    "description": "as it is",
    "metadata": {"source": "chat"},
    "id": "k-other",
}


@pytest.mark.parametrize("field", MEMORY_FIXED)
def test_a_memory_cannot_be_edited(home: httpx.Client, field: str) -> None:
    """Contract 5.14: a different value answers 409 `IMMUTABLE_FIELD`, and changes nothing."""
    before = home.get(f"/memory/{MEMORY}").json()
    body = {field: MEMORY_FIXED[field], "tags": ["new"]}
    answer = home.put(f"/memory/{MEMORY}", json=body)
    assert code(answer) == (409, "IMMUTABLE_FIELD")
    assert fields(answer) == [(field, "IMMUTABLE")]
    assert home.get(f"/memory/{MEMORY}").json() == before


def test_the_namespace_of_a_memory_cannot_change(api: httpx.Client) -> None:
    """Contract 5.14: a body namespace that differs from the stored one answers 409."""
    memory = {"id": MEMORY, "value": 1, "namespace": "n1"}
    api.post("/memory", json=memory).raise_for_status()
    body = {"tags": [], "namespace": "n2"}
    answer = api.put(f"/memory/{MEMORY}?namespace=n1", json=body)
    assert code(answer) == (409, "IMMUTABLE_FIELD")
    assert fields(answer) == [("namespace", "IMMUTABLE")]


@pytest.mark.parametrize(
    ("stored", "sent"), [(1, True), (0, False), ("1", 1), ([], {}), ([1, 2], [2, 1])], ids=repr
)
def test_a_value_of_another_type_is_another_value(
    api: httpx.Client, stored: Any, sent: Any
) -> None:
    """Contract 3.10, 5.14: the types of JSON are told apart."""
    api.post("/memory", json={"id": MEMORY, "value": stored}).raise_for_status()
    answer = api.put(f"/memory/{MEMORY}", json={"tags": [], "value": sent})
    assert code(answer) == (409, "IMMUTABLE_FIELD")


@pytest.mark.parametrize("tags", [["new"], [], ["b", "a", "b"]], ids=str)
def test_the_tags_of_a_memory_are_replaced(home: httpx.Client, tags: Any) -> None:
    """Contract 5.14, 3.4: an update replaces the whole list."""
    assert home.put(f"/memory/{MEMORY}", json={"tags": tags}).json()["tags"] == tags
    assert home.get(f"/memory/{MEMORY}").json()["tags"] == tags


def test_a_memory_that_was_read_may_be_sent_back_whole(home: httpx.Client) -> None:
    """Contract 1.3: with new tags, and every other field as it was read."""
    read = home.get(f"/memory/{MEMORY}").json()
    answer = home.put(f"/memory/{MEMORY}", json=read | {"tags": ["new"]})
    assert answer.json() | {"modified": ""} == read | {"tags": ["new"], "modified": ""}


def test_new_tags_set_the_modified_of_a_memory(home: httpx.Client) -> None:
    """Contract 4.3: `modified` is the time of the last change of tags."""
    before = home.get(f"/memory/{MEMORY}").json()["modified"]
    pass_by(before)
    home.put(f"/memory/{MEMORY}", json={"tags": ["new"]}).raise_for_status()
    assert home.get(f"/memory/{MEMORY}").json()["modified"] > before


@pytest.mark.parametrize(
    ("path", "write"),
    [
        (f"/dialogue/{DIALOGUE}", {"label": "x", "tags": ["x"], "state": {"x": 1}}),
        (f"/message/{MESSAGE}", {"tags": ["x"]}),
        (f"/memory/{MEMORY}", {"tags": ["x"]}),
    ],
)
def test_created_never_changes(home: httpx.Client, path: str, write: Any) -> None:
    """Contract 6.2: `created` is fixed on dialogues, messages and memories."""
    before = home.get(path).json()["created"]
    assert home.put(path, json=write).json()["created"] == before


@pytest.mark.parametrize("kind", ["message", "memory"])
def test_to_edit_is_to_delete_and_make_again(home: httpx.Client, kind: str) -> None:
    """Contract 6.2: a deleted message or memory may be made again under its id."""
    path, again = {
        "message": (f"/message/{MESSAGE}", {"role": "user", "content": "edited"}),
        "memory": (f"/memory/{MEMORY}", {"value": "edited"}),
    }[kind]
    home.delete(path).raise_for_status()
    target = f"/{kind}?dialogueId={DIALOGUE}" if kind == "message" else f"/{kind}"
    body = again | {"id": path.rsplit("/", 1)[1]}
    assert home.post(target, json=body).status_code == 200
    assert home.get(path).json()["tags"] == []
