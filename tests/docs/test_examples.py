"""The examples run as programs, against a real server, on data that is made here."""

import json
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest

from harness import TLS, Server, new_project

EXAMPLES = Path(__file__).parents[2] / "examples"
#: The turns of the sessions of the first made conversation: several batches, one batch, none.
SIZES = (60, 25, 1, 0)


class Example:
    """An example program with the address and key that it is to use."""

    def __init__(self, url: str, key: str) -> None:
        self.url = url
        self.key = key

    def environment(self) -> dict[str, str]:
        """The environment that an example finds its server in."""
        kept = {k: v for k, v in os.environ.items() if not k.startswith("DIALOGUEDB_")}
        return kept | {"DIALOGUEDB_BASE_URL": self.url, "DIALOGUEDB_API_KEY": self.key}

    def run(self, program: str, *arguments: object) -> subprocess.CompletedProcess[str]:
        """Run it to its end."""
        return subprocess.run(
            [sys.executable, str(EXAMPLES / program), *map(str, arguments)],
            capture_output=True,
            text=True,
            timeout=120,
            env=self.environment(),
            check=False,
        )

    def locomo(self, *arguments: object) -> subprocess.CompletedProcess[str]:
        """Run `load_locomo.py`."""
        return self.run("load_locomo.py", *arguments)


@pytest.fixture
def example(server: Server) -> Example:
    """The examples on the shared server, in a project of their own."""
    return Example(server.url, new_project(server.db).key)


@pytest.fixture
def client(example: Example) -> Iterator[httpx.Client]:
    """A client of the same project."""
    headers = {"Authorization": f"Bearer {example.key}"}
    with httpx.Client(base_url=example.url, headers=headers, timeout=30, verify=TLS) as client:
        yield client


def turn(session: int, number: int) -> dict[str, Any]:
    """Make a turn of the shape that LoCoMo has; every third one carries an image."""
    made: dict[str, Any] = {
        "speaker": "Zoë" if number % 2 else "Ben",
        "dia_id": f"D{session}:{number}",
        "text": f"Turn {number}:\n“quoted”, 100 % of\tit, 日本語 \U0001f6b2 ",
    }
    if number % 3 == 0:
        made |= {
            "img_url": [f"https://images.example/{number}.jpg", "https://images.example/b.jpg"],
            "blip_caption": f"a photo of {number} wheels",
            "query": "",
            "re-download": True,
        }
    return made


def conversation(sizes: tuple[int, ...]) -> dict[str, Any]:
    """Make the content of one conversation file."""
    made: dict[str, Any] = {"speaker_a": "Zoë", "speaker_b": "Ben", "qa": [{"question": "?"}]}
    for session, size in enumerate(sizes, 1):
        made[f"session_{session}_date_time"] = f"12:{session:02} am on {session} May, 2023"
        made[f"session_{session}"] = [turn(session, number) for number in range(1, size + 1)]
        made[f"events_session_{session}"] = {"Ben": [], "date": f"{session} May, 2023"}
    made["session_99_date_time"] = "1:18 pm on 21 November, 2023"
    return made


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder of two conversations."""
    made = tmp_path / "made"
    made.mkdir()
    write(made / "7.json", conversation(SIZES))
    write(made / "8.json", conversation((3,)))
    return made


def write(path: Path, content: object) -> None:
    path.write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")


def edit(path: Path, change: Callable[[dict[str, Any]], None]) -> None:
    content = json.loads(path.read_text(encoding="utf-8"))
    change(content)
    write(path, content)


def test_chat_log_stores_a_conversation_and_reads_it_back(example: Example) -> None:
    done = example.run("chat_log.py")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [
        "A bent wheel: 3 messages, state {'step': 'diagnosis'}",
        "  1. Ada: My wheel is bent.",
        "  2. assistant: Front or rear?",
        "  3. Ada: [{'type': 'text', 'text': 'Rear.'}]",
    ]


def test_chat_log_names_what_is_wrong(example: Example) -> None:
    done = Example(example.url, "skv1_wrong").run("chat_log.py")
    assert done.returncode == 1
    assert "401 UNAUTHORIZED" in done.stderr
    done = Example("http://127.0.0.1:1", example.key).run("chat_log.py")
    assert done.returncode == 1
    assert "0 NETWORK_ERROR: No answer from http://127.0.0.1:1" in done.stderr


def test_search_finds_what_was_just_stored(example: Example) -> None:
    example.run("chat_log.py")
    done = example.run("search.py", "Whose wheel is bent?")
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert re.fullmatch(r"0\.\d\d  \d{4}-\d\d-\d\d  Ada: My wheel is bent\.", lines[0])
    assert len(lines) == 3
    options = ("--object=dialogue", "--since=last week")
    done = example.run("search.py", "Whose wheel is bent?", *options)
    dialogue, *matches = done.stdout.splitlines()
    assert dialogue.endswith("  A bent wheel")
    assert lines[0] in [match.strip() for match in matches]


def test_search_names_what_is_wrong(example: Example) -> None:
    done = example.run("search.py", "?", "--since", "someday")
    assert (done.returncode, done.stdout) == (1, "")
    assert "400 INVALID_PARAMETER" in done.stderr
    done = Example("http://127.0.0.1:1", example.key).run("search.py", "?")
    assert done.returncode == 1
    assert "0 NETWORK_ERROR: No answer from http://127.0.0.1:1" in done.stderr


def test_locomo_is_searched_as_soon_as_it_is_loaded(
    example: Example, folder: Path, client: httpx.Client
) -> None:
    edit(folder / "8.json", lambda content: content["session_1"][1].update(text="I sold the boat"))
    example.locomo("load", folder)
    done = example.run("search.py", "What did Ben sell?", "--namespace", "locomo-8", "--limit", 1)
    assert re.fullmatch(r"0\.\d\d  2023-05-01  Ben: I sold the boat\n", done.stdout)
    body = {"query": "wheels", "object": "message", "namespace": "locomo-7", "limit": 100}
    assert len(client.post("/search", json=body).json()["items"]) == sum(SIZES)


def test_locomo_is_loaded_and_found_equal(example: Example, folder: Path) -> None:
    loaded = example.locomo("load", folder)
    assert loaded.returncode == 0, loaded.stderr
    assert "Stored 5 dialogues and 89 messages; 0 dialogues and 0 messages were" in loaded.stdout
    assert "89/89" in loaded.stderr
    checked = example.locomo("check", folder)
    assert (checked.returncode, checked.stderr) == (0, "")
    assert "7.json: 4 dialogues, 86 messages, 28 captions: equal" in checked.stdout
    assert "2 conversations, 5 dialogues, 89 messages: equal to the input." in checked.stdout


def test_locomo_without_a_command_loads(example: Example, folder: Path) -> None:
    done = example.locomo(folder)
    assert done.returncode == 0, done.stderr
    assert example.locomo("check", folder).returncode == 0


def test_locomo_keeps_what_the_file_says(
    example: Example, folder: Path, client: httpx.Client
) -> None:
    example.locomo("load", folder)
    where = {"namespace": "locomo-7", "dialogueId": "locomo-7-session-1", "limit": "3"}
    third = client.get("/messages", params=where).json()["items"][2]
    assert third["name"] == "Zoë"
    assert third["role"] == "user"
    assert third["content"] == turn(1, 3)["text"]
    assert third["created"] == "2023-05-01T00:01:00.000Z"
    assert third["metadata"]["blip_caption"] == "a photo of 3 wheels"
    assert third["metadata"]["img_url"] == turn(1, 3)["img_url"]


def test_locomo_loaded_again_stores_nothing_twice(example: Example, folder: Path) -> None:
    example.locomo("load", folder)
    again = example.locomo("load", folder)
    assert "Stored 0 dialogues and 0 messages; 5 dialogues and 89 messages were" in again.stdout
    assert example.locomo("check", folder).returncode == 0


def test_locomo_goes_on_after_a_kill(example: Example, folder: Path, client: httpx.Client) -> None:
    write(folder / "9.json", conversation((300,) * 28))
    program = [sys.executable, str(EXAMPLES / "load_locomo.py"), "load", str(folder)]
    environment = example.environment()
    with subprocess.Popen(program, env=environment, stderr=subprocess.DEVNULL) as killed:
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            if client.get("/dialogue", params={"namespace": "locomo-9"}).json()["items"]:
                break
        killed.kill()
    assert killed.returncode != 0, "it was done before it could be killed"
    again = example.locomo("load", folder)
    assert again.returncode == 0, again.stderr
    assert "Stored 0 dialogues" not in again.stdout
    checked = example.locomo("check", folder)
    assert checked.returncode == 0, checked.stderr


class Lossy(ThreadingHTTPServer):
    """A proxy that hands on every request and loses every third answer."""

    daemon_threads = True

    def __init__(self, upstream: str) -> None:
        super().__init__(("127.0.0.1", 0), LossyHandler)
        self.upstream = httpx.Client(base_url=upstream, timeout=30, verify=TLS)
        self.seen = 0
        self.lost = 0
        self.url = f"http://127.0.0.1:{self.server_port}"


class LossyHandler(BaseHTTPRequestHandler):
    """One connection of the proxy."""

    protocol_version = "HTTP/1.1"
    server: Lossy

    def do_GET(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        names = ("Authorization", "Idempotency-Key", "Content-Type")
        headers = {name: self.headers[name] for name in names if name in self.headers}
        answer = self.server.upstream.request(
            self.command, self.path, content=body, headers=headers
        )
        self.server.seen += 1
        if self.command == "POST" and self.server.seen % 3 == 0:
            self.server.lost += 1
            self.close_connection = True
            return
        self.send_response(answer.status_code)
        for name in ("Content-Type", "Idempotent-Replayed"):
            if name in answer.headers:
                self.send_header(name, answer.headers[name])
        self.send_header("Content-Length", str(len(answer.content)))
        self.end_headers()
        self.wfile.write(answer.content)

    do_POST = do_GET

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def test_locomo_survives_lost_answers(example: Example, folder: Path) -> None:
    with Lossy(example.url) as proxy:
        thread = threading.Thread(target=proxy.serve_forever, args=(0.02,))
        thread.start()
        try:
            loaded = Example(proxy.url, example.key).locomo("load", folder)
        finally:
            proxy.shutdown()
            thread.join()
            proxy.upstream.close()
    assert loaded.returncode == 0, loaded.stderr
    assert proxy.lost > 0
    checked = example.locomo("check", folder)
    assert checked.returncode == 0, checked.stderr


WHERE = {"namespace": "locomo-7", "dialogueId": "locomo-7-session-1"}
LAST = "locomo-7-D1:60"


def stored_again(client: httpx.Client, **changes: object) -> None:
    """Delete the last message and store it anew with some fields changed."""
    message = client.get(f"/message/{LAST}", params=WHERE).json()
    kept = ("id", "role", "name", "content", "created", "metadata", "tags")
    body = {name: message[name] for name in kept} | changes
    client.delete(f"/message/{LAST}", params=WHERE).raise_for_status()
    client.post("/message", params=WHERE, json=body).raise_for_status()


def tags_changed(client: httpx.Client) -> None:
    client.put(f"/message/{LAST}", params=WHERE, json={"tags": ["seen"]}).raise_for_status()


def message_deleted(client: httpx.Client) -> None:
    client.delete(f"/message/{LAST}", params=WHERE).raise_for_status()


def message_moved(client: httpx.Client) -> None:
    message = client.get("/message/locomo-7-D1:1", params=WHERE).json()
    client.delete("/message/locomo-7-D1:1", params=WHERE).raise_for_status()
    kept = ("id", "role", "name", "content", "created", "metadata", "tags")
    body = {name: message[name] for name in kept}
    client.post("/message", params=WHERE, json=body).raise_for_status()


def message_added(client: httpx.Client) -> None:
    body = {"id": "one-more", "role": "user", "content": "?"}
    client.post("/message", params=WHERE, json=body).raise_for_status()


def dialogue_deleted(client: httpx.Client) -> None:
    path = "/dialogue/locomo-7-session-2"
    client.delete(path, params={"namespace": "locomo-7"}).raise_for_status()


def dialogue_added(client: httpx.Client) -> None:
    client.post("/dialogue", json={"id": "extra", "namespace": "locomo-7"}).raise_for_status()


def label_changed(client: httpx.Client) -> None:
    path = "/dialogue/locomo-7-session-1"
    client.put(path, params={"namespace": "locomo-7"}, json={"label": "?"}).raise_for_status()


def again(**changes: object) -> Callable[[httpx.Client], None]:
    return lambda client: stored_again(client, **changes)


DAMAGES = {
    "content": (again(content="Turn 60"), f'{LAST}: text is "Turn 60", not'),
    "name": (again(name="Eve"), f'{LAST}: speaker is "Eve", not "Ben"'),
    "role": (again(role="system"), f'{LAST}: role is "system", not'),
    "created": (again(created="2023-05-02"), f"{LAST}: created is"),
    "metadata": (again(metadata={}), f"{LAST}: blip_caption is null, not"),
    "tags": (tags_changed, f'{LAST}: tags is ["seen"], not []'),
    "missing": (message_deleted, f"message {LAST} is missing"),
    "order": (message_moved, "locomo-7-session-1: the messages come in another order"),
    "extra": (message_added, "message one-more is not in the input"),
    "dialogue missing": (dialogue_deleted, "dialogue locomo-7-session-2 is missing"),
    "dialogue extra": (dialogue_added, "dialogue extra is not in the input"),
    "label": (label_changed, 'locomo-7-session-1: label is "?", not "Zoë and Ben, session 1"'),
}


@pytest.mark.parametrize(("damage", "message"), DAMAGES.values(), ids=DAMAGES.keys())
def test_locomo_check_fails_when_what_is_stored_differs(
    damage: Callable[[httpx.Client], None],
    message: str,
    example: Example,
    folder: Path,
    client: httpx.Client,
) -> None:
    example.locomo("load", folder)
    damage(client)
    checked = example.locomo("check", folder)
    assert checked.returncode == 1
    assert message in checked.stderr
    assert "What is stored is not equal to the input" in checked.stderr
    assert "equal to the input." not in checked.stdout


def test_locomo_check_fails_when_the_file_differs(example: Example, folder: Path) -> None:
    example.locomo("load", folder)
    edit(folder / "7.json", lambda content: content["session_1"][4].update(text="Another text"))
    checked = example.locomo("check", folder)
    assert checked.returncode == 1
    assert 'locomo-7-D1:5: text is "Turn 5' in checked.stderr
    loaded = example.locomo("load", folder)
    assert loaded.returncode == 2
    assert "the file has changed since it was loaded" in loaded.stderr


def test_locomo_says_when_what_it_loaded_was_deleted(
    example: Example, folder: Path, client: httpx.Client
) -> None:
    example.locomo("load", folder)
    dialogue_deleted(client)
    loaded = example.locomo("load", folder)
    assert loaded.returncode == 2
    assert "locomo-7-session-2: what was loaded has been deleted since" in loaded.stderr


def test_locomo_check_fails_when_nothing_was_loaded(example: Example, folder: Path) -> None:
    checked = example.locomo("check", folder)
    assert checked.returncode == 1
    assert "5 differences" in checked.stderr


def test_locomo_check_shows_the_first_differences_only(example: Example, folder: Path) -> None:
    write(folder / "9.json", conversation((1,) * 25))
    checked = example.locomo("check", folder)
    assert len(checked.stderr.splitlines()) == 12
    assert "… and 20 more" in checked.stderr


def test_locomo_names_what_is_wrong(example: Example, folder: Path, tmp_path: Path) -> None:
    def said(done: subprocess.CompletedProcess[str]) -> str:
        assert done.returncode == 2, done.stderr
        assert "Traceback" not in done.stderr
        return done.stderr

    assert "DIR" in said(example.locomo("load"))
    assert "refuses the API key" in said(Example(example.url, "x").locomo("load", folder))
    assert "No API key" in said(Example(example.url, "").locomo("load", folder))
    away = Example("http://127.0.0.1:1", "x")
    assert "No server answers at http://127.0.0.1:1" in said(away.locomo("load", folder))
    assert "is not a folder" in said(example.locomo("load", tmp_path / "none"))
    (tmp_path / "empty").mkdir()
    assert "is it a LoCoMo folder?" in said(example.locomo("load", tmp_path / "empty"))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[]", "holds no JSON object"),
        ("{", "cannot be read as JSON"),
        ('{"speaker_a": "A", "speaker_b": "B"}', "it has no session"),
        ('{"speaker_a": "A", "session_1": []}', "no text `speaker_b`"),
        ('{"speaker_a": "A", "speaker_b": "B", "session_1": []}', "`session_1_date_time`"),
    ],
)
def test_locomo_refuses_another_kind_of_file(
    content: str, message: str, example: Example, folder: Path
) -> None:
    (folder / "other.json").write_text(content, encoding="utf-8")
    done = example.locomo("load", folder)
    assert done.returncode == 2
    assert message in done.stderr
    assert "other.json" in done.stderr
