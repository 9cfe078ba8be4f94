"""Contract 5.0-5.7: every route and alias, and what dialogues and their state do."""

from typing import Any

import httpx
import pytest

PREFIXES = ["", "/api/v1"]
SAY = {"role": "user", "content": "hello"}
#: The four spellings of the address of one message (5.0, rows 11-13).
MESSAGE_PATHS = [
    "/message/m",
    "/message/m?dialogueId=d",
    "/messages/m?dialogueId=d",
    "/dialogue/d/message/m",
    "/dialogue/d/messages/m",
]
#: The ways to append (5.0, rows 8-9); {} stands for one message or an array of them.
APPEND_ONE = [
    "/message?dialogueId=d",
    "/messages?dialogueId=d",
    "/dialogue/d/message",
    "/dialogue/d/messages",
]
APPEND_MANY = ["/messages?dialogueId=d", "/dialogue/d/messages"]
LIST_MESSAGES = ["/messages?dialogueId=d", "/dialogue/d/messages", "/dialogue/d/message"]
ENDINGS = [("POST", "/dialogue/d/end"), ("PUT", "/dialogue/d/end")]


def made(answer: httpx.Response) -> Any:
    """Return the body of an answer that must be a success."""
    assert answer.status_code == 200, answer.text
    return answer.json()


def refused(answer: httpx.Response, status: int, code: str, *fields: str) -> Any:
    """Return the error of an answer that must refuse with this status, code and these fields."""
    assert answer.status_code == status, answer.text
    error = answer.json()["error"]
    assert error["code"] == code, error
    if fields:
        assert sorted(d.get("field") for d in error["details"]) == sorted(fields), error
    return error


def later(api: httpx.Client, moment: str) -> None:
    """Ask until the clock of the server has passed a moment."""
    while made(api.post("/memory", json={"value": 1}))["created"] <= moment:
        pass


def dialogue(api: httpx.Client, own_id: str = "d") -> Any:
    """Read a dialogue."""
    return made(api.get(f"/dialogue/{own_id}"))


def texts(messages: Any) -> list[str]:
    """Return the contents of messages."""
    return [message["content"] for message in messages]


@pytest.fixture
def world(api: httpx.Client) -> httpx.Client:
    """A project that holds the dialogue d with the message m."""
    made(api.post("/dialogue", json={"id": "d", "message": SAY | {"id": "m"}}))
    return api


# 5.0 the route table


@pytest.mark.parametrize("prefix", PREFIXES)
def test_dialogue_routes(api: httpx.Client, prefix: str) -> None:
    """Contract 5.0, rows 1-5: create, list, get, update and delete by path."""
    assert made(api.post(f"{prefix}/dialogue", json={"id": "d"}))["id"] == "d"
    assert [row["id"] for row in made(api.get(f"{prefix}/dialogue"))["items"]] == ["d"]
    assert made(api.get(f"{prefix}/dialogue/d"))["id"] == "d"
    assert made(api.put(f"{prefix}/dialogue/d", json={"label": "L"}))["label"] == "L"
    assert made(api.delete(f"{prefix}/dialogue/d")) == {"success": True, "id": "d"}
    refused(api.get(f"{prefix}/dialogue/d"), 404, "DIALOGUE_NOT_FOUND", "id")


@pytest.mark.parametrize("prefix", PREFIXES)
def test_dialogue_routes_with_the_id_in_the_body(world: httpx.Client, prefix: str) -> None:
    """Contract 5.0, rows 4b and 5b: PUT and DELETE /dialogue of the oldest client."""
    body = {"id": "d", "label": "L"}
    assert made(world.put(f"{prefix}/dialogue", json=body))["label"] == "L"
    answer = world.request("DELETE", f"{prefix}/dialogue", json={"id": "d"})
    assert made(answer) == {"success": True, "id": "d"}
    refused(world.put(f"{prefix}/dialogue", json=body), 404, "DIALOGUE_NOT_FOUND", "id")


@pytest.mark.parametrize("prefix", PREFIXES)
@pytest.mark.parametrize(("method", "path"), ENDINGS)
@pytest.mark.parametrize("content", [None, b"{}"])
def test_end_routes(
    world: httpx.Client, prefix: str, method: str, path: str, content: bytes | None
) -> None:
    """Contract 5.0, rows 6 and 6b: POST and PUT, with and without a body."""
    assert made(world.request(method, prefix + path, content=content))["status"] == "ended"


@pytest.mark.parametrize("prefix", PREFIXES)
def test_state_route(world: httpx.Client, prefix: str) -> None:
    """Contract 5.0, row 7: PUT /dialogue/{id}/state."""
    assert made(world.put(f"{prefix}/dialogue/d/state", json={"k": 1})) == {"k": 1}


@pytest.mark.parametrize("prefix", PREFIXES)
@pytest.mark.parametrize("path", APPEND_ONE)
def test_append_routes_answer_an_object_with_a_message(
    world: httpx.Client, prefix: str, path: str
) -> None:
    """Contract 5.0, rows 8, 8b, 8c, and 5.9: an object body is one message."""
    row = made(world.post(prefix + path, json={"role": "tool", "content": "new"}))
    assert (row["dialogueId"], row["role"], row["content"]) == ("d", "tool", "new")
    assert texts(dialogue(world)["messages"]) == ["hello", "new"]


@pytest.mark.parametrize("prefix", PREFIXES)
def test_append_with_the_dialogue_id_in_the_body(world: httpx.Client, prefix: str) -> None:
    """Contract 5.0, row 8 and 1.3: POST /message with dialogueId as a body field."""
    row = made(world.post(f"{prefix}/message", json=SAY | {"dialogueId": "d"}))
    assert row["dialogueId"] == "d"


@pytest.mark.parametrize("prefix", PREFIXES)
@pytest.mark.parametrize("path", APPEND_MANY)
def test_append_routes_answer_an_array_with_a_bare_array(
    world: httpx.Client, prefix: str, path: str
) -> None:
    """Contract 5.0, rows 8b and 9: an array body is a batch."""
    rows = made(world.post(prefix + path, json=[SAY | {"content": text} for text in "ba"]))
    assert texts(rows) == ["b", "a"]
    assert texts(dialogue(world)["messages"]) == ["hello", "b", "a"]


@pytest.mark.parametrize("prefix", PREFIXES)
@pytest.mark.parametrize("path", ["/messages", *APPEND_MANY])
def test_append_routes_take_a_batch_in_an_object(
    world: httpx.Client, prefix: str, path: str
) -> None:
    """Contract 5.9: {"dialogueId", "messages"} is answered with a bare array as well."""
    body = {"dialogueId": "d", "messages": [SAY, SAY | {"content": "two"}]}
    assert texts(made(world.post(prefix + path, json=body))) == ["hello", "two"]


@pytest.mark.parametrize("prefix", PREFIXES)
@pytest.mark.parametrize("path", LIST_MESSAGES)
def test_message_list_routes(world: httpx.Client, prefix: str, path: str) -> None:
    """Contract 5.0, rows 10 and 10b, and the alias without a message id."""
    assert texts(made(world.get(prefix + path))["items"]) == ["hello"]


@pytest.mark.parametrize("prefix", PREFIXES)
@pytest.mark.parametrize("path", MESSAGE_PATHS)
def test_message_routes(world: httpx.Client, prefix: str, path: str) -> None:
    """Contract 5.0, rows 11-13: get, update and delete in every spelling."""
    assert made(world.get(prefix + path))["content"] == "hello"
    assert made(world.put(prefix + path, json={"tags": ["seen"]}))["tags"] == ["seen"]
    gone = {"success": True, "id": "m", "dialogueId": "d"}
    assert made(world.delete(prefix + path)) == gone
    refused(world.get(prefix + path), 404, "MESSAGE_NOT_FOUND")


# 5.1 POST /dialogue


@pytest.mark.parametrize("form", ["message", "messages"])
def test_a_dialogue_is_created_with_messages(api: httpx.Client, form: str) -> None:
    """Contract 5.1: the first message or the first messages are stored with it."""
    made(api.post("/dialogue", json={"id": "d", form: SAY if form == "message" else [SAY]}))
    row = dialogue(api)
    assert texts(row["messages"]) == ["hello"]
    assert row["totalMessages"] == 1
    assert row["lastMessageCreated"] == row["messages"][0]["created"]


@pytest.mark.parametrize("method", ["POST", "PUT"])
class TestMessagesOfADialogue:
    """Contract 5.1 and 5.4: the same rules when creating and when updating."""

    def send(self, api: httpx.Client, method: str, body: Any) -> httpx.Response:
        """Create or update the dialogue `x` with this body."""
        if method == "PUT":
            made(api.post("/dialogue", json={"id": "x"}))
            return api.put("/dialogue/x", json=body)
        return api.post("/dialogue", json=body | {"id": "x"})

    def check_nothing_stored(self, api: httpx.Client, method: str) -> None:
        """Check that no message came, and no dialogue by a refused create."""
        answer = api.get("/dialogue/x")
        if method == "PUT":
            assert (made(answer)["totalMessages"], "label" in answer.json()) == (0, False)
        else:
            refused(answer, 404, "DIALOGUE_NOT_FOUND")

    def test_message_and_messages_together_are_refused(
        self, api: httpx.Client, method: str
    ) -> None:
        """Contract 5.1: both forms at once are INVALID_INPUT."""
        answer = self.send(api, method, {"message": SAY, "messages": [SAY], "label": "L"})
        refused(answer, 400, "INVALID_INPUT")
        self.check_nothing_stored(api, method)

    def test_25_messages_are_accepted(self, api: httpx.Client, method: str) -> None:
        """Contract 5.1: at most 25, all of them answered."""
        assert len(made(self.send(api, method, {"messages": [SAY] * 25}))["messages"]) == 25

    def test_26_messages_are_refused(self, api: httpx.Client, method: str) -> None:
        """Contract 5.1: more than 25 are INVALID_INPUT, field messages."""
        answer = self.send(api, method, {"messages": [SAY] * 26, "label": "L"})
        refused(answer, 400, "INVALID_INPUT", "messages")
        self.check_nothing_stored(api, method)

    @pytest.mark.parametrize("missing", ["role", "content"])
    @pytest.mark.parametrize("form", ["message", "messages"])
    def test_a_message_needs_role_and_content(
        self, api: httpx.Client, method: str, form: str, missing: str
    ) -> None:
        """Contract 5.1: MISSING_PARAMETER, and nothing at all is stored."""
        bad = {name: value for name, value in SAY.items() if name != missing}
        body = {form: bad if form == "message" else [SAY, bad], "label": "L"}
        error = refused(self.send(api, method, body), 400, "MISSING_PARAMETER")
        (field,) = [detail["field"] for detail in error["details"]]
        assert field in (
            [f"messages[1].{missing}"] if form == "messages" else [f"message.{missing}", missing]
        )
        self.check_nothing_stored(api, method)


def test_an_unknown_parent_is_not_found(api: httpx.Client) -> None:
    """Contract 5.1: 404 DIALOGUE_NOT_FOUND with the detail field threadOf."""
    answer = api.post("/dialogue", json={"id": "t", "threadOf": "nobody"})
    assert refused(answer, 404, "DIALOGUE_NOT_FOUND", "threadOf")["type"] == "not_found"
    refused(api.get("/dialogue/t"), 404, "DIALOGUE_NOT_FOUND")


@pytest.mark.parametrize(("up", "down"), [("", "shop"), ("shop", ""), ("shop", "other")])
def test_a_parent_in_another_namespace_is_not_found(api: httpx.Client, up: str, down: str) -> None:
    """Contract 5.1 and 3.3: parent and thread share the namespace."""
    made(api.post("/dialogue", json={"id": "up", "namespace": up}))
    answer = api.post("/dialogue", json={"threadOf": "up", "namespace": down})
    refused(answer, 404, "DIALOGUE_NOT_FOUND", "threadOf")


def test_a_parent_of_another_project_is_not_found(
    world: httpx.Client, other_api: httpx.Client
) -> None:
    """Contract 5.1 and 2: the parent must be in the same project."""
    answer = other_api.post("/dialogue", json={"threadOf": "d"})
    refused(answer, 404, "DIALOGUE_NOT_FOUND", "threadOf")


def test_a_thread_counts_in_its_parent_and_leaves_its_modified(world: httpx.Client) -> None:
    """Contract 5.1 and 7.3: threadCount + 1; the parent is not otherwise changed."""
    before = dialogue(world)
    later(world, before["modified"])
    thread = made(world.post("/dialogue", json={"threadOf": "d", "messages": [SAY]}))
    assert (thread["threadOf"], thread["totalMessages"]) == ("d", 1)
    assert dialogue(world) == before | {"threadCount": 1}


def test_the_last_message_is_the_one_with_the_greatest_time(api: httpx.Client) -> None:
    """Contract 5.1: lastMessageCreated is the greatest `created`, not the last of the array."""
    times = ["2025-01-02T00:00:00.000Z", "2025-01-03T00:00:00.000Z", "2025-01-01T00:00:00.000Z"]
    body = {"messages": [SAY | {"created": created} for created in times]}
    assert made(api.post("/dialogue", json=body))["lastMessageCreated"] == max(times)


# 5.2 GET /dialogue and 5.3 GET /dialogue/{id}


def test_threads_are_listed_by_their_parent(world: httpx.Client) -> None:
    """Contract 5.2 and 7.5: only direct children; without threadOf roots and threads alike."""
    for own_id, parent in (("t1", "d"), ("t2", "d"), ("t3", "t1")):
        made(world.post("/dialogue", json={"id": own_id, "threadOf": parent}))
    listed = {
        parent: [row["id"] for row in made(world.get("/dialogue", params=query))["items"]]
        for parent, query in (("d", {"threadOf": "d"}), ("t1", {"threadOf": "t1"}), ("", {}))
    }
    assert listed == {"d": ["t2", "t1"], "t1": ["t3"], "": ["t3", "t2", "t1", "d"]}


def test_query_is_ignored_in_the_list_of_dialogues(world: httpx.Client) -> None:
    """Contract 5.2: the oldest client sends query=threads."""
    assert len(made(world.get("/dialogue", params={"query": "threads"}))["items"]) == 1


def test_an_unknown_dialogue_is_not_found(world: httpx.Client, other_api: httpx.Client) -> None:
    """Contract 5.3 and 10.2: DIALOGUE_NOT_FOUND, type not_found, one detail on id."""
    for answer in (world.get("/dialogue/nobody"), other_api.get("/dialogue/d")):
        error = refused(answer, 404, "DIALOGUE_NOT_FOUND", "id")
        assert error["type"] == "not_found"
        assert error["details"][0]["code"] == "NOT_FOUND"


# 5.4 PUT /dialogue/{id}


@pytest.mark.parametrize(
    ("field", "value"), [("label", "New"), ("tags", ["b", "a"]), ("state", {"b": {"c": 2}})]
)
def test_an_update_replaces_a_field_and_moves_modified(
    api: httpx.Client, field: str, value: Any
) -> None:
    """Contract 5.4: label, tags and the whole state are replaced; the rest stays."""
    body = {"id": "d", "label": "Old", "tags": ["x"], "state": {"a": 1, "b": {"d": 0}}}
    before = made(api.post("/dialogue", json=body))
    later(api, before["modified"])
    after = made(api.put("/dialogue/d", json={field: value}))
    assert (after["label"], after["tags"], after["state"]) == tuple(
        (before | {field: value})[name] for name in ("label", "tags", "state")
    )
    assert after["modified"] > before["modified"]
    assert {**after, "messages": []} == dialogue(api)


@pytest.mark.parametrize("label", [None, ""])
def test_null_or_an_empty_text_clears_the_label(api: httpx.Client, label: Any) -> None:
    """Contract 5.4: the label is then omitted."""
    made(api.post("/dialogue", json={"id": "d", "label": "Old"}))
    assert "label" not in made(api.put("/dialogue/d", json={"label": label}))
    assert "label" not in dialogue(api)


@pytest.mark.parametrize("field", ["tags", "state", "message", "messages"])
def test_null_for_another_field_is_refused(world: httpx.Client, field: str) -> None:
    """Contract 5.4: only the label may be null."""
    before = dialogue(world)
    answer = world.put("/dialogue/d", json={field: None, "label": "L"})
    assert answer.status_code == 400, answer.text
    assert [detail["field"] for detail in answer.json()["error"]["details"]] == [field]
    assert dialogue(world) == before


@pytest.mark.parametrize("form", ["message", "messages"])
def test_an_update_appends_messages(world: httpx.Client, form: str) -> None:
    """Contract 5.4: message or messages, counted, with the dialogue's modified moved."""
    before = dialogue(world)
    later(world, before["modified"])
    new = SAY | {"content": "new"}
    after = made(world.put("/dialogue/d", json={form: new if form == "message" else [new]}))
    assert (texts(after["messages"]), after["totalMessages"]) == (["new"], 2)
    assert after["modified"] > before["modified"]
    assert after["lastMessageCreated"] == after["messages"][0]["created"]
    assert texts(dialogue(world)["messages"]) == ["hello", "new"]


@pytest.mark.parametrize("body", [{}, {"id": "d"}, {"metadata": {"k": 1, "j": "x"}}])
def test_an_update_of_nothing_changes_nothing(api: httpx.Client, body: Any) -> None:
    """Contract 5.4: 200 with the dialogue as it was, modified untouched."""
    fields = {"metadata": {"j": "x", "k": 1}, "tags": ["a"], "state": {"s": 1}, "label": "L"}
    before = made(api.post("/dialogue", json={"id": "d"} | fields))
    later(api, before["modified"])
    assert made(api.put("/dialogue/d", json=body)) | {"messages": []} == before
    assert dialogue(api) == before


def test_another_id_in_the_body_is_refused(world: httpx.Client) -> None:
    """Contract 5.4: id must match the path or be absent."""
    answer = world.put("/dialogue/d", json={"id": "e", "label": "L"})
    refused(answer, 400, "INVALID_PARAMETER", "id")


@pytest.mark.parametrize(
    ("field", "same", "other"),
    [
        ("metadata", {"k": True}, {"k": 1}),
        ("metadata", {"k": True}, {}),
        ("threadOf", "up", "d"),
        ("created", "2025-01-15T00:00:00.000Z", "2025-01-15T00:00:00.001Z"),
    ],
)
def test_immutable_fields_of_a_dialogue(
    api: httpx.Client, field: str, same: Any, other: Any
) -> None:
    """Contract 5.4: the same value is ignored, another one is 409 IMMUTABLE_FIELD."""
    made(api.post("/dialogue", json={"id": "up"}))
    made(api.post("/dialogue", json={"id": "d", "threadOf": "up", field: same}))
    assert made(api.put("/dialogue/d", json={field: same, "label": "L"}))["label"] == "L"
    error = refused(
        api.put("/dialogue/d", json={field: other, "label": "M"}), 409, "IMMUTABLE_FIELD", field
    )
    assert (error["type"], error["details"][0]["code"]) == ("conflict", "IMMUTABLE")
    assert dialogue(api)["label"] == "L"


def test_a_root_cannot_become_a_thread(world: httpx.Client) -> None:
    """Contract 5.4: threadOf on a root differs from its absence."""
    made(world.post("/dialogue", json={"id": "up"}))
    refused(world.put("/dialogue/d", json={"threadOf": "up"}), 409, "IMMUTABLE_FIELD", "threadOf")


@pytest.mark.parametrize("body", [{}, {"label": "L"}, {"message": SAY}])
def test_an_update_of_an_unknown_dialogue_is_not_found(api: httpx.Client, body: Any) -> None:
    """Contract 5.4 and 5.3: also when there is nothing to change."""
    refused(api.put("/dialogue/nobody", json=body), 404, "DIALOGUE_NOT_FOUND", "id")


# 5.5 DELETE, 5.6 actions


def test_a_deleted_dialogue_is_gone(world: httpx.Client) -> None:
    """Contract 5.5: from get and list, and a second delete finds nothing."""
    made(world.delete("/dialogue/d"))
    assert made(world.get("/dialogue"))["items"] == []
    for answer in (world.get("/dialogue/d"), world.delete("/dialogue/d")):
        refused(answer, 404, "DIALOGUE_NOT_FOUND", "id")


def test_an_ended_dialogue_refuses_messages_on_every_way(world: httpx.Client) -> None:
    """Contract 5.4, 5.8 and 7.2: 409 DIALOGUE_ENDED, type conflict, nothing stored."""
    made(world.post("/dialogue/d/end"))
    answers = [world.post(path, json=SAY) for path in APPEND_ONE]
    answers += [world.post(path, json=[SAY]) for path in APPEND_MANY]
    answers += [world.put("/dialogue/d", json={"message": SAY, "label": "L"})]
    for answer in answers:
        assert refused(answer, 409, "DIALOGUE_ENDED")["type"] == "conflict"
    assert dialogue(world)["totalMessages"] == 1
    assert "label" not in dialogue(world)


def test_an_archived_dialogue_refuses_messages(world: httpx.Client) -> None:
    """Contract 7.1 and 7.2: only active dialogues take messages."""
    assert made(world.post("/dialogue/d/archive"))["status"] == "archived"
    refused(world.post("/dialogue/d/messages", json=SAY), 409, "DIALOGUE_ENDED")


def test_an_ended_dialogue_can_be_updated(world: httpx.Client) -> None:
    """Contract 5.4, 5.7, 5.13 and 7.2: label, tags, state, threads and deletes still work."""
    made(world.post("/dialogue/d/end"))
    made(world.put("/dialogue/d", json={"label": "L", "tags": ["t"], "state": {"a": 1}}))
    assert made(world.put("/dialogue/d/state", json={"b": 2})) == {"a": 1, "b": 2}
    made(world.put("/message/m", json={"tags": ["t"]}))
    made(world.post("/dialogue", json={"threadOf": "d"}))
    made(world.delete("/message/m"))
    row = dialogue(world)
    assert (row["label"], row["tags"], row["status"]) == ("L", ["t"], "ended")
    assert (row["totalMessages"], row["threadCount"]) == (0, 1)


def test_ending_moves_modified_and_a_second_end_changes_nothing(world: httpx.Client) -> None:
    """Contract 5.6: endedAt keeps its first value."""
    before = dialogue(world)
    later(world, before["modified"])
    ended = made(world.post("/dialogue/d/end"))
    assert ended["endedAt"] == ended["modified"] > before["modified"]
    assert ended["messages"] == before["messages"]
    later(world, ended["endedAt"])
    assert [made(world.request(*way)) for way in ENDINGS] == [ended, ended]


@pytest.mark.parametrize("action", ["fly", "End", "ends", "null"])
def test_an_unknown_action_is_refused(world: httpx.Client, action: str) -> None:
    """Contract 5.6: INVALID_PARAMETER, field action."""
    refused(world.post(f"/dialogue/d/{action}"), 400, "INVALID_PARAMETER", "action")


# 5.7 PUT /dialogue/{id}/state


def test_state_is_merged_shallowly(api: httpx.Client) -> None:
    """Contract 5.7: listed keys are set, others kept, null is stored, modified moves."""
    state = {"keep": 1, "deep": {"a": 1}, "gone": 1}
    before = made(api.post("/dialogue", json={"id": "d", "state": state}))
    later(api, before["modified"])
    merged = {"keep": 1, "deep": {"b": 2}, "gone": None, "new": []}
    patch = {"deep": {"b": 2}, "gone": None, "new": []}
    assert made(api.put("/dialogue/d/state", json=patch)) == merged
    assert dialogue(api)["state"] == merged
    assert dialogue(api)["modified"] > before["modified"]


def test_names_of_fields_are_data_in_a_patch_of_state(world: httpx.Client) -> None:
    """Contract 5.7: the body is the patch, whatever its keys are called."""
    patch = {"namespace": "x", "id": "e", "dialogueId": "e", "state": {}, "tags": 1, "message": 0}
    assert made(world.put("/dialogue/d/state", json=patch)) == patch


def test_the_state_of_an_unknown_dialogue_is_not_found(api: httpx.Client) -> None:
    """Contract 5.7: 404 DIALOGUE_NOT_FOUND."""
    refused(api.put("/dialogue/nobody/state", json={"a": 1}), 404, "DIALOGUE_NOT_FOUND", "id")
