"""The life of a dialogue: ending, counting, deletion, threads (contract 7)."""

import re
import time
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

DIALOGUE = "d-life"
SAID = {"role": "user", "content": "one turn"}
STAMP = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z"
namespaces = pytest.mark.parametrize("namespace", ["", "tenant-1"], ids=["default", "tenant-1"])


def code(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["error"]["code"]


def at(path: str, namespace: str) -> str:
    """The path with the namespace in its query."""
    if not namespace:
        return path
    return f"{path}{'&' if '?' in path else '?'}namespace={namespace}"


def make(api: httpx.Client, namespace: str = "", **more: Any) -> dict[str, Any]:
    answer = api.post(at("/dialogue", namespace), json={"id": DIALOGUE} | more)
    return answer.raise_for_status().json()


def say(api: httpx.Client, **more: Any) -> dict[str, Any]:
    answer = api.post(f"/message?dialogueId={DIALOGUE}", json=SAID | more)
    return answer.raise_for_status().json()


def read(api: httpx.Client, dialogue: str = DIALOGUE) -> dict[str, Any]:
    return api.get(f"/dialogue/{dialogue}").raise_for_status().json()


def end(api: httpx.Client) -> dict[str, Any]:
    return api.post(f"/dialogue/{DIALOGUE}/end", json={}).raise_for_status().json()


def pass_by(stamp: str) -> None:
    """Wait until the clock shows a later millisecond than the stamp."""
    deadline = time.monotonic() + 5
    while datetime.now(UTC).isoformat(timespec="milliseconds") <= stamp.replace("Z", "+00:00"):
        assert time.monotonic() < deadline, "the server's clock is ahead"


# Status


def test_a_new_dialogue_is_active(api: httpx.Client) -> None:
    """Contract 7.1: the life begins as `active`, without `endedAt` and `archivedAt`."""
    made = make(api)
    assert (made["status"], "endedAt" in made, "archivedAt" in made) == ("active", False, False)


@pytest.mark.parametrize(
    ("method", "body"), [("POST", {}), ("POST", None), ("PUT", {}), ("PUT", None)], ids=repr
)
@pytest.mark.parametrize("prefix", ["", "/api/v1"], ids=["bare", "v1"])
def test_ending_leads_to_ended(api: httpx.Client, prefix: str, method: str, body: Any) -> None:
    """Contract 5.6, 7.1: `end` by POST or PUT, with an empty body or none."""
    make(api)
    answer = api.request(method, f"{prefix}/dialogue/{DIALOGUE}/end", json=body).json()
    assert answer["status"] == "ended"
    assert re.fullmatch(STAMP, answer["endedAt"])
    assert (read(api)["status"], read(api)["endedAt"]) == ("ended", answer["endedAt"])


def test_ending_twice_changes_nothing(api: httpx.Client) -> None:
    """Contract 5.6: on an ended dialogue `end` answers 200, and everything stays."""
    make(api, message=SAID)
    first = end(api)
    pass_by(first["modified"])
    assert end(api) == first


@pytest.mark.parametrize("count", [0, 3, 12])
def test_ending_answers_the_first_messages(api: httpx.Client, count: int) -> None:
    """Contract 5.6: the answer of `end` carries up to ten messages, as a read does."""
    make(api, messages=[{"role": "user", "content": f"{n}"} for n in range(count)])
    answered = [message["content"] for message in end(api)["messages"]]
    assert answered == [f"{n}" for n in range(min(count, 10))]


def test_ending_a_missing_dialogue_is_not_found(api: httpx.Client) -> None:
    """Contract 5.6: there is nothing to end."""
    assert code(api.post(f"/dialogue/{DIALOGUE}/end")) == (404, "DIALOGUE_NOT_FOUND")


WAYS = {
    "message by query": ("POST", f"/message?dialogueId={DIALOGUE}", SAID),
    "message by body": ("POST", "/message", SAID | {"dialogueId": DIALOGUE}),
    "message by path": ("POST", f"/dialogue/{DIALOGUE}/message", SAID),
    "object to messages": ("POST", f"/dialogue/{DIALOGUE}/messages", SAID),
    "array to messages": ("POST", f"/dialogue/{DIALOGUE}/messages", [SAID]),
    "batch": ("POST", f"/messages?dialogueId={DIALOGUE}", [SAID, SAID]),
    "batch object": ("POST", "/messages", {"dialogueId": DIALOGUE, "messages": [SAID]}),
    "update with one": ("PUT", f"/dialogue/{DIALOGUE}", {"message": SAID}),
    "update with many": ("PUT", f"/dialogue/{DIALOGUE}", {"messages": [SAID], "label": "x"}),
}
ways = pytest.mark.parametrize(("method", "path", "body"), WAYS.values(), ids=WAYS)


@ways
@pytest.mark.parametrize("action", ["end", "archive"])
def test_an_ended_dialogue_takes_no_message(
    api: httpx.Client, action: str, method: str, path: str, body: Any
) -> None:
    """Contract 7.2: a new message answers 409 `DIALOGUE_ENDED`; nothing of it is stored."""
    make(api, message=SAID)
    api.post(f"/dialogue/{DIALOGUE}/{action}").raise_for_status()
    before = read(api)
    answer = api.request(method, path, json=body)
    assert code(answer) == (409, "DIALOGUE_ENDED")
    assert answer.json()["error"]["type"] == "conflict"
    assert read(api) == before


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("PUT", f"/dialogue/{DIALOGUE}/state", {"after": True}),
        ("PUT", f"/dialogue/{DIALOGUE}", {"state": {"after": True}}),
        ("PUT", f"/dialogue/{DIALOGUE}", {"tags": ["after"]}),
        ("PUT", f"/dialogue/{DIALOGUE}", {"label": "after"}),
        ("POST", "/dialogue", {"threadOf": DIALOGUE, "message": SAID}),
        ("PUT", "/message/m-1", {"tags": ["after"]}),
        ("DELETE", "/message/m-1", None),
        ("GET", f"/dialogue/{DIALOGUE}", None),
        ("GET", f"/dialogue/{DIALOGUE}/messages", None),
        ("DELETE", f"/dialogue/{DIALOGUE}", None),
    ],
)
def test_an_ended_dialogue_still_allows_the_rest(
    api: httpx.Client, method: str, path: str, body: Any
) -> None:
    """Contract 7.2, 5.13: state, tags, label, threads, reads and deletions go on."""
    make(api, message=SAID | {"id": "m-1"})
    end(api)
    assert api.request(method, path, json=body).status_code == 200


@pytest.mark.parametrize("body", [{"state": {"a": 1}}, {"label": "x"}, {"tags": []}], ids=str)
def test_an_update_does_not_reopen(api: httpx.Client, body: Any) -> None:
    """Contract 7.2: an ended dialogue stays ended."""
    make(api)
    ended = end(api)
    answer = api.put(f"/dialogue/{DIALOGUE}", json=body).json()
    assert (answer["status"], answer["endedAt"]) == ("ended", ended["endedAt"])


def test_an_ended_parent_does_not_end_its_threads(api: httpx.Client) -> None:
    """Contract 7.5: a thread is a complete dialogue with a life of its own."""
    make(api)
    thread = api.post("/dialogue", json={"threadOf": DIALOGUE}).json()["id"]
    end(api)
    assert api.post(f"/message?dialogueId={thread}", json=SAID).status_code == 200


# Counters and times


@ways
def test_messages_are_counted(api: httpx.Client, method: str, path: str, body: Any) -> None:
    """Contract 7.3: `totalMessages` grows by the messages made, by whatever route."""
    make(api, messages=[SAID, SAID])
    api.request(method, path, json=body).raise_for_status()
    listed = api.get(f"/messages?dialogueId={DIALOGUE}").json()["items"]
    assert read(api)["totalMessages"] == len(listed) == (4 if body == [SAID, SAID] else 3)


@ways
def test_a_message_modifies_its_dialogue(
    api: httpx.Client, method: str, path: str, body: Any
) -> None:
    """Contract 5.8, 7.3: a new message sets the dialogue's `modified`."""
    before = make(api)["modified"]
    pass_by(before)
    api.request(method, path, json=body).raise_for_status()
    assert read(api)["modified"] > before


def test_a_refused_batch_counts_nothing(api: httpx.Client) -> None:
    """Contract 5.9, 7.3: all or nothing, the counter included."""
    before = make(api, message=SAID)
    batch = [SAID, {"role": "user"}]
    assert api.post(f"/messages?dialogueId={DIALOGUE}", json=batch).status_code == 400
    after = read(api)
    assert (after["totalMessages"], after["modified"]) == (1, before["modified"])


def test_a_deleted_message_is_no_longer_counted(api: httpx.Client) -> None:
    """Contract 5.13, 7.3: the count falls by one and `modified` is set."""
    made = make(api, messages=[SAID | {"id": "m-1"}, SAID])
    pass_by(made["modified"])
    api.delete("/message/m-1").raise_for_status()
    after = read(api)
    assert after["totalMessages"] == 1
    assert after["modified"] > made["modified"]


def test_a_deletion_that_finds_nothing_counts_nothing(api: httpx.Client) -> None:
    """Contract 7.3: only a message that was there is taken off."""
    make(api, message=SAID | {"id": "m-1"})
    api.delete("/message/m-1").raise_for_status()
    assert code(api.delete("/message/m-1")) == (404, "MESSAGE_NOT_FOUND")
    assert read(api)["totalMessages"] == 0


def test_without_messages_there_is_no_last_message(api: httpx.Client) -> None:
    """Contract 4.1: `lastMessageCreated` is there once there has been a message."""
    assert "lastMessageCreated" not in make(api)


@pytest.mark.parametrize(
    ("times", "last"),
    [
        (["2026-01-03"], "2026-01-03T00:00:00.000Z"),
        (["2026-01-03", "2026-01-05"], "2026-01-05T00:00:00.000Z"),
        (["2026-01-05", "2026-01-03"], "2026-01-05T00:00:00.000Z"),
        (["2099-12-31", "2026-01-03"], "2099-12-31T00:00:00.000Z"),
    ],
    ids=str,
)
@pytest.mark.parametrize("batch", [True, False], ids=["batch", "single"])
def test_the_last_message_is_the_latest_created(
    api: httpx.Client, times: list[str], last: str, batch: bool
) -> None:
    """Contract 5.1, 5.8: `lastMessageCreated` is the greatest `created`, not the last written."""
    messages = [SAID | {"created": stamp} for stamp in times]
    make(api, messages=messages if batch else [])
    for stamp in [] if batch else times:
        say(api, created=stamp)
    assert read(api)["lastMessageCreated"] == last


def test_the_last_message_is_recomputed_after_a_deletion(api: httpx.Client) -> None:
    """Contract 5.13: the latest of those that are left."""
    days = ["2026-01-03", "2026-01-05", "2026-01-04"]
    make(api, messages=[SAID | {"id": f"m-{day}", "created": day} for day in days])
    api.delete("/message/m-2026-01-05").raise_for_status()
    assert read(api)["lastMessageCreated"] == "2026-01-04T00:00:00.000Z"


def test_the_last_message_is_gone_with_the_last_message(api: httpx.Client) -> None:
    """Contract 5.13: `lastMessageCreated` is left out when no message is left."""
    make(api, message=SAID | {"id": "m-1"})
    api.delete("/message/m-1").raise_for_status()
    assert "lastMessageCreated" not in read(api)


@pytest.mark.parametrize("how", ["label", "tags", "state", "merge", "end", "archive"])
def test_a_change_modifies_the_dialogue(api: httpx.Client, how: str) -> None:
    """Contract 7.3: label, tags, state, ending and archiving set `modified`."""
    before = make(api)["modified"]
    pass_by(before)
    method, path, body = {
        "label": ("PUT", "", {"label": "x"}),
        "tags": ("PUT", "", {"tags": ["x"]}),
        "state": ("PUT", "", {"state": {"x": 1}}),
        "merge": ("PUT", "/state", {"x": 1}),
        "end": ("POST", "/end", None),
        "archive": ("POST", "/archive", None),
    }[how]
    api.request(method, f"/dialogue/{DIALOGUE}{path}", json=body).raise_for_status()
    assert read(api)["modified"] > before


@pytest.mark.parametrize("how", ["message tags", "thread", "thread deleted", "nothing", "read"])
def test_what_is_no_change_leaves_modified(api: httpx.Client, how: str) -> None:
    """Contract 7.3, 5.4, 5.12: neither message tags nor threads nor an empty update count."""
    before = make(api, message=SAID | {"id": "m-1"})["modified"]
    pass_by(before)
    if how == "thread deleted":
        api.post("/dialogue", json={"id": "t-1", "threadOf": DIALOGUE}).raise_for_status()
    method, path, body = {
        "message tags": ("PUT", "/message/m-1", {"tags": ["x"]}),
        "thread": ("POST", "/dialogue", {"threadOf": DIALOGUE}),
        "thread deleted": ("DELETE", "/dialogue/t-1", None),
        "nothing": ("PUT", f"/dialogue/{DIALOGUE}", {}),
        "read": ("GET", f"/dialogue/{DIALOGUE}", None),
    }[how]
    api.request(method, path, json=body).raise_for_status()
    assert read(api)["modified"] == before


@pytest.mark.parametrize("more", [{}, {"messages": [SAID]}, {"state": {"a": 1}}], ids=str)
def test_a_new_dialogue_is_modified_when_created(api: httpx.Client, more: Any) -> None:
    """Contract 7.3: on creation both times are equal."""
    made = make(api, **more)
    assert made["created"] == made["modified"]


def test_modified_is_server_time(api: httpx.Client) -> None:
    """Contract 3.2, 7.3: with a custom `created` in the past, `modified` is now."""
    made = make(api, created="2001-02-03")
    assert (made["created"], made["modified"] > "2025") == ("2001-02-03T00:00:00.000Z", True)


# Deletion


@pytest.mark.parametrize(
    ("path", "body"),
    [(f"/dialogue/{DIALOGUE}", None), ("/dialogue", {"id": DIALOGUE})],
    ids=["path", "body"],
)
def test_deleting_answers_success_and_the_id(api: httpx.Client, path: str, body: Any) -> None:
    """Contract 5.5: `{"success": true, "id": …}`."""
    make(api)
    assert api.request("DELETE", path, json=body).json() == {"success": True, "id": DIALOGUE}


@namespaces
@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", "", None),
        ("PUT", "", {"label": "x"}),
        ("PUT", "", {"message": SAID}),
        ("DELETE", "", None),
        ("PUT", "/state", {"x": 1}),
        ("GET", "/state", None),
        ("POST", "/end", {}),
        ("POST", "/reopen", {}),
        ("POST", "/messages", SAID),
        ("POST", "/messages", [SAID]),
        ("POST", "/message", SAID),
    ],
)
def test_a_deleted_dialogue_is_not_found(
    api: httpx.Client, namespace: str, method: str, path: str, body: Any
) -> None:
    """Contract 7.4: reading, updating, acting, state and new messages answer 404."""
    make(api, namespace, message=SAID, state={"a": 1})
    api.delete(at(f"/dialogue/{DIALOGUE}", namespace)).raise_for_status()
    answer = api.request(method, at(f"/dialogue/{DIALOGUE}{path}", namespace), json=body)
    assert code(answer) == (404, "DIALOGUE_NOT_FOUND")


@pytest.mark.parametrize("path", ["/dialogue", f"/dialogue?threadOf={DIALOGUE}"])
def test_a_deleted_dialogue_is_not_listed(api: httpx.Client, path: str) -> None:
    """Contract 7.4: deletion is permanent."""
    make(api)
    api.post("/dialogue", json={"id": "t-1", "threadOf": DIALOGUE}).raise_for_status()
    for dialogue in (DIALOGUE, "t-1"):
        api.delete(f"/dialogue/{dialogue}").raise_for_status()
    assert api.get(path).json()["items"] == []


@pytest.fixture
def orphaned(api: httpx.Client) -> httpx.Client:
    """A client of a project with two messages whose dialogue was deleted."""
    make(api, messages=[SAID | {"id": "m-1"}, SAID | {"id": "m-2"}], label="x", state={"a": 1})
    api.delete(f"/dialogue/{DIALOGUE}").raise_for_status()
    return api


@pytest.mark.parametrize(
    "path", [f"/messages?dialogueId={DIALOGUE}", f"/dialogue/{DIALOGUE}/messages"]
)
def test_orphaned_messages_are_listed(orphaned: httpx.Client, path: str) -> None:
    """Contract 7.4: the messages of a deleted dialogue remain accessible."""
    assert [row["id"] for row in orphaned.get(path).json()["items"]] == ["m-1", "m-2"]


def test_orphaned_messages_are_paged(orphaned: httpx.Client) -> None:
    """Contract 1.6, 7.4: their list has cursors as every list."""
    first = orphaned.get(f"/messages?dialogueId={DIALOGUE}&limit=1").json()
    second = orphaned.get(f"/messages?dialogueId={DIALOGUE}&next={first['next']}").json()
    assert [row["id"] for row in first["items"] + second["items"]] == ["m-1", "m-2"]


ORPHAN_PATHS = [
    "/message/m-1",
    f"/message/m-1?dialogueId={DIALOGUE}",
    f"/messages/m-1?dialogueId={DIALOGUE}",
    f"/dialogue/{DIALOGUE}/message/m-1",
    f"/dialogue/{DIALOGUE}/messages/m-1",
]


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
@pytest.mark.parametrize("path", ORPHAN_PATHS)
def test_an_orphaned_message_keeps_working(orphaned: httpx.Client, method: str, path: str) -> None:
    """Contract 7.4: an orphaned message can be read, tagged and deleted."""
    body = {"tags": ["kept"]} if method == "PUT" else None
    answer = orphaned.request(method, path, json=body)
    assert (answer.status_code, answer.json()["id"]) == (200, "m-1")
    assert answer.json()["dialogueId"] == DIALOGUE


def test_when_the_last_orphan_goes_the_list_is_not_found(orphaned: httpx.Client) -> None:
    """Contract 5.10: an unknown dialogue answers 404 unless orphaned messages exist."""
    for message in ("m-1", "m-2"):
        orphaned.delete(f"/message/{message}").raise_for_status()
    answer = orphaned.get(f"/messages?dialogueId={DIALOGUE}")
    assert code(answer) == (404, "DIALOGUE_NOT_FOUND")


def test_orphans_stay_within_their_namespace(api: httpx.Client) -> None:
    """Contract 3.3: orphaned messages keep their dialogue's namespace."""
    make(api, "tenant-1", message=SAID | {"id": "m-1"})
    api.delete(f"/dialogue/{DIALOGUE}?namespace=tenant-1").raise_for_status()
    assert api.get("/message/m-1?namespace=tenant-1").json()["namespace"] == "tenant-1"
    assert code(api.get("/message/m-1")) == (404, "MESSAGE_NOT_FOUND")
    assert code(api.get(f"/messages?dialogueId={DIALOGUE}")) == (404, "DIALOGUE_NOT_FOUND")


# Re-creation


def test_a_dialogue_made_again_takes_its_orphans_back(orphaned: httpx.Client) -> None:
    """Contract 7.4: they belong to it again, and count."""
    make(orphaned)
    again = read(orphaned)
    assert again["totalMessages"] == 2
    assert [message["id"] for message in again["messages"]] == ["m-1", "m-2"]


def test_a_dialogue_made_again_starts_afresh(orphaned: httpx.Client) -> None:
    """Contract 7.4: state and label of the deleted one are gone."""
    made = make(orphaned)
    assert (made["state"], "label" in made, made["status"]) == ({}, False, "active")


def test_a_dialogue_made_again_answers_only_its_new_messages(orphaned: httpx.Client) -> None:
    """Contract 4.1: `messages` on create are those of this call; all of them are counted."""
    made = make(orphaned, message=SAID | {"id": "m-3"})
    assert [message["id"] for message in made["messages"]] == ["m-3"]
    assert made["totalMessages"] == 3


def test_a_dialogue_made_again_goes_on_counting_sequence(orphaned: httpx.Client) -> None:
    """Contract 5.15, 7.4: a sequence number is never reused."""
    assert make(orphaned, message=SAID)["messages"][0]["sequence"] == 3


def test_sequence_goes_on_although_no_orphan_is_left(orphaned: httpx.Client) -> None:
    """Contract 5.15: also after the last message was deleted meanwhile."""
    for message in ("m-1", "m-2"):
        orphaned.delete(f"/message/{message}").raise_for_status()
    assert make(orphaned, message=SAID)["messages"][0]["sequence"] == 3


def test_a_dialogue_made_again_knows_its_last_message(api: httpx.Client) -> None:
    """Contract 7.4, 4.1: `lastMessageCreated` counts the messages taken back."""
    make(api, message=SAID | {"created": "2031-01-01"})
    api.delete(f"/dialogue/{DIALOGUE}").raise_for_status()
    assert make(api)["lastMessageCreated"] == "2031-01-01T00:00:00.000Z"


def test_an_orphan_keeps_its_id(orphaned: httpx.Client) -> None:
    """Contract 3.1: while it remains, its id stays taken for others."""
    orphaned.post("/dialogue", json={"id": "d-2"}).raise_for_status()
    answer = orphaned.post("/message?dialogueId=d-2", json=SAID | {"id": "m-1"})
    assert code(answer) == (400, "DUPLICATE_ID")


def test_a_dialogue_cannot_be_made_twice(api: httpx.Client) -> None:
    """Contract 3.1: without a deletion between, the id is taken."""
    make(api)
    assert code(api.post("/dialogue", json={"id": DIALOGUE})) == (400, "DUPLICATE_ID")


def test_a_dialogue_made_again_elsewhere_does_not_take_the_orphans(api: httpx.Client) -> None:
    """Contract 7.4: orphans belong to the dialogue of their own namespace."""
    make(api, "tenant-1", message=SAID)
    api.delete(f"/dialogue/{DIALOGUE}?namespace=tenant-1").raise_for_status()
    assert make(api, "tenant-2")["totalMessages"] == 0


# Threads


def thread(api: httpx.Client, name: str, parent: str = DIALOGUE, **more: Any) -> dict[str, Any]:
    body = {"id": name, "threadOf": parent} | more
    return api.post("/dialogue", json=body).raise_for_status().json()


def test_a_thread_is_a_complete_dialogue(api: httpx.Client) -> None:
    """Contract 7.5: with a parent, and messages, state and tags of its own."""
    make(api, state={"of": "parent"}, tags=["parent"], message=SAID)
    made = thread(api, "t-1", state={"of": "thread"}, messages=[SAID, SAID])
    assert (made["threadOf"], made["state"], made["tags"]) == (DIALOGUE, {"of": "thread"}, [])
    assert (made["totalMessages"], read(api)["totalMessages"]) == (2, 1)


def test_threads_are_counted(api: httpx.Client) -> None:
    """Contract 7.3: a thread adds one to its parent's `threadCount`, its deletion takes one."""
    make(api)
    counts = []
    for name in ("t-1", "t-2"):
        thread(api, name)
        counts.append(read(api)["threadCount"])
    api.delete("/dialogue/t-1").raise_for_status()
    assert [*counts, read(api)["threadCount"]] == [1, 2, 1]


def test_only_direct_threads_are_listed(api: httpx.Client) -> None:
    """Contract 7.5: threads of threads are allowed, and belong to their own parent."""
    make(api)
    thread(api, "t-1")
    thread(api, "t-1-1", "t-1")
    listed = {
        parent: [row["id"] for row in api.get(f"/dialogue?threadOf={parent}").json()["items"]]
        for parent in (DIALOGUE, "t-1", "t-1-1")
    }
    assert listed == {DIALOGUE: ["t-1"], "t-1": ["t-1-1"], "t-1-1": []}


def test_only_direct_threads_are_counted(api: httpx.Client) -> None:
    """Contract 4.1: `threadCount` is the number of child dialogues."""
    make(api)
    thread(api, "t-1")
    thread(api, "t-1-1", "t-1")
    assert [read(api, name)["threadCount"] for name in (DIALOGUE, "t-1", "t-1-1")] == [1, 1, 0]


def test_threads_outlive_their_parent(api: httpx.Client) -> None:
    """Contract 7.4: they stay, and their `threadOf` keeps the dead id."""
    make(api)
    thread(api, "t-1")
    api.delete(f"/dialogue/{DIALOGUE}").raise_for_status()
    assert read(api, "t-1")["threadOf"] == DIALOGUE
    listed = api.get(f"/dialogue?threadOf={DIALOGUE}").json()["items"]
    assert [row["id"] for row in listed] == ["t-1"]


def test_a_parent_made_again_counts_its_threads(api: httpx.Client) -> None:
    """Contract 4.1, 7.4: `threadCount` is the number of child dialogues, which stayed."""
    make(api)
    thread(api, "t-1")
    api.delete(f"/dialogue/{DIALOGUE}").raise_for_status()
    assert (make(api)["threadCount"], read(api)["threadCount"]) == (1, 1)


def test_a_thread_of_a_deleted_parent_can_be_deleted(api: httpx.Client) -> None:
    """Contract 7.4: there is no count left to keep."""
    make(api)
    thread(api, "t-1")
    for dialogue in (DIALOGUE, "t-1"):
        assert api.delete(f"/dialogue/{dialogue}").status_code == 200


@pytest.mark.parametrize("parent", ["none", "in-n1"])
def test_a_thread_needs_a_parent_in_its_namespace(api: httpx.Client, parent: str) -> None:
    """Contract 5.1: a parent that is missing here answers 404 with detail field `threadOf`."""
    api.post("/dialogue", json={"id": "in-n1", "namespace": "n1"}).raise_for_status()
    answer = api.post("/dialogue", json={"threadOf": parent})
    assert code(answer) == (404, "DIALOGUE_NOT_FOUND")
    assert [detail["field"] for detail in answer.json()["error"]["details"]] == ["threadOf"]


def test_a_refused_thread_is_not_counted(api: httpx.Client) -> None:
    """Contract 7.3: the parent counts only threads that were made."""
    make(api)
    assert api.post("/dialogue", json={"id": DIALOGUE, "threadOf": DIALOGUE}).is_error
    assert read(api)["threadCount"] == 0
