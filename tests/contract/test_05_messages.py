"""Contract 5.8-5.13: appending, reading, tagging and deleting messages."""

from collections.abc import Callable
from typing import Any

import httpx
import pytest

from harness import Server

SAY = {"role": "user", "content": "hello"}
APPEND_MANY = ["/messages?dialogueId=d", "/dialogue/d/messages"]


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


# 5.8 and 5.9 appending


def test_a_message_changes_its_dialogue(world: httpx.Client) -> None:
    """Contract 5.8: totalMessages + 1, lastMessageCreated the maximum, modified now."""
    before = dialogue(world)
    later(world, before["modified"])
    made(world.post("/message?dialogueId=d", json=SAY | {"created": "2001-01-01"}))
    middle = dialogue(world)
    assert (middle["totalMessages"], middle["lastMessageCreated"]) == (
        2,
        before["lastMessageCreated"],
    )
    assert middle["modified"] > before["modified"]
    new = made(world.post("/message?dialogueId=d", json=SAY))
    assert dialogue(world)["lastMessageCreated"] == new["created"]


@pytest.mark.parametrize(
    ("body", "missing"),
    [
        ({"dialogueId": "d", "content": "x"}, ["role"]),
        ({"dialogueId": "d", "role": "user"}, ["content"]),
        (SAY, ["dialogueId"]),
        ({"dialogueId": "d"}, ["role", "content"]),
        ({"role": "user"}, ["dialogueId", "content"]),
    ],
)
def test_a_message_needs_dialogue_role_and_content(
    world: httpx.Client, body: Any, missing: list[str]
) -> None:
    """Contract 5.8: MISSING_PARAMETER with one detail per field."""
    refused(world.post("/message", json=body), 400, "MISSING_PARAMETER", *missing)
    assert dialogue(world)["totalMessages"] == 1


@pytest.mark.parametrize(
    "path",
    ["/messages?dialogueId=no", "/dialogue/no/messages", "/dialogue/no/message"],
)
def test_messages_of_an_unknown_dialogue_are_not_found(world: httpx.Client, path: str) -> None:
    """Contract 5.8 and 5.10: 404 DIALOGUE_NOT_FOUND."""
    refused(world.post(path, json=SAY), 404, "DIALOGUE_NOT_FOUND")
    refused(world.get(path), 404, "DIALOGUE_NOT_FOUND")


def test_a_message_for_an_unknown_dialogue_is_not_found(world: httpx.Client) -> None:
    """Contract 5.8: also on the flat route, with the dialogue in the body."""
    answer = world.post("/message", json=SAY | {"dialogueId": "no"})
    refused(answer, 404, "DIALOGUE_NOT_FOUND")


@pytest.mark.parametrize("path", APPEND_MANY)
@pytest.mark.parametrize(
    ("batch", "code", "fields"),
    [
        ([], "MISSING_PARAMETER", ["messages"]),
        ([SAY] * 26, "INVALID_INPUT", ["messages"]),
        ([SAY, {"role": "user"}], "MISSING_PARAMETER", ["messages[1].content"]),
        ([SAY, SAY, {"content": "x"}], "MISSING_PARAMETER", ["messages[2].role"]),
        ([SAY, {}], "MISSING_PARAMETER", ["messages[1].role", "messages[1].content"]),
        ([SAY | {"content": 1}], "INVALID_INPUT", ["messages[0].content"]),
        ([SAY, SAY | {"name": 1}], "INVALID_INPUT", ["messages[1].name"]),
        (
            [{"role": 1, "content": 1}, SAY],
            "INVALID_INPUT",
            ["messages[0].role", "messages[0].content"],
        ),
        ([{"role": 1}], "VALIDATION_ERROR", ["messages[0].role", "messages[0].content"]),
        ([SAY, 7], "INVALID_INPUT", ["messages[1]"]),
    ],
)
def test_a_bad_batch_is_refused_as_a_whole(
    world: httpx.Client, path: str, batch: Any, code: str, fields: list[str]
) -> None:
    """Contract 5.9: errors name the element, the text begins with it, nothing is stored."""
    error = refused(world.post(path, json=batch), 400, code, *fields)
    if len(fields) == 1 and "[" in fields[0]:
        assert error["message"].startswith(fields[0].partition(".")[0] + ": ")
    assert dialogue(world)["totalMessages"] == 1


def test_a_batch_of_25_is_accepted_in_order(world: httpx.Client) -> None:
    """Contract 5.9: 1-25 messages, answered in the order of the input."""
    batch = [SAY | {"content": str(n)} for n in range(25)]
    assert texts(made(world.post("/messages?dialogueId=d", json=batch))) == texts(batch)


def test_a_batch_needs_a_dialogue(world: httpx.Client) -> None:
    """Contract 5.9 and 5.10: without dialogueId MISSING_PARAMETER."""
    for answer in (world.post("/messages", json=[SAY]), world.get("/messages")):
        refused(answer, 400, "MISSING_PARAMETER", "dialogueId")


def test_the_largest_batch_is_one_setting(serve: Callable[..., Server]) -> None:
    """Contract 5.9: max_batch_messages rules batches, creates and updates."""
    with serve(env={"DIALOGUEDB_MAX_BATCH_MESSAGES": "2"}).client() as api:
        made(api.post("/dialogue", json={"id": "d", "messages": [SAY] * 2}))
        for answer in (
            api.post("/dialogue", json={"messages": [SAY] * 3}),
            api.put("/dialogue/d", json={"messages": [SAY] * 3}),
            api.post("/messages?dialogueId=d", json=[SAY] * 3),
        ):
            refused(answer, 400, "INVALID_INPUT", "messages")


# 5.11-5.13 one message


@pytest.mark.parametrize(
    ("method", "body"), [("GET", None), ("PUT", {"tags": ["t"]}), ("DELETE", None)]
)
@pytest.mark.parametrize(
    "path",
    [
        "/message/no",
        "/dialogue/d/message/no",
        "/message/m?dialogueId=e",
        "/dialogue/e/messages/m",
        "/messages/m?dialogueId=no",
        "/dialogue/no/message/m",
    ],
)
def test_a_message_must_belong_to_the_dialogue(
    world: httpx.Client, method: str, body: Any, path: str
) -> None:
    """Contract 5.11: MESSAGE_NOT_FOUND, also when the dialogue is unknown too."""
    made(world.post("/dialogue", json={"id": "e"}))
    error = refused(world.request(method, path, json=body), 404, "MESSAGE_NOT_FOUND")
    assert error["type"] == "not_found"
    assert made(world.get("/message/m"))["tags"] == []


def test_new_tags_move_the_modified_of_the_message_only(world: httpx.Client) -> None:
    """Contract 5.12: tags replace; the dialogue's modified stays."""
    before, home = made(world.get("/message/m")), dialogue(world)
    later(world, home["modified"])
    after = made(world.put("/message/m", json={"tags": ["seen"]}))
    assert after["modified"] > before["modified"]
    assert after == before | {"tags": ["seen"], "modified": after["modified"]}
    assert dialogue(world) == home | {"messages": [after]}


def test_an_update_without_tags_changes_nothing(world: httpx.Client) -> None:
    """Contract 5.12: {} and fields with their stored value are 200."""
    before = made(world.get("/message/m"))
    later(world, before["modified"])
    for body in ({}, SAY, {"id": "m", "dialogueId": "d"}, {"metadata": {}}):
        assert made(world.put("/message/m", json=body)) == before


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("id", "n"),
        ("role", "tool"),
        ("content", "other"),
        ("content", [{"type": "text"}]),
        ("name", "Ann"),
        ("metadata", {"k": 1}),
        ("created", "2025-01-01T00:00:00.000Z"),
    ],
)
def test_immutable_fields_of_a_message(world: httpx.Client, field: str, value: Any) -> None:
    """Contract 5.12: another value is 409 IMMUTABLE_FIELD, and the tags stay too."""
    answer = world.put("/message/m", json={"tags": ["new"], field: value})
    error = refused(answer, 409, "IMMUTABLE_FIELD", field)
    assert error["details"][0]["code"] == "IMMUTABLE"
    assert made(world.get("/message/m"))["tags"] == []


def test_deleting_messages_recounts_the_dialogue(world: httpx.Client) -> None:
    """Contract 5.13: totalMessages - 1, lastMessageCreated recomputed, modified now."""
    later(world, dialogue(world)["modified"])
    made(world.post("/dialogue/d/message", json=SAY | {"id": "n"}))
    before = dialogue(world)
    later(world, before["modified"])
    made(world.delete("/message/n"))
    after = dialogue(world)
    assert (after["totalMessages"], texts(after["messages"])) == (1, ["hello"])
    assert after["lastMessageCreated"] == after["messages"][0]["created"]
    assert after["modified"] > before["modified"]
    refused(world.delete("/message/n"), 404, "MESSAGE_NOT_FOUND")


def test_a_deleted_message_frees_its_id(world: httpx.Client) -> None:
    """Contract 3.1 and 5.13: the id may be taken again, by any dialogue."""
    made(world.delete("/message/m"))
    body = {"id": "e", "message": SAY | {"id": "m"}}
    assert made(world.post("/dialogue", json=body))["messages"][0]["dialogueId"] == "e"
