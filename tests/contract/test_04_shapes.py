"""Contract 4.1-4.5: which fields each answer carries, which it omits, and their types."""

import re
import uuid
from collections.abc import Callable
from typing import Any

import httpx
import pytest

TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")
ULID = re.compile(r"[0-7][0-9A-HJKMNP-TV-Z]{25}")

DIALOGUE = {
    "id": str,
    "projectId": str,
    "requestId": str,
    "status": str,
    "tags": list,
    "metadata": dict,
    "state": dict,
    "totalMessages": int,
    "threadCount": int,
    "created": str,
    "modified": str,
}
DIALOGUE_OPTIONAL = {
    "namespace": str,
    "threadOf": str,
    "label": str,
    "metadataLength": int,
    "metadataSHA256": str,
    "lastMessageCreated": str,
    "endedAt": str,
    "archivedAt": str,
    "messages": list,
}
MESSAGE = {
    "id": str,
    "dialogueId": str,
    "role": str,
    "content": object,
    "contentLength": int,
    "metadata": dict,
    "tags": list,
    "created": str,
    "modified": str,
    "sequence": int,
}
MESSAGE_OPTIONAL = {"namespace": str, "preview": str, "name": str}
MEMORY = {
    "id": str,
    "value": object,
    "tags": list,
    "metadata": dict,
    "created": str,
    "modified": str,
}
MEMORY_OPTIONAL = {"namespace": str, "label": str, "description": str}

FULL_MESSAGE = {
    "id": "m",
    "role": "user",
    "content": "hello",
    "name": "Ann",
    "tags": ["t"],
    "metadata": {"k": "v"},
}
FULL_DIALOGUE = {
    "id": "d",
    "namespace": "shop",
    "threadOf": "up",
    "label": "L",
    "tags": ["t"],
    "metadata": {"k": "v"},
    "state": {"s": 1},
    "messages": [FULL_MESSAGE],
}
FULL_MEMORY = {
    "id": "y",
    "namespace": "shop",
    "value": {"v": 1},
    "label": "L",
    "description": "D",
    "tags": ["t"],
    "metadata": {"k": "v"},
}
PLAIN = {"role": "user", "content": [{"type": "custom"}]}


def made(answer: httpx.Response) -> Any:
    """Return the body of an answer that must be a success."""
    assert answer.status_code == 200, answer.text
    return answer.json()


def check(row: Any, always: dict[str, type], optional: dict[str, type], there: str = "") -> None:
    """Check a row: all of `always`, of `optional` exactly the names in `there`, and no null."""
    assert set(always) <= set(row)
    assert set(optional) & set(row) == set(there.split())
    for name, kind in (always | optional).items():
        if name in row:
            assert isinstance(row[name], kind), (name, row[name])
            assert not (kind is int and isinstance(row[name], bool))
    assert None not in row.values()
    for name in {"created", "modified", "lastMessageCreated", "endedAt", "archivedAt"} & set(row):
        assert TIME.fullmatch(row[name]), (name, row[name])


@pytest.fixture
def plain(api: httpx.Client) -> httpx.Client:
    """A project with the dialogue d, its message m and the memory y, all without options."""
    made(api.post("/dialogue", json={"id": "d", "message": PLAIN | {"id": "m"}}))
    made(api.post("/memory", json={"id": "y", "value": 0}))
    return api


@pytest.fixture
def full(api: httpx.Client) -> httpx.Client:
    """A project with the dialogue d, its message m and the memory y with all options."""
    made(api.post("/dialogue", json={"id": "up", "namespace": "shop"}))
    made(api.post("/dialogue", json=FULL_DIALOGUE))
    made(api.post("/memory", json=FULL_MEMORY))
    api.params = httpx.QueryParams({"namespace": "shop"})
    return api


Reading = Callable[[httpx.Client], Any]

#: Every answer that carries a dialogue, and whether it carries messages.
DIALOGUE_ANSWERS: dict[str, tuple[Reading, bool]] = {
    "get": (lambda c: made(c.get("/dialogue/d")), True),
    "list": (lambda c: made(c.get("/dialogue", params={"order": "desc"}))["items"][0], False),
    "put": (lambda c: made(c.put("/dialogue/d", json={"tags": ["t"]})), False),
    "put nothing": (lambda c: made(c.put("/dialogue/d", json={})), False),
    "put with messages": (lambda c: made(c.put("/dialogue/d", json={"message": PLAIN})), True),
}
#: Every answer that carries the message m.
MESSAGE_ANSWERS: dict[str, Reading] = {
    "get": lambda c: made(c.get("/message/m")),
    "get nested": lambda c: made(c.get("/dialogue/d/message/m")),
    "list": lambda c: made(c.get("/dialogue/d/messages"))["items"][0],
    "embedded": lambda c: made(c.get("/dialogue/d"))["messages"][0],
    "end": lambda c: made(c.post("/dialogue/d/end"))["messages"][0],
    "put": lambda c: made(c.put("/message/m", json={"tags": []})),
}
#: Every answer that carries the memory y.
MEMORY_ANSWERS: dict[str, Reading] = {
    "get": lambda c: made(c.get("/memory/y")),
    "list": lambda c: made(c.get("/memory"))["items"][0],
    "put": lambda c: made(c.put("/memory/y", json={"tags": ["t"]})),
}


# 4.1 dialogue


def test_a_new_empty_dialogue(api: httpx.Client) -> None:
    """Contract 4.1: no optional field but `messages`, which a create always carries."""
    row = made(api.post("/dialogue"))
    check(row, DIALOGUE, DIALOGUE_OPTIONAL, "messages")
    assert (row["tags"], row["metadata"], row["state"], row["messages"]) == ([], {}, {}, [])
    assert (row["status"], row["totalMessages"], row["threadCount"]) == ("active", 0, 0)


def test_a_new_full_dialogue(api: httpx.Client) -> None:
    """Contract 4.1: every option that is set comes back."""
    made(api.post("/dialogue", json={"id": "up", "namespace": "shop"}))
    row = made(api.post("/dialogue", json=FULL_DIALOGUE))
    there = "namespace threadOf label metadataLength metadataSHA256 lastMessageCreated messages"
    check(row, DIALOGUE, DIALOGUE_OPTIONAL, there)
    assert {name: row[name] for name in FULL_DIALOGUE if name != "messages"} == {
        name: value for name, value in FULL_DIALOGUE.items() if name != "messages"
    }


@pytest.mark.parametrize("answer", DIALOGUE_ANSWERS)
def test_a_plain_dialogue_in_every_answer(plain: httpx.Client, answer: str) -> None:
    """Contract 4.1: options that are not set are omitted, never null."""
    read, with_messages = DIALOGUE_ANSWERS[answer]
    there = "lastMessageCreated messages" if with_messages else "lastMessageCreated"
    check(read(plain), DIALOGUE, DIALOGUE_OPTIONAL, there)


@pytest.mark.parametrize("answer", DIALOGUE_ANSWERS)
def test_a_full_dialogue_in_every_answer(full: httpx.Client, answer: str) -> None:
    """Contract 4.1: the same fields in get, list and updates, `state` in lists too."""
    read, with_messages = DIALOGUE_ANSWERS[answer]
    there = "namespace threadOf label metadataLength metadataSHA256 lastMessageCreated"
    row = read(full)
    check(row, DIALOGUE, DIALOGUE_OPTIONAL, there + " messages" * with_messages)
    assert row["state"] == {"s": 1}


def test_project_and_request_ids_of_a_dialogue(api: httpx.Client) -> None:
    """Contract 4.1 and 2: projectId looks like a ULID, requestId is a UUID."""
    first, second = made(api.post("/dialogue")), made(api.post("/dialogue"))
    assert ULID.fullmatch(first["projectId"])
    assert first["projectId"] == second["projectId"]
    assert uuid.UUID(first["requestId"]).version == 4


@pytest.mark.parametrize("action", ["end", "archive"])
def test_an_ended_or_archived_dialogue_tells_when(plain: httpx.Client, action: str) -> None:
    """Contract 4.1: endedAt once ended, archivedAt once archived, in every answer from then."""
    done, at = {"end": ("ended", "endedAt"), "archive": ("archived", "archivedAt")}[action]
    row = made(plain.post(f"/dialogue/d/{action}"))
    check(row, DIALOGUE, DIALOGUE_OPTIONAL, f"lastMessageCreated messages {at}")
    for again in (made(plain.get("/dialogue/d")), made(plain.get("/dialogue"))["items"][0]):
        assert (again["status"], again[at]) == (done, row[at])


def test_a_create_answers_with_exactly_its_messages(api: httpx.Client) -> None:
    """Contract 4.1: all messages of the call, also more than ten, in their order."""
    texts = [str(n) for n in range(12)]
    body = {"messages": [{"role": "user", "content": text} for text in texts]}
    assert [m["content"] for m in made(api.post("/dialogue", json=body))["messages"]] == texts


def test_an_update_answers_with_exactly_its_messages(plain: httpx.Client) -> None:
    """Contract 4.1 and 5.4: the messages of this call, not those before."""
    body = {"messages": [{"role": "user", "content": text} for text in "ab"]}
    row = made(plain.put("/dialogue/d", json=body))
    assert [message["content"] for message in row["messages"]] == ["a", "b"]
    assert row["totalMessages"] == 3


@pytest.mark.parametrize("way", ["get", "end"])
def test_get_and_end_answer_with_the_first_ten_messages(api: httpx.Client, way: str) -> None:
    """Contract 4.1 and 5.6: the first page, up to 10, oldest first."""
    texts = [str(n) for n in range(12)]
    body = {"id": "d", "messages": [{"role": "user", "content": text} for text in texts]}
    made(api.post("/dialogue", json=body))
    row = made(api.get("/dialogue/d") if way == "get" else api.post("/dialogue/d/end"))
    assert [message["content"] for message in row["messages"]] == texts[:10]
    assert row["totalMessages"] == 12


def test_get_carries_an_empty_array_of_messages(api: httpx.Client) -> None:
    """Contract 4.1: `messages` is there also when there are none."""
    made(api.post("/dialogue", json={"id": "d"}))
    row = made(api.get("/dialogue/d"))
    check(row, DIALOGUE, DIALOGUE_OPTIONAL, "messages")
    assert row["messages"] == []


def test_lists_of_threads_carry_state_and_no_messages(full: httpx.Client) -> None:
    """Contract 4.1: the SDK builds threads from list rows and would wipe a missing state."""
    (row,) = made(full.get("/dialogue", params={"threadOf": "up"}))["items"]
    assert row["state"] == {"s": 1}
    assert "messages" not in row


def test_the_last_message_is_told_only_while_there_is_one(plain: httpx.Client) -> None:
    """Contract 4.1 and 5.13: lastMessageCreated goes with the last message."""
    made(plain.delete("/message/m"))
    check(made(plain.get("/dialogue/d")), DIALOGUE, DIALOGUE_OPTIONAL, "messages")


def test_a_cleared_label_is_omitted(full: httpx.Client) -> None:
    """Contract 4.1 and 1.4: not null and not empty."""
    assert "label" not in made(full.put("/dialogue/d", json={"label": None}))
    assert "label" not in made(full.get("/dialogue/d"))


def test_a_dialogue_counts_its_direct_threads(full: httpx.Client) -> None:
    """Contract 4.1: threadCount is the number of child dialogues."""
    body = {"namespace": "shop", "threadOf": "d"}
    made(full.post("/dialogue", json=body))
    counts = [made(full.get(f"/dialogue/{own}"))["threadCount"] for own in ("up", "d")]
    assert counts == [1, 1]


# 4.2 message


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/message?dialogueId=d", PLAIN),
        ("/dialogue/d/messages", PLAIN),
        ("/messages?dialogueId=d", [PLAIN]),
        ("/dialogue/d/messages", [PLAIN, PLAIN]),
    ],
)
def test_a_new_plain_message(plain: httpx.Client, path: str, body: Any) -> None:
    """Contract 4.2: no optional field; tags, metadata and modified are sent all the same."""
    answer = made(plain.post(path, json=body))
    for row in answer if isinstance(body, list) else [answer]:
        check(row, MESSAGE, MESSAGE_OPTIONAL)
        assert (row["tags"], row["metadata"], row["dialogueId"]) == ([], {}, "d")


@pytest.mark.parametrize("answer", MESSAGE_ANSWERS)
def test_a_plain_message_in_every_answer(plain: httpx.Client, answer: str) -> None:
    """Contract 4.2: without a name, without text and without a namespace these are omitted."""
    check(MESSAGE_ANSWERS[answer](plain), MESSAGE, MESSAGE_OPTIONAL)


@pytest.mark.parametrize("answer", MESSAGE_ANSWERS)
def test_a_full_message_in_every_answer(full: httpx.Client, answer: str) -> None:
    """Contract 4.2: the dialogue's namespace, the name and a preview are there."""
    row = MESSAGE_ANSWERS[answer](full)
    check(row, MESSAGE, MESSAGE_OPTIONAL, "namespace preview name")
    assert (row["id"], row["dialogueId"], row["namespace"]) == ("m", "d", "shop")
    assert (row["role"], row["content"], row["name"]) == ("user", "hello", "Ann")
    assert (row["metadata"], row["preview"], row["contentLength"]) == ({"k": "v"}, "hello", 5)


def test_messages_of_a_new_dialogue_are_whole(api: httpx.Client) -> None:
    """Contract 4.2: the messages that a create answers are full messages."""
    body = {"id": "d", "namespace": "shop", "messages": [PLAIN, FULL_MESSAGE]}
    first, second = made(api.post("/dialogue", json=body))["messages"]
    check(first, MESSAGE, MESSAGE_OPTIONAL, "namespace")
    check(second, MESSAGE, MESSAGE_OPTIONAL, "namespace preview name")


def test_messages_are_numbered_in_their_dialogue(plain: httpx.Client) -> None:
    """Contract 4.2 and 5.15: `sequence` counts from 1 and is never used again."""
    made(plain.delete("/message/m"))
    numbers = [made(plain.post("/dialogue/d/message", json=PLAIN))["sequence"] for _ in range(2)]
    assert numbers == [2, 3]


# 4.3 memory


def test_a_new_plain_memory(api: httpx.Client) -> None:
    """Contract 4.3: id, value, tags, metadata and the two times; nothing else."""
    row = made(api.post("/memory", json={"value": False}))
    check(row, MEMORY, MEMORY_OPTIONAL)
    assert set(row) == set(MEMORY)
    assert (row["value"], row["tags"], row["metadata"]) == (False, [], {})


def test_a_new_full_memory(api: httpx.Client) -> None:
    """Contract 4.3: every option that is set comes back."""
    row = made(api.post("/memory", json=FULL_MEMORY))
    check(row, MEMORY, MEMORY_OPTIONAL, "namespace label description")
    assert {name: row[name] for name in FULL_MEMORY} == FULL_MEMORY


@pytest.mark.parametrize("answer", MEMORY_ANSWERS)
def test_a_plain_memory_in_every_answer(plain: httpx.Client, answer: str) -> None:
    """Contract 4.3: options that are not set are omitted, never null."""
    check(MEMORY_ANSWERS[answer](plain), MEMORY, MEMORY_OPTIONAL)


@pytest.mark.parametrize("answer", MEMORY_ANSWERS)
def test_a_full_memory_in_every_answer(full: httpx.Client, answer: str) -> None:
    """Contract 4.3: the same fields in get, list and update."""
    row = MEMORY_ANSWERS[answer](full)
    check(row, MEMORY, MEMORY_OPTIONAL, "namespace label description")
    assert {name: row[name] for name in FULL_MEMORY} == FULL_MEMORY


def test_key_is_an_alias_of_the_id_of_a_new_memory(api: httpx.Client) -> None:
    """Contract 4.3: `key` is taken when `id` is absent, and answers say `id` only."""
    row = made(api.post("/memory", json={"key": "y", "value": 1}))
    assert row["id"] == "y"
    assert "key" not in row


# 4.5 lists and the small answers


@pytest.mark.parametrize(
    "path", ["/dialogue", "/messages?dialogueId=d", "/dialogue/d/messages", "/memory"]
)
def test_a_list_has_items_and_next_only(plain: httpx.Client, path: str) -> None:
    """Contract 4.5 and 1.6: {"items": [...], "next": string or null}."""
    page = made(plain.get(path))
    assert set(page) == {"items", "next"}
    assert page["next"] is None
    assert [type(row) for row in page["items"]] == [dict]


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/dialogue/d", {"success": True, "id": "d"}),
        ("/message/m", {"success": True, "id": "m", "dialogueId": "d"}),
        ("/memory/y", {"success": True, "id": "y"}),
    ],
)
def test_a_delete_answers_success_and_the_id(full: httpx.Client, path: str, body: Any) -> None:
    """Contract 5.5, 5.13 and 5.14: the shape of each delete."""
    assert made(full.delete(path)) == body


def test_a_change_of_state_answers_the_bare_state(full: httpx.Client) -> None:
    """Contract 5.7: the resulting state object and nothing around it."""
    assert made(full.put("/dialogue/d/state", json={"t": 2})) == {"s": 1, "t": 2}
