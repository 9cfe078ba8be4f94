"""How commands end: exit codes and errors; and what their help teaches."""

import inspect
import json
import re
import shlex
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from cli.programs import Place, in_process, program
from dialoguedb.cli.main import app
from harness import Server

ROOT = Path(__file__).parents[2]


# ── exit codes ───────────────────────────────────────────────────────────────────────────────

ADD = ["message", "add", "d", "--role", "user"]


@pytest.mark.parametrize(
    ("command", "names"),
    [
        (["dialogue", "create", "--state", "{'a': 1}"], ["--state", "JSON"]),
        (["dialogue", "create", "--state", "[1]"], ["--state", "JSON object"]),
        (["dialogue", "create", "--metadata", '{"a": NaN}'], ["--metadata", "NaN"]),
        (["dialogue", "update-state", "d"], ["--state"]),
        (["dialogue", "update-tags", "d"], ["--tags"]),
        (["dialogue", "list", "--limit", "0"], ["--limit"]),
        (["dialogue", "list", "--order", "up"], ["--order", "asc"]),
        (["dialogue", "list", "--output", "xml"], ["--output", "table"]),
        (["dialogue", "get"], ["DIALOGUE"]),
        (["dialogue", "list", "--base-url", "http://h"], ["--db", "--base-url"]),
        (["dialogue", "list", "--api-key", "k"], ["--db", "--api-key"]),
        (["message", "add", "d", "--content", "x"], ["--role"]),
        (ADD, ["--content", "--stdin"]),
        ([*ADD, "--content", "x", "--stdin"], ["--content", "--stdin"]),
        ([*ADD, "--content-json", "[1", "--name", "n"], ["--content-json"]),
        ([*ADD, "--content-json", "[]", "--image", "http://h/a.png"], ["--image"]),
        ([*ADD, "--image", "a.bmp"], ["--image", ".png"]),
        ([*ADD, "--image", "none.png"], ["none.png", "cannot be read"]),
        ([*ADD, "--image", "large.png"], ["large.png", "20 MiB"]),
        (["message", "add-batch", "d", "--file", "none.json"], ["none.json", "cannot be read"]),
        (["message", "add-batch", "d", "--file", "broken.json"], ["broken.json", "JSON"]),
        (["message", "add-batch", "d", "--file", "object.json"], ["object.json", "list"]),
        (["memory", "create"], ["--value", "--value-json", "--stdin"]),
        (["memory", "create", "--value", "1", "--value-json", "2"], ["--value-json"]),
        (["search", "messages", "x", "--filter", "today"], ["--filter"]),
        (["tail", "d", "-n", "-1"], ["-n"]),
        (["import", "x", "--format", "csv"], ["--format", "chatgpt"]),
        (["import", "-", "--format", "openai"], ["--format"]),
        (["nonsense"], ["nonsense"]),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_wrong_usage_ends_with_2(
    command: list[str], names: list[str], usage: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And names the option; nothing is asked of the database."""
    monkeypatch.chdir(usage.folder)
    options = usage.options if command != ["nonsense"] else ()
    done = in_process(*command, *options, env={"COLUMNS": "200"})
    assert (done.exit_code, done.stdout) == (2, ""), done.stderr
    assert [name for name in names if name not in done.stderr] == []


def test_wrong_usage_of_the_program_ends_with_2() -> None:
    """As of a command that is run in the tests' own process."""
    done = program("nonsense")
    assert (done.returncode, done.stdout) == (2, "")
    assert "nonsense" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.fixture(scope="module")
def usage(tmp_path_factory: pytest.TempPathFactory) -> Place:
    """A file with a dialogue, and files that are none of what they are taken for."""
    place = Place(("--db", "chat.db"), {}, tmp_path_factory.mktemp("usage"))
    with place.client() as db:
        db.create_dialogue(id="d")
    (place.folder / "broken.json").write_text("[1")
    (place.folder / "object.json").write_text("{}")
    with (place.folder / "large.png").open("wb") as image:
        image.truncate(20 * 1024 * 1024 + 1)
    return place


@pytest.mark.parametrize("command", ["serve", "verify", "project", "key"])
def test_a_command_on_files_refuses_a_server(command: str) -> None:
    """It would work on another database than the one that was named."""
    done = program("--base-url", "http://h", command, env={"COLUMNS": "200"})
    assert done.returncode == 2
    assert f"{command} does not take --base-url" in done.stderr


def test_a_server_that_is_not_there_is_3(tmp_path: Path) -> None:
    """The same command may succeed later."""
    place = Place(("--base-url", "http://127.0.0.1:9", "--api-key", "k"), {}, tmp_path)
    error = place.refused("stats", code=3)
    assert (error["code"], error["statusCode"]) == ("NETWORK_ERROR", 0)


class _Answer(BaseHTTPRequestHandler):
    """Answers with the status that the first part of the path says."""

    def do_GET(self) -> None:
        status = int(self.path.split("/")[1])
        body = b"<html>a page of some other program</html>"
        self.send_response(status)
        self.send_header("Retry-After", "0")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments: object) -> None:
        """Say nothing."""


@pytest.fixture(scope="module")
def stranger() -> Iterator[str]:
    """The address of a server that is none of ours."""
    with ThreadingHTTPServer(("127.0.0.1", 0), _Answer) as running:
        thread = threading.Thread(target=running.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{running.server_port}"
        running.shutdown()
        thread.join()


@pytest.mark.parametrize(
    ("status", "code", "exit_code"),
    [(503, "SERVICE_UNAVAILABLE", 3), (429, "RATE_LIMIT_EXCEEDED", 3), (200, "UNKNOWN_ERROR", 1),
     (404, "UNKNOWN_ERROR", 1), (401, "UNAUTHORIZED", 1)],
)  # fmt: skip
def test_answers_decide_the_exit_code(
    stranger: str, status: int, code: str, exit_code: int, tmp_path: Path
) -> None:
    """Busy is another code than refused."""
    place = Place(("--base-url", f"{stranger}/{status}", "--api-key", "k"), {}, tmp_path)
    assert place.refused("dialogue", "list", code=exit_code)["code"] == code


def test_a_wrong_or_missing_key_is_said(server: Server, tmp_path: Path) -> None:
    """Missing, both variables and the way without a server are named."""
    wrong = Place(("--base-url", server.url, "--api-key", "skv1_no"), {}, tmp_path)
    assert wrong.refused("dialogue", "list")["code"] == "UNAUTHORIZED"
    missing = Place(("--base-url", server.url), {}, tmp_path).refused("dialogue", "list")
    assert "DIALOGUEDB_API_KEY" in missing["error"]
    assert "--db FILE" in missing["error"]


def test_an_error_names_the_field(file_place: Place) -> None:
    """In `details`, as on the wire."""
    error = file_place.refused("dialogue", "create", "--tags", ",".join("abcdefghijk"))
    assert error["type"] == "validation_error"
    assert error["details"][0]["field"] == "tags"


def test_a_certificate_is_trusted_by_its_file(tmp_path: Path) -> None:
    """A server that made its own certificate is reached with --ca-file, and not without."""
    server = Server(tmp_path / "chat.db", "--tls-self-signed")
    try:
        certificate = next(tmp_path.glob("**/*cert*.pem"))
        flags = ("--base-url", server.url, "--api-key", str(server.key))
        done = program("dialogue", "list", *flags, "--ca-file", str(certificate))
        assert done.returncode == 0, done.stderr
        done = program("dialogue", "list", *flags)
        assert (done.returncode, json.loads(done.stderr)["statusCode"]) == (3, 0)
    finally:
        server.stop()


# ── help ─────────────────────────────────────────────────────────────────────────────────────


def commands(command: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    below = getattr(command, "commands", None)
    if below is None:
        yield path, command
        return
    for name, one in below.items():
        yield from commands(one, (*path, name))


COMMANDS = dict(commands(get_command(app)))
#: End only when they are told to; they are run in their own tests.
ENDLESS = {("serve",), ("work",)}


def example_of(path: tuple[str, ...]) -> list[str]:
    text = " ".join(inspect.cleandoc(COMMANDS[path].help).split())
    found = re.search(r"Example: `(.+?)`$", text)
    assert found, f"{' '.join(path)} has no example"
    return shlex.split(found[1])


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which each example can run: a database, and files to read."""
    folder = tmp_path_factory.mktemp("world")
    place = Place(("--db", "dialoguedb.db"), {}, folder)
    with place.client() as db:
        dialogue = db.create_dialogue(id="repair-204", message={"role": "user", "content": "a"})
        dialogue.save_message(role="user", content="b", id="m-1")
        dialogue.summarize(id="repair-204-first-week")
        db.create_memory("et", id="u9-language")
    place.json("project", "create", "shop")
    place.json("export", "chat.ndjson")
    (folder / "turns.json").write_text('[{"role": "user", "content": "c"}]')
    shutil.copy(folder / "dialoguedb.db", folder / "chat.db")
    return folder


@pytest.mark.parametrize(
    "path", [one for one in COMMANDS if one not in ENDLESS], ids=lambda path: "-".join(path)
)
def test_every_example_runs(
    path: tuple[str, ...], world: Path, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """As it stands in the help, in a folder with a database; an address is that of a real one."""
    folder = shutil.copytree(world, tmp_path / "world")
    program_name, *arguments = example_of(path)
    assert program_name == "dialoguedb"
    assert tuple(arguments[: len(path)]) == path
    if path == ("project", "create"):
        arguments[-1] = "another"
    if path == ("memory", "create"):
        arguments[arguments.index("--id") + 1] = "another"
    if path == ("dialogue", "create-thread"):
        assert "--label" in arguments
    if path == ("key", "revoke"):
        arguments[-1] = json.loads(program("key", "create", cwd=folder).stdout)["id"]
    if any(one.startswith("postgresql://") for one in arguments):
        address = request.getfixturevalue("cluster").new_database("empty")
        arguments = [address if one.startswith("postgresql://") else one for one in arguments]
    done = program(*arguments, cwd=folder)
    if path == ("doctor",):
        assert (done.returncode, done.stderr) == (1, "")  # the tests' cluster does not fsync
    else:
        assert (done.returncode, done.stderr) == (0, ""), done.stderr


def test_help_tells_the_exit_codes() -> None:
    """At its end; also without any argument."""
    done = program("--help", env={"COLUMNS": "300"})
    assert done.returncode == 0
    assert "Exit codes: 0 done; 1 refused or failed; 2 wrong usage; 3 not reached" in done.stdout
    shown = program("dialogue", "create", "--help", env={"COLUMNS": "300"}).stdout
    for option in ("--state", "--db", "--base-url", "--endpoint", "--api-key", "--output"):
        assert option in shown


def test_the_command_line_loads_little() -> None:
    """Help and completion come at once: neither the client nor the store is loaded for them."""
    heavy = "{'numpy', 'apsw', 'httpx', 'dialoguedb.engine', 'dialoguedb.sdk._sync.client'}"
    code = f"import sys, dialoguedb.cli.main; assert not {heavy} & set(sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_knows_the_commands(shell: str) -> None:
    """Of each shell that has it."""
    words = "dialoguedb dialogue get-"
    variables = {"bash": {"COMP_WORDS": words, "COMP_CWORD": "2"}, "zsh": {}, "fish": {}}[shell]
    typed = {"_TYPER_COMPLETE_ARGS": words, "_TYPER_COMPLETE_FISH_ACTION": "get-args"}
    done = program(
        env=variables | typed | {"_DIALOGUEDB_COMPLETE": f"complete_{shell}"},
    )
    assert "get-or-create" in done.stdout
    assert "get-threads" in done.stdout


# ── the manual page ──────────────────────────────────────────────────────────────────────────

MANUAL = ROOT / "docs" / "reference" / "dialoguedb.1"


def test_the_manual_page_has_every_command_and_option() -> None:
    """It is written from the same commands."""
    text = MANUAL.read_text("utf-8").replace("\\-", "-")
    for section in ("NAME", "SYNOPSIS", "OPTIONS", "COMMANDS", "EXIT STATUS", "ENVIRONMENT"):
        assert f".SH {section}\n" in text
    for path, command in COMMANDS.items():
        assert f".SS dialoguedb {' '.join(path)}" in text
        for param in command.params:
            for option in param.opts if param.param_type_name == "option" else ():
                assert option == "--help" or option in text, (path, option)


@pytest.mark.skipif(shutil.which("groff") is None, reason="needs groff")
def test_the_manual_page_renders() -> None:
    """Without a warning."""
    done = subprocess.run(
        ["groff", "-man", "-Tutf8", "-ww", "-K", "utf8", str(MANUAL)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    assert "--db-key-file FILE" in re.sub(r"\x1b\[[\d;]*m|.\x08", "", done.stdout)
