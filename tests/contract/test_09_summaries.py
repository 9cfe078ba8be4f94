"""Contract 9: summaries, made in the background by the server itself."""

import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from harness import Server, new_project

PREFIXES = ["", "/api/v1"]
SAID = [
    ("user", "Ada", "My bicycle has a bent wheel. Can you mend it by Friday?"),
    ("assistant", None, "Yes. A new rim costs 45 euros, and the work takes two hours."),
    ("user", "Ada", "Good, we agreed: 45 euros, ready on Friday at noon."),
]


def made(answer: httpx.Response, status: int = 200) -> Any:
    assert answer.status_code == status, answer.text
    return answer.json()


def refused(answer: httpx.Response, status: int, code: str, *fields: str) -> Any:
    assert answer.status_code == status, answer.text
    error = answer.json()["error"]
    assert error["code"] == code, error
    if fields:
        assert [detail.get("field") for detail in error["details"]] == list(fields), error
    return error


def ask(api: httpx.Client, **body: Any) -> Any:
    return made(api.post("/summary", json={"dialogueId": "d"} | body), 202)


def done(api: httpx.Client, summary: dict[str, Any], seconds: float = 20) -> Any:
    """Wait until a summary is not processing any more."""
    deadline = time.monotonic() + seconds
    while True:
        found = made(api.get(f"/summary/{summary['id']}"))
        if found["status"] != "processing":
            return found
        assert time.monotonic() < deadline, found
        time.sleep(0.01)


def say(api: httpx.Client, content: Any, **more: Any) -> Any:
    body = {"dialogueId": "d", "role": "user", "content": content} | more
    return made(api.post("/message", json=body))


@pytest.fixture
def talk(api: httpx.Client) -> httpx.Client:
    """A client of a project with the dialogue d, whose messages are m0, m1 and m2."""
    made(api.post("/dialogue", json={"id": "d"}))
    for number, (role, name, text) in enumerate(SAID):
        say(api, text, role=role, id=f"m{number}", **({"name": name} if name else {}))
    return api


@pytest.mark.parametrize("prefix", PREFIXES)
@pytest.mark.parametrize(
    "path", ["/summary", "/summaries", "/dialogue/d/compact", "/dialogue/d/summary"]
)
def test_a_dialogue_is_summarised(talk: httpx.Client, prefix: str, path: str) -> None:
    """Contract 9.1, 9.3: 202 and processing, then completed with all that it took."""
    body = {} if "dialogue" in path else {"dialogueId": "d"}
    begun = made(talk.post(prefix + path, json=body), 202)
    assert begun["status"] in ("processing", "completed")
    assert "content" not in begun
    summary = done(talk, begun)
    assert summary["status"] == "completed"
    assert "45 euros" in summary["content"]
    assert (summary["provider"], summary["model"]) == ("builtin", "extractive-1")
    first, last = (made(talk.get(f"/message/{one}"))["created"] for one in ("m0", "m2"))
    assert (summary["fromCreated"], summary["toCreated"]) == (first, last)
    assert (summary["messageCount"], summary["summarizedCount"], summary["skippedCount"]) == (
        3, 3, 0,
    )  # fmt: skip
    assert summary["contentTokenCount"] > 0
    assert summary["totalTokens"] > 0
    assert summary["chunks"] >= 1
    assert {name: count for name, count in summary.items() if name.startswith("llm")} == {
        "llmInputTokens": 0, "llmOutputTokens": 0, "llmTotalTokens": 0, "llmCallCount": 0,
    }  # fmt: skip
    assert summary["stale"] is False
    assert not {"error", "jobId", "template", "basedOn", "namespace"} & summary.keys()
    assert summary["projectId"] == made(talk.get("/dialogue/d"))["projectId"]


def test_the_messages_are_not_touched(talk: httpx.Client) -> None:
    """Contract 9.1: additive."""
    before = talk.get("/messages?dialogueId=d").content, talk.get("/dialogue/d").content
    done(talk, ask(talk))
    assert (talk.get("/messages?dialogueId=d").content, talk.get("/dialogue/d").content) == before


def test_old_actions_are_what_they_were(talk: httpx.Client) -> None:
    """Contract 5.6: `PUT` is the same, and another word is no action."""
    assert made(talk.put("/dialogue/d/compact", json={}), 202)["dialogueId"] == "d"
    refused(talk.post("/dialogue/d/compacted"), 400, "INVALID_PARAMETER", "action")


def test_own_id_tags_and_metadata_are_kept(talk: httpx.Client) -> None:
    """Contract 3.1, 4.4."""
    fields = {"id": "mine", "tags": ["a", "b"], "metadata": {"by": "cron", "n": 1}}
    begun = ask(talk, **fields)
    assert {name: begun[name] for name in fields} == fields
    assert {name: done(talk, begun)[name] for name in fields} == fields
    refused(
        talk.post("/summary", json={"dialogueId": "d", "id": "mine"}), 400, "DUPLICATE_ID", "id"
    )
    # Ids of different kinds never clash.
    assert ask(talk, id="d", incremental=False)["id"] == "d"


# ── ranges ───────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("start", "end", "count"), [("m0", "m2", 3), ("m1", None, 2), (None, "m1", 2), ("m1", "m1", 1)]
)
def test_a_range_has_both_its_ends(
    talk: httpx.Client, start: str | None, end: str | None, count: int
) -> None:
    """Contract 9.1: inclusive."""
    say(talk, "x", id="m3") if end else None
    body = {name: value for name, value in (("startId", start), ("endId", end)) if value}
    summary = done(talk, ask(talk, **body))
    assert summary["messageCount"] == count
    first = made(talk.get(f"/message/{start or 'm0'}"))["created"]
    last = made(talk.get(f"/message/{end or 'm2'}"))["created"]
    assert (summary["fromCreated"], summary["toCreated"]) == (first, last)


def test_what_comes_after_the_request_is_not_in_it(talk: httpx.Client) -> None:
    summary = ask(talk)
    say(talk, "And a new bell, please.", id="late")
    assert done(talk, summary)["messageCount"] == 3
    assert done(talk, summary)["stale"] is False


@pytest.mark.parametrize(
    ("body", "status", "code", "field"),
    [
        ({"dialogueId": "none"}, 404, "DIALOGUE_NOT_FOUND", "dialogueId"),
        ({"dialogueId": "d", "startId": "none"}, 404, "MESSAGE_NOT_FOUND", "startId"),
        ({"dialogueId": "d", "endId": "none"}, 404, "MESSAGE_NOT_FOUND", "endId"),
        ({"dialogueId": "d", "startId": "other"}, 404, "MESSAGE_NOT_FOUND", "startId"),
        ({"dialogueId": "d", "startId": "m2", "endId": "m0"}, 400, "INVALID_PARAMETER", "startId"),
        ({"dialogueId": "d", "template": "none"}, 400, "INVALID_PARAMETER", "template"),
        ({"dialogueId": "d", "incremental": "yes"}, 400, "INVALID_INPUT", "incremental"),
        ({"dialogueId": "d", "tags": [""]}, 400, "INVALID_INPUT", "tags[0]"),
        ({"dialogueId": "d", "metadata": {"a": None}}, 400, "INVALID_INPUT", "metadata.a"),
        ({}, 400, "MISSING_PARAMETER", "dialogueId"),
    ],
)
def test_bad_requests_are_refused_and_store_nothing(
    talk: httpx.Client, body: dict[str, Any], status: int, code: str, field: str
) -> None:
    """Contract 9.1."""
    message = {"role": "user", "content": "x", "id": "other"}
    made(talk.post("/dialogue", json={"id": "e", "message": message}))
    refused(talk.post("/summary", json=body), status, code, field)
    assert made(talk.get("/summary"))["items"] == []


def test_a_summary_that_was_read_can_be_sent_back_whole(talk: httpx.Client) -> None:
    """Contract 1.3: what answers carry is tolerated without effect."""
    read = done(talk, ask(talk, tags=["a"], metadata={"n": 1}))
    again = done(talk, made(talk.post("/summary", json=read | {"id": "again"}), 202))
    assert again["id"] == "again"
    assert (again["tags"], again["metadata"]) == (read["tags"], read["metadata"])


def test_an_unknown_field_is_named(talk: httpx.Client) -> None:
    answer = talk.post("/summary", json={"dialogueId": "d", "startid": "m0"})
    assert "startId" in refused(answer, 400, "INVALID_PARAMETER", "startid")["message"]


@pytest.mark.parametrize("said", [[], [[{"type": "image", "source": {"type": "url",
    "url": "https://example.com/a.png"}}]]])  # fmt: skip
def test_where_nothing_is_said_the_content_is_null(api: httpx.Client, said: list[Any]) -> None:
    """Contract 9.3: no messages, or only images."""
    made(api.post("/dialogue", json={"id": "d"}))
    for content in said:
        say(api, content)
    summary = done(api, ask(api))
    assert (summary["status"], summary["content"]) == ("completed", None)
    assert (summary["messageCount"], summary["skippedCount"]) == (len(said), len(said))
    assert ("fromCreated" in summary) == bool(said)


# ── building on an earlier one ───────────────────────────────────────────────────────────────


def test_a_new_one_begins_with_the_text_of_the_last(talk: httpx.Client) -> None:
    """Nothing that was kept is lost; and it says on which it builds."""
    first = done(talk, ask(talk))
    say(talk, "On Friday Ben decided to order tyres from Berlin for 30 euros.")
    second = done(talk, ask(talk))
    assert second["basedOn"] == first["id"]
    assert second["content"].startswith(first["content"])
    assert "Berlin" in second["content"]
    assert (second["messageCount"], second["summarizedCount"]) == (4, 4)
    assert second["fromCreated"] == first["fromCreated"]
    third = done(talk, ask(talk))
    assert (third["basedOn"], third["content"]) == (second["id"], second["content"])
    assert third["toCreated"] == second["toCreated"]
    again = done(talk, ask(talk, incremental=False))
    assert "basedOn" not in again
    part = done(talk, ask(talk, startId="m1"))
    assert "basedOn" not in part


def test_what_is_stale_or_reaches_too_far_is_not_built_on(talk: httpx.Client) -> None:
    whole = done(talk, ask(talk))
    assert "basedOn" not in done(talk, ask(talk, endId="m1"))
    made(talk.delete("/message/m2"))
    assert made(talk.get(f"/summary/{whole['id']}"))["stale"] is True
    say(talk, "A bell for 5 euros, then.")
    newer = done(talk, ask(talk))
    assert newer["basedOn"] != whole["id"]
    assert "noon" not in newer["content"]


# ── single flight ────────────────────────────────────────────────────────────────────────────


def test_requests_at_the_same_time_get_one_summary(talk: httpx.Client) -> None:
    """However many come; afterwards there is one, and it is completed."""
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: ask(talk), range(24)))
    listed = made(talk.get("/summary"))["items"]
    assert {one["id"] for one in found} == {one["id"] for one in listed}
    done(talk, listed[0])
    every = made(talk.get("/summary"))["items"]
    # Those that came after it was made have another one; of those under way there is one.
    created = sorted(one["created"] for one in every)
    finished = sorted(done(talk, one)["modified"] for one in every)
    assert all(made_ <= next_ for made_, next_ in zip(finished, created[1:], strict=False))


# ── reading ──────────────────────────────────────────────────────────────────────────────────


def test_lists_are_of_a_dialogue_or_of_the_namespace(talk: httpx.Client) -> None:
    """Contract 9.2: newest first, in pages, by status."""
    made(talk.post("/dialogue", json={"id": "e", "message": {"role": "user", "content": "Hi"}}))
    ids = []
    for number in range(5):
        of = "de"[number % 2]
        body = {"dialogueId": of, "id": f"s{number}", "incremental": False}
        ids.append(done(talk, made(talk.post("/summary", json=body), 202))["id"])
    every = made(talk.get("/summary"))
    assert [one["id"] for one in every["items"]] == ids[::-1]
    assert every["next"] is None
    of_d = made(talk.get("/summaries", params={"dialogueId": "d", "order": "asc"}))
    assert [one["id"] for one in of_d["items"]] == ["s0", "s2", "s4"]
    assert made(talk.get("/dialogue/d/summaries"))["items"] == of_d["items"][::-1]
    found, next = [], None
    while True:
        params = {"next": next} if next else {"dialogueId": "d", "status": "completed"}
        page = made(talk.get("/summary", params=params | {"limit": "2"}))
        found += [one["id"] for one in page["items"]]
        next = page["next"]
        if next is None:
            break
    assert found == ["s4", "s2", "s0"]
    assert made(talk.get("/summary", params={"status": "failed"}))["items"] == []
    assert made(talk.get("/dialogue/d/summary"))["id"] == "s4"
    refused(talk.get("/summary?status=odd"), 400, "INVALID_PARAMETER", "status")
    refused(talk.get("/summary?template=x"), 400, "INVALID_PARAMETER", "template")
    page = made(talk.get("/summary?limit=1&status=completed"))
    answer = talk.get("/summary", params={"next": page["next"], "status": "failed"})
    refused(answer, 400, "INVALID_PARAMETER", "status")


def test_one_is_read_under_its_dialogue_only(talk: httpx.Client) -> None:
    """Contract 9.2: `dialogueId` may be given, and is held to."""
    made(talk.post("/dialogue", json={"id": "e"}))
    summary = done(talk, ask(talk))
    for path in ("/summary", "/summaries"):
        url = f"{path}/{summary['id']}"
        assert made(talk.get(url, params={"dialogueId": "d"})) == summary
        refused(talk.get(url, params={"dialogueId": "e"}), 404, "SUMMARY_NOT_FOUND", "id")
    refused(talk.get("/summary/none"), 404, "SUMMARY_NOT_FOUND", "id")
    refused(talk.get("/dialogue/e/summary"), 404, "SUMMARY_NOT_FOUND", "dialogueId")


def test_namespaces_and_projects_are_apart(api: httpx.Client, other_api: httpx.Client) -> None:
    body = {"id": "d", "namespace": "u1", "message": {"role": "user", "content": "A secret."}}
    made(api.post("/dialogue", json=body))
    summary = made(api.post("/summary", json={"dialogueId": "d", "namespace": "u1"}), 202)
    assert summary["namespace"] == "u1"
    url = f"/summary/{summary['id']}"
    for client, params in ((api, {}), (api, {"namespace": "u2"}), (other_api, {"namespace": "u1"})):
        refused(client.get(url, params=params), 404, "SUMMARY_NOT_FOUND")
        refused(client.delete(url, params=params), 404, "SUMMARY_NOT_FOUND")
        assert made(client.get("/summary", params=params))["items"] == []
        answer = client.post("/summary", json={"dialogueId": "d"} | params)
        refused(answer, 404, "DIALOGUE_NOT_FOUND")
    assert made(api.get(url, params={"namespace": "u1"}))["id"] == summary["id"]


# ── deleting ─────────────────────────────────────────────────────────────────────────────────


def test_a_summary_is_deleted_and_its_id_is_free(talk: httpx.Client) -> None:
    done(talk, ask(talk, id="s"))
    assert made(talk.delete("/summary/s")) == {"success": True, "id": "s"}
    refused(talk.delete("/summary/s"), 404, "SUMMARY_NOT_FOUND")
    done(talk, ask(talk, id="s"))


def test_one_that_is_deleted_at_once_never_comes_back(talk: httpx.Client) -> None:
    """And the same can be asked for again."""
    for number in range(10):
        made(talk.delete(f"/summary/{ask(talk, id=f's{number}')['id']}"))
    last = done(talk, ask(talk, id="last"))
    assert last["status"] == "completed"
    assert [one["id"] for one in made(talk.get("/summary"))["items"]] == ["last"]


def test_summaries_of_a_deleted_dialogue_remain_as_its_messages_do(talk: httpx.Client) -> None:
    """Contract 7.4: unless `cascade` is set."""
    summary = done(talk, ask(talk))
    made(talk.delete("/dialogue/d"))
    assert made(talk.get(f"/summary/{summary['id']}")) == summary
    refused(talk.post("/summary", json={"dialogueId": "d"}), 404, "DIALOGUE_NOT_FOUND")
    made(talk.post("/dialogue", json={"id": "d"}))
    say(talk, "A light for 12 euros.")
    assert done(talk, ask(talk))["basedOn"] == summary["id"]
    made(talk.delete("/dialogue/d?cascade=true"))
    refused(talk.get(f"/summary/{summary['id']}"), 404, "SUMMARY_NOT_FOUND")
    assert made(talk.get("/summary?dialogueId=d"))["items"] == []


# ── staleness ────────────────────────────────────────────────────────────────────────────────


def test_deleting_a_message_marks_the_summaries_that_cover_it(talk: httpx.Client) -> None:
    """With the very next read; the others stay."""
    covering = done(talk, ask(talk, endId="m1"))
    behind = done(talk, ask(talk, startId="m2"))
    made(talk.delete("/message/m0"))
    marked = made(talk.get(f"/summary/{covering['id']}"))
    assert marked == covering | {"stale": True, "modified": marked["modified"]}
    assert marked["modified"] >= covering["modified"]
    assert made(talk.get(f"/summary/{behind['id']}")) == behind


def test_a_message_that_enters_a_range_marks_it(talk: httpx.Client) -> None:
    """With a time of its own, or by a server's time before a message of the future."""
    done(talk, ask(talk, id="s"))
    say(talk, "newer")
    assert made(talk.get("/summary/s"))["stale"] is False
    say(talk, "older", created="2020-01-01")
    assert made(talk.get("/summary/s"))["stale"] is True
    say(talk, "far", created="2199-01-01")
    done(talk, ask(talk, id="t"))
    say(talk, "now")
    assert made(talk.get("/summary/t"))["stale"] is True


# ── with other parts of the contract ─────────────────────────────────────────────────────────


def test_ended_and_immutable_dialogues_can_be_summarised(server: Server) -> None:
    """A summary changes nothing of them."""
    with server.client(new_project(server.db, immutable=True).key) as api:
        made(api.post("/dialogue", json={"id": "d", "message": {"role": "user", "content": "Hi"}}))
        made(api.post("/dialogue/d/end"))
        assert done(api, ask(api, id="s"))["status"] == "completed"
        made(api.delete("/summary/s"))


def test_an_idempotency_key_makes_one_summary(talk: httpx.Client) -> None:
    """Contract 5.15: the answer is what the summary is by now."""
    key = {"Idempotency-Key": "k"}
    body = {"dialogueId": "d", "incremental": False}
    first = made(talk.post("/summary", json=body, headers=key), 202)
    summary = done(talk, first)
    again = talk.post("/summary", json=body, headers=key)
    assert made(again, 202) == summary
    assert again.headers["idempotent-replayed"] == "true"
    refused(
        talk.post("/summary", json={"dialogueId": "d"}, headers=key), 409, "IDEMPOTENCY_CONFLICT"
    )
    made(talk.delete(f"/summary/{summary['id']}"))
    refused(talk.post("/summary", json=body, headers=key), 404, "SUMMARY_NOT_FOUND")
