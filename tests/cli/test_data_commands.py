"""The data commands, as programs use them: JSON out (contract 13).

Some run on a file and on a server, the others only on a server: the client is the same on both, and
has tests on both. On a file each command runs as the example of its help (`test_usage.py`).
"""

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from cli.programs import Place, in_process, on_server, program
from harness import Server, new_project

ODD = 'Õ\u2028\U0001f6b2 [red]x[/red] "quoted" \\ tab\t'


# ── dialogues ────────────────────────────────────────────────────────────────────────────────


def made(place: Place, **fields: Any) -> None:
    """Make the dialogue `d-1`."""
    with place.client() as db:
        db.create_dialogue(id="d-1", **fields)


def test_a_dialogue_is_made_with_all_that_is_given(place: Place) -> None:
    """The resource is printed as on the wire."""
    options = ["--namespace", "n", "--label", ODD, "--tags", "b, a", "--state", '{"step": 1.50}']
    options += ["--metadata", '{"vip": true}']
    dialogue = place.json("dialogue", "create", "--id", "d-1", *options)
    assert dialogue["label"] == ODD
    assert (dialogue["namespace"], dialogue["tags"]) == ("n", ["b", "a"])
    assert (dialogue["state"], dialogue["metadata"]) == ({"step": 1.5}, {"vip": True})
    assert place.json("dialogue", "get", "d-1", "--namespace", "n") == dialogue


@on_server
def test_a_thread_is_made_and_listed(place: Place) -> None:
    """By `create --thread-of` and by `create-thread`; both are listed."""
    made(place, namespace="n")
    there = ("--namespace", "n")
    first = place.json("dialogue", "create", "--thread-of", "d-1", *there)
    second = place.json("dialogue", "create-thread", "d-1", "--label", "two", *there)
    assert (first["threadOf"], second["threadOf"], second["label"]) == ("d-1", "d-1", "two")
    threads = place.json("dialogue", "get-threads", "d-1", *there)
    assert [one["id"] for one in threads["items"]] == [second["id"], first["id"]]
    assert threads["next"] is None
    listed = place.json("dialogue", "list", "--thread-of", "d-1", *there)
    assert listed == threads


@on_server
def test_get_or_create_makes_it_once(place: Place) -> None:
    """And without an id a new one each time."""
    first = place.json("dialogue", "get-or-create", "--id", "d-1", "--namespace", "n")
    again = place.json("dialogue", "get-or-create", "--id", "d-1", "--namespace", "n")
    assert (first["id"], again["requestId"]) == ("d-1", first["requestId"])
    assert place.json("dialogue", "get-or-create")["id"] != "d-1"


@on_server
def test_a_list_goes_on_with_its_next(place: Place) -> None:
    """In another process too; filters are the API's."""
    with place.client() as db:
        for number in range(5):
            db.create_dialogue(id=f"d-{number}", created=f"2026-02-0{number + 1}")
    page = place.json("dialogue", "list", "--limit", "2", "--order", "asc")
    seen = [one["id"] for one in page["items"]]
    while page["next"]:
        done = place.run("dialogue", "list", "--limit", "2", "--next", page["next"])
        page = json.loads(done.stdout)
        seen += [one["id"] for one in page["items"]]
    assert seen == [f"d-{number}" for number in range(5)]
    between = place.json(
        "dialogue", "list", "--start-date", "2026-02-02", "--end-date", "2026-02-03"
    )
    assert [one["id"] for one in between["items"]] == ["d-2", "d-1"]
    day = place.json("dialogue", "list", "--created", "2026-02-05")
    assert [one["id"] for one in day["items"]] == ["d-4"]


@on_server
def test_state_is_merged_and_tags_are_replaced(place: Place) -> None:
    """As the names of the commands say."""
    made(place, state={"a": 1, "b": 1}, tags=["x", "y"])
    state = place.json("dialogue", "update-state", "d-1", "--state", '{"b": [2], "c": null}')
    assert state["state"] == {"a": 1, "b": [2], "c": None}
    assert place.json("dialogue", "update-tags", "d-1", "--tags", "z")["tags"] == ["z"]
    assert place.json("dialogue", "update-tags", "d-1", "--tags", "")["tags"] == []


@on_server
def test_a_dialogue_ends_and_is_deleted(place: Place) -> None:
    """An ended one takes no messages; a deleted one leaves them, unless asked not to."""
    made(place, message={"role": "user", "content": "x"})
    assert place.json("dialogue", "end", "d-1")["status"] == "ended"
    error = place.refused("message", "add", "d-1", "--role", "user", "--content", "x")
    assert (error["code"], error["statusCode"]) == ("DIALOGUE_ENDED", 409)
    assert place.json("dialogue", "delete", "d-1", "--cascade") == {"deleted": "d-1"}
    assert place.refused("dialogue", "get", "d-1")["code"] == "DIALOGUE_NOT_FOUND"
    assert place.json("stats")["total"]["messages"] == 0


def test_a_context_is_ready_to_send(place: Place) -> None:
    """In the form of the provider that is named, with what was found for the question."""
    made(place, namespace="n")
    there = ("--namespace", "n")
    with place.client() as db:
        dialogue = db.get_dialogue("d-1", "n")
        assert dialogue is not None
        dialogue.save_message(role="system", content="Be kind.")
        dialogue.save_message(role="user", content="Hello!")
        db.create_memory("Ada rides a red bicycle", id="ada", namespace="n")
    options = ["--format", "anthropic", "--query", "which bicycle", "--max-tokens", "500"]
    answer = place.json("dialogue", "context", "d-1", *there, *options, "--keep-last", "3")
    assert (answer["format"], answer["system"], answer["maxTokens"]) == (
        "anthropic",
        "Be kind.",
        500,
    )
    (message,) = answer["messages"]
    assert "Ada rides a red bicycle" in message["content"][0]["text"]
    assert [one["reason"] for one in answer["included"]] == ["system", "memory", "recent"]
    answer = place.json("dialogue", "context", "d-1", *there, *options, "--no-memories")
    assert [one["reason"] for one in answer["included"]] == ["system", "recent"]
    error = place.refused("dialogue", "context", "d-1", *there, "--max-tokens", "1")
    assert (error["code"], error["details"][0]["field"]) == ("INVALID_PARAMETER", "maxTokens")


def test_a_dialogue_is_summarized(place: Place) -> None:
    """With a server and without; it can be read, listed and deleted."""
    made(place, message={"role": "user", "content": "A rim costs 45 euros.", "id": "m"})
    first = place.json("dialogue", "summarize", "d-1", "--id", "s-1")
    assert (first["status"], first["messageCount"]) == ("completed", 1)
    assert "45 euros" in first["content"]
    second = place.json("dialogue", "compact", "d-1", "--end-id", "m", "--start-id", "m")
    assert "basedOn" not in second
    begun = place.json("dialogue", "summarize", "d-1", "--whole", "--no-wait", "--id", "s-3")
    assert begun["status"] in ("processing", "completed")
    assert place.json("summary", "get", "s-1") == first
    listed = place.json("summary", "list", "--dialogue", "d-1", "--order", "asc")
    assert [one["id"] for one in listed["items"]] == ["s-1", second["id"], "s-3"]
    assert place.json("summary", "delete", "s-1") == {"deleted": "s-1"}
    assert place.refused("summary", "get", "s-1")["code"] == "SUMMARY_NOT_FOUND"
    error = place.refused("dialogue", "summarize", "d-1", "--template", "none")
    assert error["code"] == "INVALID_PARAMETER"


# ── messages ─────────────────────────────────────────────────────────────────────────────────


def test_a_message_comes_back_as_it_went_in(place: Place) -> None:
    """From an option, from standard input, and as JSON."""
    made(place, namespace="n")
    there = ("d-1", "--namespace", "n")
    add = ("message", "add", *there, "--role", "user")
    first = place.json(*add, "--content", ODD, "--name", "Ada", "--tags", "t", "--id", "m-1")
    assert (first["content"], first["name"], first["tags"]) == (ODD, "Ada", ["t"])
    text = "two\nlines \u2028 and a last one\n"
    assert place.json(*add, "--stdin", stdin=text)["content"] == text
    blocks = [{"type": "text", "text": "a"}, {"type": "tool_use", "input": {"n": 1e3}}]
    assert place.json(*add, "--content-json", json.dumps(blocks))["content"] == blocks
    assert place.json("message", "get", "d-1", "m-1", "--namespace", "n") == first
    listed = place.json("message", "list", *there)
    assert [one["content"] for one in listed["items"]] == [ODD, text, blocks]


@on_server
def test_images_stand_after_the_text(place: Place, tmp_path: Path) -> None:
    """A file as base64 by its extension, an address as it is."""
    made(place)
    held = bytes(range(256))
    (tmp_path / "wheel.PNG").write_bytes(held)
    place.json(
        "message", "add", "d-1", "--role", "user", "--content", "see",
        "--image", "wheel.PNG", "--image", "https://example.test/a.gif",
    )  # fmt: skip
    (message,) = place.json("message", "list", "d-1")["items"]
    text, inline, linked = message["content"]
    assert text == {"type": "text", "text": "see"}
    assert inline["source"]["media_type"] == "image/png"
    assert base64.b64decode(inline["source"]["data"]) == held
    assert linked["source"] == {"type": "url", "url": "https://example.test/a.gif"}
    alone = place.json("message", "add", "d-1", "--role", "user", "--image", "wheel.PNG")
    assert [part["type"] for part in alone["content"]] == ["image"]


@on_server
def test_a_batch_of_any_length_keeps_its_order(place: Place, tmp_path: Path) -> None:
    """More than one request takes; from a file or standard input."""
    made(place)
    turns = [{"role": "user", "content": f"turn {n}", "id": f"m-{n}"} for n in range(60)]
    (tmp_path / "turns.json").write_text(json.dumps(turns))
    saved = place.json("message", "add-batch", "d-1", "--file", "turns.json")
    assert [one["id"] for one in saved["items"]] == [one["id"] for one in turns]
    one = place.json(
        "message", "add-batch", "d-1", "--file", "-", stdin='[{"role": "a", "content": "b"}]'
    )
    assert [one["sequence"] for one in one["items"]] == [61]
    page = place.json("message", "list", "d-1", "--order", "desc", "--limit", "2")
    assert [one["content"] for one in page["items"]] == ["b", "turn 59"]
    page = place.json("message", "list", "d-1", "--next-page", page["next"], "--limit", "1")
    assert [one["content"] for one in page["items"]] == ["turn 58"]


@on_server
def test_a_message_is_deleted(place: Place) -> None:
    """Once."""
    made(place, message={"role": "user", "content": "x", "id": "m-1"})
    assert place.json("message", "delete", "d-1", "m-1") == {"deleted": "m-1"}
    for command in ("get", "delete"):
        error = place.refused("message", command, "d-1", "m-1")
        assert (error["code"], error["statusCode"]) == ("MESSAGE_NOT_FOUND", 404)
        assert len(error["requestId"]) == 36


# ── memories and search ──────────────────────────────────────────────────────────────────────


@on_server
def test_a_memory_is_stored_changed_and_deleted(place: Place) -> None:
    """Of any JSON value; of it only the tags change."""
    options = ["--label", "L", "--description", "D", "--tags", "a", "--metadata", '{"n": 1}']
    there = ("--namespace", "u")
    memory = place.json("memory", "create", "--id", "k", "--value", ODD, *options, *there)
    assert (memory["value"], memory["label"], memory["description"]) == (ODD, "L", "D")
    assert place.json("memory", "get", "k", *there) == memory
    assert place.json("memory", "update", "k", "--tags", "b,c", *there)["tags"] == ["b", "c"]
    value = place.json("memory", "create", "--value-json", "[1, null]", *there)
    assert value["value"] == [1, None]
    text = place.json("memory", "create", "--stdin", *there, stdin="5\n")
    assert text["value"] == "5\n"
    listed = place.json("memory", "list", "--limit", "2", *there)
    assert [one["id"] for one in listed["items"]] == [text["id"], value["id"]]
    assert listed["next"]
    assert place.json("memory", "delete", "k", *there) == {"deleted": "k"}
    assert place.refused("memory", "get", "k", *there)["code"] == "MEMORY_NOT_FOUND"


@on_server
def test_search_finds_what_was_written(place: Place) -> None:
    """With relevance, filters and how it was understood; all namespaces unless one is named."""
    message = {"role": "user", "content": "a wheel", "id": "m-1", "tags": ["t"]}
    made(place, namespace="n", label="about zanzibar", message=message)
    with place.client() as db:
        db.create_memory("zanzibar", id="k", metadata={"n": 2})
    where = ("--namespace", "n")
    found = place.json("search", "messages", "wheel", "--filter", '{"created": "today"}')
    assert [one["item"]["id"] for one in found["results"]] == ["m-1"]
    assert 0 < found["results"][0]["relevance"] <= 1
    assert "gte" in found["request"]["filter"]["created"]
    assert place.json("search", "messages", "wheel", "--tags", "u")["results"] == []
    dialogues = place.json("search", "dialogues", "wheel", "--limit", "1", *where)["results"]
    assert (dialogues[0]["object"], dialogues[0]["item"]["id"]) == ("dialogue", "d-1")
    assert dialogues[0]["matches"][0]["item"]["id"] == "m-1"
    memories = place.json("search", "memories", "zanzibar", "--metadata", '{"n": {"$gt": 1}}')
    assert [one["item"]["id"] for one in memories["results"]] == ["k"]
    error = place.refused("search", "memories", "x", "--filter", '{"created": "whenever"}')
    assert error["details"][0]["field"] == "filter.created"


# ── which database ───────────────────────────────────────────────────────────────────────────


def test_options_stand_before_a_command_or_after_it(tmp_path: Path) -> None:
    """After it wins; also for the commands that work on files."""
    one, two = str(tmp_path / "one.db"), str(tmp_path / "two.db")
    assert program("--db", one, "memory", "create", "--value", "1", "--id", "k").returncode == 0
    assert program("memory", "get", "k", "--db", one).returncode == 0
    created = program("--db", one, "memory", "create", "--value", "2", "--id", "k", "--db", two)
    assert created.returncode == 0
    got = program("--db", two, "--output", "json", "memory", "get", "k")
    assert json.loads(got.stdout)["value"] == "2"
    listed = program("--db", one, "project", "list")
    assert [row["name"] for row in json.loads(listed.stdout)] == ["default"]
    shown = program("--output", "table", "project", "list", "--db", one)
    assert shown.stdout.split()[:2] == ["id", "name"]


def test_the_environment_says_which_database(server: Server, tmp_path: Path) -> None:
    """A server before a file; a flag before both; without anything, dialoguedb.db of the folder."""
    key = new_project(server.db).key
    for variables in (
        {"DIALOGUEDB_BASE_URL": server.url, "DIALOGUEDB_API_KEY": key},
        {"DIALOGUEDB_ENDPOINT": server.url, "DIALOGUE_DB_API_KEY": key},
    ):
        both = variables | {"DIALOGUEDB_DB": str(tmp_path / "file.db")}
        done = program("dialogue", "create", env=both, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
    assert list(tmp_path.iterdir()) == []
    told = {"DIALOGUEDB_DB": "file.db"}
    assert program("memory", "create", "--value", "1", env=told, cwd=tmp_path).returncode == 0
    given = program("dialogue", "list", "--db", "file.db", env=variables, cwd=tmp_path)
    assert json.loads(given.stdout)["items"] == []
    (tmp_path / "file.db").rename(tmp_path / "dialoguedb.db")
    assert len(json.loads(program("memory", "list", cwd=tmp_path).stdout)["items"]) == 1
    flags = ("--endpoint", server.url, "--api-key", key)
    assert len(json.loads(program("dialogue", "list", *flags).stdout)["items"]) == 2


@pytest.mark.parametrize("command", [["memory", "create", "--value", "x"], ["stats"]])
def test_no_database_named_is_said(command: list[str], tmp_path: Path) -> None:
    """With both ways to name one; nothing is made."""
    done = program(*command, cwd=tmp_path)
    assert done.returncode == 1
    error = json.loads(done.stderr)
    assert "--db FILE" in error["error"]
    assert "--base-url URL" in error["error"]
    assert list(tmp_path.iterdir()) == []


def test_a_read_makes_no_file(file_place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor does a change of what cannot be there."""
    monkeypatch.chdir(file_place.folder)
    for command in (
        ["dialogue", "list"], ["memory", "delete", "k"], ["export", "-"], ["tail", "d"],
        ["message", "add", "d", "--role", "user", "--content", "x"], ["stats"],
        ["search", "messages", "x"],
    ):  # fmt: skip
        done = in_process(*command, *file_place.options)
        assert (done.exit_code, done.stdout) == (1, "")
        assert "there is no database chat.db" in json.loads(done.stderr)["error"]
    assert list(file_place.folder.iterdir()) == []


def test_a_project_of_a_file_is_named(file_place: Place) -> None:
    """Each has its own data."""
    file_place.json("project", "create", "shop")
    file_place.json("memory", "create", "--value", "1", "--project", "shop")
    assert len(file_place.json("memory", "list", "--project", "shop")["items"]) == 1
    assert file_place.json("memory", "list")["items"] == []


def test_an_encrypted_file_wants_its_key(file_place: Place) -> None:
    """Given as an option, before or after."""
    (file_place.folder / "key").write_bytes(bytes(range(32)))
    file_place.json("memory", "create", "--value", "1", "--db-key-file", "key")
    assert file_place.json("--db-key-file", "key", "memory", "list")["items"][0]["value"] == "1"
    assert file_place.refused("memory", "list")["code"] == "COMMAND_FAILED"
