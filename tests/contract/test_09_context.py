"""The context of a dialogue over HTTP (Beyond the contract): what it holds, takes and refuses."""

import json
from typing import Any

import httpx
import pytest

from harness import Server, new_project

PREFIXES = ["", "/api/v1"]
DIALOGUE = "d-1"
SPACE = "u1"


def made(answer: httpx.Response) -> Any:
    """Return the body of an answer that must be a success."""
    assert answer.status_code == 200, answer.text
    return answer.json()


def refused(answer: httpx.Response, code: str, field: str) -> str:
    """Return the message of an answer that must be a 400 that names this field."""
    assert answer.status_code == 400, answer.text
    error = answer.json()["error"]
    assert (error["code"], error["details"][0]["field"]) == (code, field), error
    return str(error["message"])


def talk(api: httpx.Client, *messages: dict[str, Any], dialogue: str = DIALOGUE) -> None:
    """Make a dialogue with messages."""
    made(api.post("/dialogue", json={"id": dialogue, "namespace": SPACE}))
    where = {"dialogueId": dialogue, "namespace": SPACE}
    for start in range(0, len(messages), 25):
        made(api.post("/messages", params=where, json=messages[start : start + 25]))


def context(api: httpx.Client, prefix: str = "", **fields: Any) -> httpx.Response:
    body = {"namespace": SPACE} | fields
    return api.post(f"{prefix}/dialogue/{DIALOGUE}/context", json=body)


def say(role: str, content: Any, **fields: Any) -> dict[str, Any]:
    return {"role": role, "content": content, **fields}


TALK = [
    say("system", "You help in a shop.", id="sys"),
    say("user", "Where is my parcel?", id="m1"),
    say(
        "assistant",
        [{"type": "tool_use", "id": "t1", "name": "track", "input": {"order": 81}}],
        id="m2",
    ),
    say("user", [{"type": "tool_result", "tool_use_id": "t1", "content": "in Tartu"}], id="m3"),
    say("assistant", "It is in Tartu.", id="m4"),
    say("user", "Which colour did I want?", id="m5"),
]


@pytest.mark.parametrize("prefix", PREFIXES)
def test_both_methods_answer_alike(api: httpx.Client, prefix: str) -> None:
    talk(api, *TALK)
    fields = {"maxTokens": 500, "format": "openai", "query": "colour", "memories": False}
    by_body = made(context(api, prefix, keepLast=2, **fields))
    parameters = {"namespace": SPACE, "keepLast": 2, **fields}
    path = f"{prefix}/dialogue/{DIALOGUE}/context"
    assert made(api.get(path, params=parameters)) == by_body
    assert by_body.keys() == {
        "format", "messages", "included", "tokens", "maxTokens", "tokenizer"
    }  # fmt: skip
    assert (by_body["format"], by_body["maxTokens"]) == ("openai", 500)
    assert by_body["tokens"] == sum(part["tokens"] for part in by_body["included"]) <= 500
    assert by_body["tokenizer"].keys() == {"name", "exact"}


def test_messages_are_those_that_are_stored(api: httpx.Client) -> None:
    """By default: all that fit, in order, as they were sent."""
    talk(api, *TALK)
    answer = made(context(api))
    assert answer["format"] == "dialoguedb"
    assert answer["maxTokens"] == 4000
    assert answer["messages"] == [{k: one[k] for k in ("role", "content")} for one in TALK]
    assert [part["id"] for part in answer["included"]] == [one["id"] for one in TALK]
    assert [part["reason"] for part in answer["included"]] == ["system", *["recent"] * 5]


def test_messages_are_those_of_openai(api: httpx.Client) -> None:
    talk(api, *TALK)
    messages = made(context(api, format="openai"))["messages"]
    assert messages[0] == {"role": "system", "content": "You help in a shop."}
    (call,) = messages[2]["tool_calls"]
    assert call["function"] == {"name": "track", "arguments": '{"order":81}'}
    assert messages[3] == {"role": "tool", "tool_call_id": "t1", "content": "in Tartu"}


def test_messages_are_those_of_anthropic(api: httpx.Client) -> None:
    talk(api, *TALK)
    answer = made(context(api, format="anthropic"))
    assert answer["system"] == "You help in a shop."
    roles = [one["role"] for one in answer["messages"]]
    assert roles == ["user", "assistant", "user", "assistant", "user"]
    assert answer["messages"][2]["content"][0]["tool_use_id"] == "t1"


def test_what_is_asked_is_recalled_from_the_namespace(api: httpx.Client) -> None:
    """From memories and other dialogues, with speaker and date; and from no other namespace."""
    green = say("user", "My favourite colour is green", id="x1", name="Ada", created="2026-02-03")
    talk(api, green, dialogue="d-0")
    talk(api, *TALK)
    memory = {"id": "k1", "value": "colour: she likes it dark", "namespace": SPACE}
    made(api.post("/memory", json=memory))
    other = {"dialogueId": "d-2", "namespace": "u2"}
    made(api.post("/dialogue", json={"id": "d-2", "namespace": "u2"}))
    made(api.post("/message", params=other, json=say("user", "The colour is secret", id="s1")))
    answer = made(context(api, query="which colour did I want?"))
    parts = {part["id"]: part for part in answer["included"]}
    assert (parts["k1"]["reason"], parts["x1"]["reason"]) == ("memory", "recalled")
    assert 0 < parts["x1"]["relevance"] <= 1
    assert "relevance" not in parts["m5"]
    assert "s1" not in parts
    note = answer["messages"][-2]
    assert note["role"] == "user"
    assert "2026-02-03:\nAda: My favourite colour is green" in note["content"]
    assert answer["messages"][-1]["content"] == "Which colour did I want?"
    without = made(context(api, query="which colour did I want?", memories=False))
    reasons = [part["reason"] for part in without["included"]]
    assert "memory" not in reasons
    assert "recalled" in reasons
    assert "recalled" not in [part["reason"] for part in made(context(api))["included"]]


def test_a_question_that_is_stored_already_hides_nothing_that_answers_it(api: httpx.Client) -> None:
    value = "Ada rides a Koga from 1998, frame 58 cm."
    made(api.post("/memory", json={"namespace": SPACE, "id": "bicycle", "value": value}))
    talk(api, say("user", "The Koga was in the rain.", id="old"), dialogue="d-0")
    asked = "My rear wheel is bent. Which rim fits my old Koga?"
    talk(api, say("user", asked, id="question"))
    parts = [(part["reason"], part["id"]) for part in made(context(api, query=asked))["included"]]
    assert parts == [("memory", "bicycle"), ("recalled", "old"), ("recent", "question")]


def test_a_long_dialogue_keeps_to_its_budget(api: httpx.Client) -> None:
    """The system prompt is there however far back it is, and the last messages."""
    words = [say(("user", "assistant")[n % 2], f"number {n} " * 8, id=f"n{n}") for n in range(120)]
    talk(api, TALK[0], *words)
    for most in (100, 300, 1000):
        answer = made(context(api, maxTokens=most, query="number 7", keepLast=1))
        ids = [part["id"] for part in answer["included"]]
        assert answer["tokens"] <= most
        assert (ids[0], ids[-1]) == ("sys", "n119")
        assert len(set(ids)) == len(ids)


def test_what_is_stored_besides_the_text_counts_where_it_is_shown(api: httpx.Client) -> None:
    """By default messages are shown with all that is in them."""
    talk(api, say("user", [{"type": "text", "text": "hi", "note": "word " * 20_000}]))
    message = refused(context(api, maxTokens=200), "INVALID_PARAMETER", "maxTokens")
    assert int(message.split()[-1]) > 20_000
    assert made(context(api, maxTokens=200, format="openai"))["tokens"] < 20


def test_a_budget_that_is_too_small_is_refused(api: httpx.Client) -> None:
    """With what it takes."""
    talk(api, *TALK)
    message = refused(context(api, maxTokens=10), "INVALID_PARAMETER", "maxTokens")
    needed = int(message.split()[-1])
    assert made(context(api, maxTokens=needed))["tokens"] <= needed


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("maxTokens", 0),
        ("maxTokens", 2_000_001),
        ("maxTokens", "many"),
        ("keepLast", -1),
        ("keepLast", 1001),
        ("format", "xml"),
        ("query", " "),
        ("memories", "maybe"),
        ("namespace", "-"),
        ("maxtokens", 5),
    ],
)
def test_bad_values_are_refused_by_name(api: httpx.Client, field: str, value: Any) -> None:
    """In a body and in a URL; also a name that is not known."""
    talk(api, *TALK)
    path = f"/dialogue/{DIALOGUE}/context"
    parameters = {"namespace": SPACE} | {field: value}
    refused(api.get(path, params=parameters), "INVALID_PARAMETER", field)
    refused(api.post(path, json=parameters), "INVALID_PARAMETER", field)


@pytest.mark.parametrize(
    ("field", "value", "bounds"),
    [("maxTokens", 2_000_001, "from 1 to 2000000"), ("keepLast", -1, "from 0 to 1000")],
)
def test_a_number_out_of_its_bounds_is_told_them(
    api: httpx.Client, field: str, value: int, bounds: str
) -> None:
    talk(api, say("user", "hi"))
    assert bounds in refused(context(api, **{field: value}), "INVALID_PARAMETER", field)


def test_what_is_no_block_of_anybody_is_still_shown(api: httpx.Client) -> None:
    """Content is any JSON (3.7), so the kind of a block can be anything."""
    talk(api, say("user", [{"type": ["text"]}, {"type": {"a": 1}}, {"type": None}]))
    for form in ("dialoguedb", "openai", "anthropic"):
        assert "messages" in made(context(api, format=form))


def test_a_dialogue_that_is_not_there_is_not_found(api: httpx.Client) -> None:
    """Nor one in another namespace, nor one that has been deleted."""
    talk(api, *TALK)
    path = f"/dialogue/{DIALOGUE}/context"
    for _ in range(2):
        for answer in (api.post(path), api.get(path, params={"namespace": "u2"})):
            assert answer.status_code == 404, answer.text
            assert answer.json()["error"]["code"] == "DIALOGUE_NOT_FOUND"
        api.delete(f"/dialogue/{DIALOGUE}", params={"namespace": SPACE})
    assert context(api).status_code == 404


def test_an_empty_dialogue_has_an_empty_context(api: httpx.Client) -> None:
    talk(api)
    answer = made(context(api, query="anything"))
    assert (answer["messages"], answer["included"], answer["tokens"]) == ([], [], 0)


def test_the_same_is_answered_byte_for_byte(api: httpx.Client) -> None:
    talk(api, *TALK)
    first = context(api, query="colour").content
    assert context(api, query="colour").content == first
    assert json.loads(first)["included"]


def test_pairs_are_whole_wherever_the_budget_ends(api: httpx.Client) -> None:
    """In a dialogue that is all calls and results, for a page of it ends between the two."""
    rounds = []
    for number in range(50):
        use = {"type": "tool_use", "id": f"c{number}", "name": "look", "input": {"n": number}}
        result = {"type": "tool_result", "tool_use_id": f"c{number}", "content": "found " * 9}
        rounds += [say("assistant", [use]), say("user", [result])]
    talk(api, say("user", "Look everywhere."), *rounds)
    for most in range(80, 1500, 90):
        messages = made(context(api, maxTokens=most, format="openai", keepLast=0))["messages"]
        kinds = ["call" if "tool_calls" in one else one["role"] for one in messages]
        assert kinds[-2:] == ["call", "tool"]
        assert kinds in (["call", "tool"] * (len(kinds) // 2), ["user", *kinds[1:]])
        assert [one["tool_calls"][0]["id"] for one in messages if "tool_calls" in one] == [
            one["tool_call_id"] for one in messages if one["role"] == "tool"
        ]


def calls(count: int, *, found: str = "found", answered: int | None = None) -> list[dict[str, Any]]:
    """A message of tool calls, and a message for each of the results that there are."""
    uses = [
        {"type": "tool_use", "id": f"p{n}", "name": "look", "input": {"n": n}} for n in range(count)
    ]
    results = [
        {"type": "tool_result", "tool_use_id": f"p{n}", "content": found}
        for n in range(count if answered is None else answered)
    ]
    return [say("assistant", uses, id="uses"), *(say("user", [one]) for one in results)]


@pytest.mark.parametrize("count", [20, 70, 300])
def test_calls_before_many_results_are_found_however_far_back(
    api: httpx.Client, count: int
) -> None:
    """All of them or a refusal that says what they take: never an empty prompt."""
    talk(api, *(say("user", f"number {n}") for n in range(99)), *calls(count))
    message = refused(context(api, maxTokens=200), "INVALID_PARAMETER", "maxTokens")
    needed = int(message.split()[-1])
    assert needed > 20 * count
    refused(context(api, maxTokens=needed - 1), "INVALID_PARAMETER", "maxTokens")
    answer = made(context(api, maxTokens=needed, format="openai"))
    assert len(answer["messages"]) >= 1 + count
    assert made(context(api, maxTokens=needed + 999))["messages"][-1 - count]["role"] == "assistant"


def test_what_is_not_shown_takes_no_room(api: httpx.Client) -> None:
    """As a long result beside a call that still waits for its own."""
    said = [say(("user", "assistant")[n % 2], f"number {n} " * 8, id=f"n{n}") for n in range(200)]
    talk(api, *said, *calls(2, found="word " * 9_000, answered=1))
    answer = made(context(api, maxTokens=8_000))
    assert [part["id"] for part in answer["included"]] == [f"n{n}" for n in range(200)]


def test_results_without_their_calls_show_nothing(api: httpx.Client) -> None:
    """However many they are, what was said before them is."""
    alone = [
        say("user", [{"type": "tool_result", "tool_use_id": f"p{n}", "content": "found " * 99}])
        for n in range(150)
    ]
    talk(api, *alone)
    assert made(context(api, maxTokens=500))["messages"] == []
    more = {"dialogueId": DIALOGUE, "namespace": SPACE, "created": "2020-01-01"}
    made(api.post("/message", params={"namespace": SPACE}, json=say("user", "hi") | more))
    assert made(context(api, maxTokens=500))["messages"] == [say("user", "hi")]


def test_all_that_instructs_the_model_first_is_the_system_prompt(api: httpx.Client) -> None:
    """However much of it there is; what comes later is a turn."""
    rules = [say(("system", "developer")[n % 2], f"Rule {n}.", id=f"r{n}") for n in range(11)]
    talk(api, *rules, say("user", "hi", id="m1"), say("system", "Now.", id="s1"))
    answer = made(context(api, format="anthropic"))
    assert answer["system"].split("\n\n") == [f"Rule {n}." for n in range(11)]
    assert [part["reason"] for part in answer["included"]] == [*["system"] * 11, *["recent"] * 2]
    assert answer["messages"][0]["content"][1]["text"] == "system: Now."
    only = [say("system", f"Rule {n}.") for n in range(9)]
    talk(api, *only, dialogue="d-9")
    answer = made(api.get("/dialogue/d-9/context", params={"namespace": SPACE}))
    assert len(answer["messages"]) == 9


# ── summaries ────────────────────────────────────────────────────────────────────────────────


def summary(summary_id: str, end: int, content: str | None, **fields: Any) -> dict[str, Any]:
    """A record of a summary that covers the messages of `TOLD` up to one."""
    stamp = f"2026-02-03T04:05:{end:02}.000Z"
    return {
        "type": "summary", "id": summary_id, "dialogueId": DIALOGUE, "status": "completed",
        "created": stamp, "modified": stamp, "stale": False, "incremental": True,
        "content": content, "endCreated": stamp, "endSequence": end,
    } | fields  # fmt: skip


TOLD = [
    say(
        ("user", "assistant")[n % 2], f"number {n}", id=f"n{n}", created=f"2026-02-03T04:05:{n:02}Z"
    )
    for n in range(1, 31)
]
TITLE = {"template": "title"}


@pytest.mark.parametrize(
    ("records", "shown"),
    [
        ([summary("far", 20, "All."), summary("near", 9, "Some.")], "far"),
        ([summary("short", 25, "A title.", **TITLE), summary("own", 9, "Some.")], "own"),
        ([summary("own", 9, "Some."), summary("short", 9, "A title.", **TITLE)], "own"),
        ([summary(f"t{n}", n, "A title.", **TITLE) for n in (12, 25, 9)], "t25"),
        ([summary("new", 9, "Again."), summary("old", 9, "S.", created="2026-02-01")], "new"),
        ([summary("empty", 20, ""), summary("none", 19, None), summary("s", 9, "Some.")], "s"),
        ([summary("stale", 20, "All.", stale=True), summary("s", 9, "A title.", **TITLE)], "s"),
        ([summary("failed", 20, None, status="failed"), summary("s", 9, "Some.")], "s"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_the_summary_that_stands_for_the_conversation(
    server: Server, records: list[dict[str, Any]], shown: str
) -> None:
    """One without a template before any with one; then the one that reaches farthest; the newest.

    What a template makes may be a title of one line, however far it reaches.
    """
    with server.client(new_project(server.db, admin=True).key) as api:
        talk(api, *TOLD)
        made(api.post("/import", params={"namespace": SPACE}, json=records))
        answer = made(context(api, keepLast=2))
        assert answer["summaryId"] == shown
        (end,) = [one["endSequence"] for one in records if one["id"] == shown]
        ids = [part["id"] for part in answer["included"]]
        assert ids == [shown, *[f"n{n}" for n in range(end - 1, 31)]]


def test_behind_a_summary_calls_are_found_however_far_back(server: Server) -> None:
    """Of what it covers, the last groups are shown too."""
    with server.client(new_project(server.db, admin=True).key) as api:
        talk(api, *(say("user", f"number {n}") for n in range(99)), *calls(150))
        record = summary("s", 1, "All.") | {"endCreated": "2040-01-01", "endSequence": 250}
        made(api.post("/import", params={"namespace": SPACE}, json=[record]))
        answer = made(context(api, maxTokens=100_000, keepLast=1))
        assert [part["id"] for part in answer["included"]][:2] == ["s", "uses"]
        assert len(answer["messages"]) == 152
