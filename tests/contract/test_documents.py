"""What the original documents show, said in words and data of our own.

The documents are cited by the tags of the contract (0.1): S-INTRO, S-REF, S-CORE, S-SDK; the Memory
API (S-MEM) has a file of its own, `test_documents_memory.py`.
Each shell or Python sample of theirs is one test, sent twice: as raw bytes with the headers that
the shell samples set, and by `requests` as the Python samples do.
"""

import json
import re
from collections.abc import Callable
from typing import Any, NamedTuple

import httpx
import pytest
import requests

from harness import TLS, Server, new_project

TURN = {"role": "user", "content": "Which gate does the night train leave from?"}
STAMP = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z"


class Answer(NamedTuple):
    """An answer of either way of sending."""

    status: int
    body: Any
    headers: Any


Call = Callable[..., Answer]


@pytest.fixture
def key(server: Server) -> str:
    return new_project(server.db).key


@pytest.fixture(params=["shell", "python"])
def call(request: pytest.FixtureRequest, server: Server, key: str) -> Call:
    """Send a request as the shell samples do, or as the Python samples do."""
    bearer = {"Authorization": f"Bearer {key}"}

    def shell(method: str, path: str, body: Any = None, **query: Any) -> Answer:
        headers = bearer | ({"Content-Type": "application/json"} if body is not None else {})
        text = None if body is None else json.dumps(body, indent=2).encode()
        if query:
            path += "?" + "&".join(f"{name}={value}" for name, value in query.items())
        answer = httpx.request(method, server.url + path, content=text, headers=headers, verify=TLS)
        return Answer(answer.status_code, answer.json(), answer.headers)

    def python(method: str, path: str, body: Any = None, **query: Any) -> Answer:
        answer = requests.request(
            method, server.url + path, headers=bearer, json=body, params=query, timeout=30
        )
        return Answer(answer.status_code, answer.json(), answer.headers)

    return shell if request.param == "shell" else python


def made(call: Call, path: str, body: Any) -> Any:
    answer = call("POST", path, body)
    assert answer.status == 200, answer.body
    return answer.body


def refusal(answer: Answer) -> tuple[int, str]:
    return answer.status, answer.body["error"]["code"]


# S-REF: the overview


def test_overview_create_a_dialogue(call: Call) -> None:
    """S-REF, quick examples: one message makes a dialogue, which comes back with its id."""
    dialogue = made(call, "/dialogue", {"message": TURN})
    assert dialogue["messages"][0]["content"] == TURN["content"]
    assert re.fullmatch(r"[0-9A-HJKMNP-TV-Z]{26}", dialogue["id"])


def test_overview_list_dialogues(call: Call) -> None:
    """S-REF, quick examples: a page of dialogues is `items` and `next`."""
    ids = [made(call, "/dialogue", {"message": TURN})["id"] for _ in range(3)]
    page = call("GET", "/dialogue", limit=10).body
    assert ([row["id"] for row in page["items"]], page["next"]) == (ids[::-1], None)


def test_overview_page_through_dialogues(call: Call) -> None:
    """S-REF, pagination: the token goes raw into the next call, with `limit` beside it."""
    ids = [made(call, "/dialogue", {})["id"] for _ in range(5)]
    first = call("GET", "/dialogue", limit=3).body
    second = call("GET", f"/dialogue?limit=3&next={first['next']}").body
    assert [row["id"] for row in first["items"] + second["items"]] == ids[::-1]
    assert second["next"] is None


def test_overview_create_a_message(call: Call) -> None:
    """S-REF, quick examples: a message is added under its dialogue's path."""
    dialogue = made(call, "/dialogue", {})["id"]
    reply = {"role": "assistant", "content": "Gate four, at ten past eleven."}
    message = made(call, f"/dialogue/{dialogue}/messages", reply)
    assert message | reply == message
    assert message["dialogueId"] == dialogue


def test_overview_update_the_state(call: Call) -> None:
    """S-REF, quick examples: two keys set on a fresh dialogue are its whole state."""
    dialogue = made(call, "/dialogue", {})["id"]
    state = {"stage": "boarding", "fare": 18.5}
    answer = call("PUT", f"/dialogue/{dialogue}/state", state)
    assert (answer.status, answer.body) == (200, state)
    assert call("GET", f"/dialogue/{dialogue}").body["state"] == state


def test_overview_create_a_memory(call: Call) -> None:
    """S-REF, quick examples: a sentence with a label, in a namespace."""
    body = {"value": "Likes window seats", "label": "Seat", "namespace": "rider_12"}
    memory = made(call, "/memory", body)
    assert memory | body == memory


@pytest.mark.parametrize("fields", [["id", "role", "content", "tags", "metadata", "created"]])
def test_overview_get_update_and_delete_a_message(call: Call, fields: list[str]) -> None:
    """S-REF, endpoints: a message is read, tagged and deleted under its dialogue's path."""
    dialogue = made(call, "/dialogue", {"message": TURN})
    path = f"/dialogue/{dialogue['id']}/message/{dialogue['messages'][0]['id']}"
    assert set(fields) <= set(call("GET", path).body)
    assert call("PUT", path, {"tags": ["asked"]}).body["tags"] == ["asked"]
    assert call("DELETE", path).status == 200
    assert refusal(call("GET", path)) == (404, "MESSAGE_NOT_FOUND")


def test_overview_list_messages(call: Call) -> None:
    """S-REF, endpoints: the messages of a dialogue under its path."""
    dialogue = made(call, "/dialogue", {"message": TURN})["id"]
    page = call("GET", f"/dialogue/{dialogue}/messages").body
    assert [row["content"] for row in page["items"]] == [TURN["content"]]


def test_overview_update_a_dialogue(call: Call) -> None:
    """S-REF, endpoints: one update of tags, label, state and messages."""
    dialogue = made(call, "/dialogue", {})["id"]
    body = {"tags": ["rail"], "label": "Night train", "state": {"leg": 1}, "messages": [TURN]}
    answer = call("PUT", f"/dialogue/{dialogue}", body).body
    assert (answer["tags"], answer["label"], answer["state"]) == (
        ["rail"],
        "Night train",
        {"leg": 1},
    )
    assert (answer["totalMessages"], len(answer["messages"])) == (1, 1)


def test_overview_delete_a_dialogue(call: Call) -> None:
    """S-REF, endpoints: a deleted dialogue is not found."""
    dialogue = made(call, "/dialogue", {})["id"]
    assert call("DELETE", f"/dialogue/{dialogue}").status == 200
    assert refusal(call("GET", f"/dialogue/{dialogue}")) == (404, "DIALOGUE_NOT_FOUND")


@pytest.mark.parametrize("prefix", ["", "/api/v1"], ids=["bare", "v1"])
@pytest.mark.parametrize("kind", ["message", "dialogue", "memory"])
def test_overview_search(call: Call, prefix: str, kind: str) -> None:
    """S-REF, quick examples: a body from the shell, parameters from Python; both give `items`."""
    made(call, "/dialogue", {"messages": [TURN], "label": "Departures"})
    asked = {"role": "user", "content": "I was charged twice for one ticket"}
    wanted = {"dialogue": made(call, "/dialogue", {"message": asked, "label": "Refund"})}
    wanted["message"] = wanted["dialogue"].pop("messages")[0]
    made(call, "/memory", {"value": "Sits by the window"})
    wanted["memory"] = made(call, "/memory", {"value": "Was charged twice", "label": "Ticket"})
    body = {"query": "charged ticket", "object": kind}
    posted = call("POST", f"{prefix}/search", body)
    assert (posted.status, posted.body["items"][0]) == (200, wanted[kind])
    assert len(posted.body["items"]) == 2
    got = call("GET", f"{prefix}/search?query=charged+ticket&object={kind}")
    assert got.body == posted.body
    one_word = call("GET", f"{prefix}/search", query="charged", object=kind)
    assert one_word.body["items"][0] == wanted[kind]


def test_overview_error_response(call: Call) -> None:
    """S-REF, errors: code, message, type, details, request id and time, in `error`."""
    answer = call("GET", "/dialogue/dlg_nobody")
    error = answer.body["error"]
    assert (answer.status, error["code"], error["type"]) == (404, "DIALOGUE_NOT_FOUND", "not_found")
    assert isinstance(error["details"], list)
    assert "dlg_nobody" in error["message"]
    assert error["requestId"]
    assert re.fullmatch(STAMP, error["timestamp"])


@pytest.mark.parametrize(
    ("path", "status"), [("/dialogue", 200), ("/dialogue?limit=x", 400), ("/dialogue/none", 404)]
)
def test_overview_rate_limit_headers(call: Call, path: str, status: int) -> None:
    """S-REF, rate limits: three headers with whole numbers are in all responses."""
    answer = call("GET", path)
    names = ("X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset")
    assert answer.status == status
    assert all(answer.headers[name].isdigit() for name in names)


# S-CORE: the core concepts, under /api/v1


def test_concepts_dialogue_with_metadata(call: Call) -> None:
    """S-CORE, dialogues: metadata and tags beside the first message."""
    body = {"metadata": {"rider": "r-12", "via": "kiosk"}, "tags": ["rail", "refund"]}
    dialogue = made(call, "/api/v1/dialogue", body | {"message": TURN})
    assert dialogue | body == dialogue


def test_concepts_dialogue_properties(call: Call) -> None:
    """S-CORE, dialogues: the properties of a dialogue, and no others missing."""
    dialogue = made(call, "/api/v1/dialogue", {"metadata": {"a": 1}, "message": TURN})
    assert {
        "id", "requestId", "status", "tags", "totalMessages", "threadCount", "lastMessageCreated",
        "metadata", "metadataLength", "metadataSHA256", "created", "modified", "state", "messages",
    } <= set(dialogue)  # fmt: skip


@pytest.mark.parametrize("prefix", ["", "/api/v1"], ids=["bare", "v1"])
def test_concepts_create_a_message(call: Call, prefix: str) -> None:
    """S-CORE, messages: `POST /message` with the dialogue's id in the body."""
    dialogue = made(call, f"{prefix}/dialogue", {})["id"]
    message = made(call, f"{prefix}/message", {"dialogueId": dialogue} | TURN)
    assert (message["dialogueId"], message["content"]) == (dialogue, TURN["content"])


def test_concepts_message_with_metadata(call: Call) -> None:
    """S-CORE, messages: scalars of every kind as metadata."""
    dialogue = made(call, "/api/v1/dialogue", {})["id"]
    metadata = {"engine": "m-2", "tokens": 31, "heat": 0.3, "cached": False}
    body = {"dialogueId": dialogue, "role": "assistant", "content": "Gate four."}
    message = made(call, "/api/v1/message", body | {"metadata": metadata})
    assert message["metadata"] == metadata


@pytest.mark.parametrize("role", ["user", "assistant", "system", "tool", "Station Master"])
def test_concepts_roles(call: Call, role: str) -> None:
    """S-CORE, roles: three by convention, others allowed."""
    dialogue = made(call, "/api/v1/dialogue", {"message": TURN | {"role": role}})
    assert dialogue["messages"][0]["role"] == role


@pytest.mark.parametrize(
    "content",
    [
        "Platform 4 \u00b0C",
        {"type": "tool_result", "rows": [1, 2, {"deep": None}]},
        [{"type": "text", "text": "see"}, {"type": "tool_use", "input": {"stop": "north"}}],
    ],
    ids=["text", "object", "blocks"],
)
def test_concepts_content_of_any_shape(call: Call, content: Any) -> None:
    """S-CORE, messages: text, an object, or blocks come back as they were sent."""
    dialogue = made(call, "/api/v1/dialogue", {})["id"]
    body = {"dialogueId": dialogue, "role": "tool", "content": content}
    message = made(call, "/api/v1/message", body)
    assert call("GET", f"/api/v1/message/{message['id']}").body["content"] == content


def test_concepts_page_through_messages(call: Call) -> None:
    """S-CORE, retrieving: the second page repeats `dialogueId` and `limit`."""
    turns = [TURN | {"content": f"turn {number}"} for number in range(25)]
    dialogue = made(call, "/api/v1/dialogue", {"messages": turns})["id"]
    first = call("GET", "/api/v1/messages", dialogueId=dialogue, limit=20).body
    query = {"dialogueId": dialogue, "limit": 20, "next": first["next"]}
    second = call("GET", "/api/v1/messages", **query).body
    assert [len(first["items"]), len(second["items"]), second["next"]] == [20, 5, None]
    texts = [row["content"] for row in first["items"] + second["items"]]
    assert texts == [turn["content"] for turn in turns]


def test_concepts_get_a_message_by_its_id_alone(call: Call) -> None:
    """S-CORE, retrieving: no dialogue is named."""
    message = made(call, "/api/v1/dialogue", {"message": TURN})["messages"][0]
    assert call("GET", f"/api/v1/message/{message['id']}").body == message


def test_concepts_a_thread_with_messages(call: Call) -> None:
    """S-CORE, threads: a dialogue with a parent, which counts it; messages come later."""
    parent = made(call, "/api/v1/dialogue", {"message": TURN})["id"]
    body = {"threadOf": parent, "metadata": {"job": "lookup"}, "tags": ["timetable"]}
    thread = made(call, "/api/v1/dialogue", body)
    for role, content in (("system", "Looking up the timetable"), ("assistant", "Found it")):
        turn = {"dialogueId": thread["id"], "role": role, "content": content}
        made(call, "/api/v1/message", turn)
    assert thread | body == thread
    assert call("GET", f"/api/v1/dialogue/{parent}").body["threadCount"] == 1
    assert call("GET", f"/api/v1/dialogue/{thread['id']}").body["totalMessages"] == 2


def test_concepts_initial_state_and_its_update(call: Call) -> None:
    """S-CORE, state: set at creation, changed key by key afterwards."""
    state = {"topic": "trains", "city": "Tartu", "clock": "24h"}
    made_dialogue = made(call, "/api/v1/dialogue", {"state": state, "message": TURN})
    assert made_dialogue["state"] == state
    answer = call("PUT", f"/api/v1/dialogue/{made_dialogue['id']}/state", {"city": "Narva"})
    assert answer.body == state | {"city": "Narva"}


def test_concepts_memory(call: Call) -> None:
    """S-CORE, memory: stored with namespace, tags and label."""
    body = {
        "value": "Travels with a bicycle",
        "namespace": "rider_12",
        "tags": ["habits"],
        "label": "Luggage",
    }
    memory = made(call, "/api/v1/memory", body)
    assert memory | body == memory


def test_concepts_get_and_delete_a_memory(call: Call) -> None:
    """S-CORE, memory: read and deleted with the namespace it was stored in."""
    memory = made(call, "/api/v1/memory", {"value": 1, "namespace": "rider_12"})
    path = f"/api/v1/memory/{memory['id']}"
    assert call("GET", path, namespace="rider_12").body == memory
    assert call("DELETE", path, namespace="rider_12").status == 200
    assert refusal(call("GET", path, namespace="rider_12")) == (404, "MEMORY_NOT_FOUND")


def test_concepts_search_memories_of_a_namespace(call: Call) -> None:
    """S-CORE, memory: found by meaning, by its label too, within its namespace."""
    body = {"value": "Wants step-free platforms", "label": "Station needs", "tags": ["access"]}
    memory = made(call, "/api/v1/memory", body | {"namespace": "rider_12"})
    made(call, "/api/v1/memory", {"value": "Pays by card", "namespace": "rider_12"})
    made(call, "/api/v1/memory", body | {"namespace": "rider_13"})
    query = {"query": "needs at a station", "object": "memory", "namespace": "rider_12"}
    found = made(call, "/api/v1/search", query)
    assert (found["items"][0], len(found["items"])) == (memory, 2)
    first = found["results"][0]
    assert (first["object"], first["item"]) == ("memory", memory)


def test_concepts_what_is_searched(call: Call) -> None:
    """S-CORE, memory: messages and memories are searched, state is not."""
    state = {"clue": "submarine"}
    made(call, "/api/v1/dialogue", {"message": TURN, "state": state, "label": "Trains"})
    for kind, count in (("message", 1), ("dialogue", 1), ("memory", 0)):
        found = made(
            call, "/api/v1/search", {"query": "submarine", "object": kind, "explain": True}
        )
        assert [one["explain"]["words"] for one in found["results"]] == [0] * count


def test_concepts_end_a_dialogue(call: Call) -> None:
    """S-CORE, actions: `end` without any body."""
    dialogue = made(call, "/api/v1/dialogue", {"message": TURN})["id"]
    answer = call("POST", f"/api/v1/dialogue/{dialogue}/end")
    assert (answer.status, answer.body["status"]) == (200, "ended")


def test_concepts_namespace_of_a_dialogue(call: Call) -> None:
    """S-CORE, namespace: made, read and listed with the same namespace."""
    dialogue = made(call, "/api/v1/dialogue", {"namespace": "rider_12", "message": TURN})
    assert dialogue["namespace"] == "rider_12"
    read = call("GET", f"/api/v1/dialogue/{dialogue['id']}", namespace="rider_12")
    assert read.body["id"] == dialogue["id"]
    listed = call("GET", "/api/v1/dialogue", namespace="rider_12").body["items"]
    assert [row["id"] for row in listed] == [dialogue["id"]]


@pytest.mark.parametrize("query", [{}, {"namespace": "rider_13"}], ids=["none", "another"])
def test_concepts_without_its_namespace_nothing_is_found(call: Call, query: Any) -> None:
    """S-CORE, namespace: leaving it out is not found, for every kind of resource."""
    space = {"namespace": "rider_12"}
    dialogue = made(call, "/api/v1/dialogue", space | {"message": TURN})
    memory = made(call, "/api/v1/memory", space | {"value": 1})
    message = dialogue["messages"][0]["id"]
    found = [
        refusal(call("GET", f"/api/v1/{path}", **query))
        for path in (f"dialogue/{dialogue['id']}", f"message/{message}", f"memory/{memory['id']}")
    ]
    assert found == [(404, f"{kind}_NOT_FOUND") for kind in ("DIALOGUE", "MESSAGE", "MEMORY")]
    state = call("PUT", f"/api/v1/dialogue/{dialogue['id']}/state", {"a": 1}, **query)
    assert refusal(state) == (404, "DIALOGUE_NOT_FOUND")
    assert call("GET", "/api/v1/dialogue", **query).body["items"] == []


@pytest.mark.parametrize("name", ["u.1", "org:9", "a/b", "-a", "a-", "_a", "a b", "x" * 65])
def test_concepts_rules_of_a_namespace(call: Call, name: str) -> None:
    """S-CORE, namespace: letters, digits, `_` and `-`, no more than 64, ends plain."""
    answer = call("POST", "/api/v1/dialogue", {"namespace": name})
    assert refusal(answer) == (400, "INVALID_PARAMETER")


@pytest.mark.parametrize("length", [1, 64])
def test_concepts_custom_ids(call: Call, length: int) -> None:
    """S-CORE, identifiers: 1 to 64 characters, unique within the project."""
    name = "x" * length
    assert made(call, "/api/v1/dialogue", {"id": name})["id"] == name
    again = call("POST", "/api/v1/dialogue", {"id": name, "namespace": "rider_12"})
    assert refusal(again) == (400, "DUPLICATE_ID")


def test_concepts_deletion_leaves_the_messages(call: Call) -> None:
    """S-CORE, lifecycle; S-SDK, deleteDialogue: the dialogue goes, its messages remain."""
    dialogue = made(call, "/api/v1/dialogue", {"message": TURN})
    assert call("DELETE", f"/api/v1/dialogue/{dialogue['id']}").status == 200
    left = call("GET", "/api/v1/messages", dialogueId=dialogue["id"]).body["items"]
    assert [row["id"] for row in left] == [dialogue["messages"][0]["id"]]


def test_introduction_memories_and_dialogues_are_apart(call: Call) -> None:
    """S-INTRO, core concepts: a memory outlives every dialogue."""
    memory = made(call, "/memory", {"value": "Prefers the quiet coach"})
    dialogue = made(call, "/dialogue", {"message": TURN})["id"]
    call("DELETE", f"/dialogue/{dialogue}")
    assert call("GET", f"/memory/{memory['id']}").body == memory


# S-SDK: what the documented methods send


def test_sdk_create_with_everything(call: Call) -> None:
    """S-SDK, createDialogue: namespace, messages, state, metadata and tags together."""
    body = {
        "namespace": "rider_12",
        "label": "Night train",
        "state": {"topic": "fares"},
        "metadata": {"via": "kiosk", "legs": 2, "return": True},
        "tags": ["rail"],
    }
    turns = [{"role": "system", "content": "You sell tickets."}, TURN]
    dialogue = made(call, "/dialogue", body | {"messages": turns})
    assert dialogue | body == dialogue
    assert [message["role"] for message in dialogue["messages"]] == ["system", "user"]


@pytest.mark.parametrize(("count", "status"), [(25, 200), (26, 400)])
def test_sdk_at_most_25_initial_messages(call: Call, count: int, status: int) -> None:
    """S-SDK, createDialogue: no more than 25 messages."""
    assert call("POST", "/dialogue", {"messages": [TURN] * count}).status == status


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({"order": "asc"}, "abcd"),
        ({"order": "desc"}, "dcba"),
        ({"created": "2024-02"}, "cb"),
        ({"created": "2024-02-20"}, "c"),
        ({"startDate": "2024-02-20T00:00:00.000Z"}, "dc"),
        ({"endDate": "2024-02-03T00:00:00.000Z"}, "ba"),
        ({"startDate": "2024-02-01", "endDate": "2024-02-29"}, "cb"),
        ({"limit": 1}, "d"),
    ],
    ids=str,
)
def test_sdk_list_filters(call: Call, query: Any, expected: str) -> None:
    """S-SDK, listDialogues: order, a prefix of `created`, and an inclusive range."""
    days = {"a": "2024-01-05", "b": "2024-02-03", "c": "2024-02-20", "d": "2024-03-01"}
    for name, day in days.items():
        made(call, "/dialogue", {"id": name, "created": f"{day}T00:00:00.000Z"})
    rows = call("GET", "/dialogue", **query).body["items"]
    assert "".join(row["id"] for row in rows) == expected


def test_sdk_second_page_repeats_only_limit_and_next(call: Call) -> None:
    """S-SDK, listDialogues: the token keeps namespace and order."""
    for name in ("a", "b", "c"):
        made(call, "/dialogue", {"id": name, "namespace": "rider_12"})
    made(call, "/dialogue", {"id": "elsewhere"})
    first = call("GET", "/dialogue", limit=2, order="asc", namespace="rider_12").body
    second = call("GET", "/dialogue", limit=2, next=first["next"]).body
    assert [row["id"] for row in first["items"] + second["items"]] == ["a", "b", "c"]


def test_sdk_save_sends_tags_label_and_state_at_once(call: Call) -> None:
    """S-SDK, save: one update carries the batched changes, and answers them."""
    dialogue = made(call, "/dialogue", {"state": {"old": 1}})["id"]
    body = {"state": {"step": 1}, "tags": ["important"], "label": "Case 42"}
    answer = call("PUT", f"/dialogue/{dialogue}", body).body
    assert answer | body == answer
    assert re.fullmatch(STAMP, answer["modified"])


def test_sdk_save_messages(call: Call) -> None:
    """S-SDK, saveMessages: a batch answers an array in its order."""
    dialogue = made(call, "/dialogue", {})["id"]
    turns = [TURN, {"role": "assistant", "content": "Gate four."}]
    answered = made(call, f"/messages?dialogueId={dialogue}", turns)
    assert [message["content"] for message in answered] == [turn["content"] for turn in turns]


def test_sdk_a_message_of_its_own_id_metadata_and_tags(call: Call) -> None:
    """S-SDK, saveMessage: the optional fields come back."""
    dialogue = made(call, "/dialogue", {})["id"]
    body = TURN | {"id": "turn-1", "metadata": {"engine": "m-2"}, "tags": ["generated"]}
    message = made(call, f"/message?dialogueId={dialogue}", body)
    assert message | body == message


def test_sdk_a_read_dialogue_carries_ten_messages(call: Call) -> None:
    """S-SDK, pagination: up to ten at first, the rest by the list."""
    dialogue = made(call, "/dialogue", {"messages": [TURN] * 12})["id"]
    assert len(call("GET", f"/dialogue/{dialogue}").body["messages"]) == 10
    assert len(call("GET", "/messages", dialogueId=dialogue, limit=50).body["items"]) == 12


def test_sdk_threads_of_a_dialogue(call: Call) -> None:
    """S-SDK, getThreads: the list of dialogues of one parent."""
    parent = made(call, "/dialogue", {})["id"]
    body = {"threadOf": parent, "metadata": {"job": "plan"}, "tags": ["internal"]}
    thread = made(call, "/dialogue", body)["id"]
    rows = call("GET", "/dialogue", threadOf=parent).body["items"]
    assert [(row["id"], row["totalMessages"]) for row in rows] == [(thread, 0)]


def test_sdk_an_ended_dialogue_takes_no_message(call: Call) -> None:
    """S-SDK, end: no new messages afterwards."""
    dialogue = made(call, "/dialogue", {})["id"]
    call("POST", f"/dialogue/{dialogue}/end", {})
    answer = call("POST", f"/message?dialogueId={dialogue}", TURN)
    assert refusal(answer) == (409, "DIALOGUE_ENDED")


@pytest.mark.parametrize(
    ("kind", "options", "expected"),
    [
        ("dialogue", {"limit": 10, "filter": {"tags": ["desk"]}}, {"d1", "d3"}),
        ("dialogue", {"limit": 1, "filter": {"tags": ["desk"]}}, {"d1"}),
        ("message", {"limit": 20}, {"m1", "m2", "m3"}),
        ("memory", {}, {"k1", "k2", "k3"}),
        ("memory", {"namespace": "rider_12"}, {"k3"}),
    ],
)
def test_sdk_search_methods(call: Call, kind: str, options: Any, expected: set[str]) -> None:
    """S-SDK and S-CORE: searchDialogues, searchMessages and searchMemories, and their options."""
    for number, tag in enumerate(["desk", "kiosk", "desk"], 1):
        turn = TURN | {"id": f"m{number}"}
        label = "Lost luggage" if number == 1 else "A timetable"
        body = {"id": f"d{number}", "message": turn, "tags": [tag], "label": label}
        made(call, "/dialogue", body)
        where = {"namespace": "rider_12"} if number == 3 else {}
        made(call, "/memory", {"id": f"k{number}", "value": "Travels light"} | where)
    query = {"query": "lost luggage", "object": kind}
    found = made(call, "/api/v1/search", query | options)
    assert {item["id"] for item in found["items"]} == expected
    assert [result["item"] for result in found["results"]] == found["items"]
