"""Where a command reads and writes when that is no ordinary file, and what is left of a failure."""

import json
import os
import stat
import subprocess
import threading
from pathlib import Path

import pytest

import dialoguedb
from cli.programs import CLEAN, Place, program
from dialoguedb.errors import InvalidParameter
from harness import DIALOGUEDB, Server, new_project

HEADER = '{"dialoguedb":"export","format":1}'


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Place:
    """A file with a dialogue `d` and a message."""
    place = Place(("--db", "chat.db"), {}, tmp_path_factory.mktemp("filled"))
    with place.client() as db:
        db.create_dialogue(id="d", message={"role": "user", "content": "hi\n\n"})
    return place


def shell(place: Place, line: str) -> "subprocess.CompletedProcess[str]":
    """Run a line of shell; `$D` is the program with the place's options behind it."""
    command = f'D() {{ "{DIALOGUEDB}" "$@" {" ".join(place.options)}; }}; {line}'
    return subprocess.run(
        ["bash", "-c", command], capture_output=True, encoding="utf-8", timeout=60,
        env=CLEAN, cwd=place.folder, check=False,
    )  # fmt: skip


# ── an export ────────────────────────────────────────────────────────────────────────────────


def test_an_export_goes_into_a_pipe_that_is_there(filled: Place) -> None:
    """It stays a pipe: it is not replaced by a file."""
    pipe = filled.folder / "pipe"
    os.mkfifo(pipe)
    read: list[bytes] = []
    reader = threading.Thread(target=lambda: read.append(pipe.read_bytes()))
    reader.start()
    try:
        done = filled.run("export", "pipe")
    finally:
        if not stat.S_ISFIFO(pipe.stat().st_mode):  # so that the reader ends
            os.close(os.open(pipe, os.O_RDWR))
    reader.join(10)
    assert stat.S_ISFIFO(pipe.stat().st_mode)
    records = read[0].count(b"\n") - 1
    assert json.loads(done.stdout) == {"exported": records, "file": "pipe"}, done.stderr
    assert filled.run("export", "/dev/stdout").stdout.encode() == read[0]


def test_a_link_to_an_export_stays_a_link(filled: Place) -> None:
    """What it points to is replaced."""
    target, link = filled.folder / "target", filled.folder / "link"
    target.write_text(HEADER + "\nbefore")
    link.symlink_to("target")
    filled.json("export", "link")
    assert link.is_symlink()
    assert target.read_text().startswith(HEADER + '\n{"type":"dialogue"')


def test_an_export_replaces_only_an_export(filled: Place) -> None:
    """Least of all the database that it is of."""
    before = (filled.folder / "chat.db").read_bytes()
    assert "is no export" in filled.refused("export", "chat.db")["error"]
    assert (filled.folder / "chat.db").read_bytes() == before
    (filled.folder / "empty").touch()
    filled.json("export", "empty")
    filled.json("export", "empty")


@pytest.mark.parametrize("folder", [".", "/", "inside"])
def test_a_folder_is_no_place_for_an_export(folder: str, filled: Place) -> None:
    """It is said before anything is written."""
    (filled.folder / "inside").mkdir(exist_ok=True)
    assert "is a folder" in filled.refused("export", folder)["error"]
    assert list(filled.folder.glob("*.part*")) == []


def test_an_export_that_is_refused_leaves_no_empty_one(server: Server, tmp_path: Path) -> None:
    """A header alone would be a whole export of nothing, and pass for a backup."""
    key = new_project(server.db).key
    place = Place(("--base-url", server.url, "--api-key", key), {}, tmp_path)
    assert place.refused("export")["code"] == "FORBIDDEN"
    assert place.refused("export", "out.ndjson")["code"] == "FORBIDDEN"
    assert not (tmp_path / "out.ndjson").exists()


def test_names_of_files_need_not_be_text(filled: Place) -> None:
    """A name is bytes; only a database wants UTF-8, as SQLite does."""
    done = shell(filled, r"D export $'q\xff.ndjson' && D import $'q\xff.ndjson'")
    assert (done.returncode, done.stderr) == (0, "")
    assert '"file": "q\\udcff.ndjson"' in done.stdout
    done = shell(filled, rf"{DIALOGUEDB} memory create --value x --db $'q\xff.db'")
    assert (done.returncode, done.stdout) == (1, "")
    assert "no UTF-8" in json.loads(done.stderr)["error"]


# ── standard streams ─────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("command", ["export", "dialogue list", "tail d --output table"])
def test_output_that_cannot_be_written_is_an_error(command: str, filled: Place) -> None:
    """Said once, with exit code 1: no traceback, and Python does not try again when it ends."""
    done = shell(filled, f"D {command} > /dev/full")
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "the output cannot be written: No space left on device" in done.stderr


def test_closed_standard_streams_are_no_failure(filled: Place) -> None:
    """What is read from them is empty, what is written is gone; no file gets their numbers."""
    done = shell(filled, "D dialogue create --id closed >&- 2>&- <&- && D dialogue get closed")
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)["id"] == "closed"
    done = shell(filled, "D import - <&-")
    assert "this is no export" in json.loads(done.stderr)["error"]


# ── an import ────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("line", "says"),
    [
        (b'{"type":"memory","id":"k","value":' + b"[" * 100_000, "line 2 is no record: it is nest"),
        (b'{"type":"memory","id":"k","value":"\xff"}', "line 2 is no record: 'utf-8'"),
    ],
    ids=["deep", "no UTF-8"],
)
def test_a_hostile_line_is_named(line: bytes, says: str, filled: Place) -> None:
    """Whatever it holds."""
    (filled.folder / "in.ndjson").write_bytes(HEADER.encode() + b"\n" + line + b"\n")
    assert says in filled.refused("import", "in.ndjson")["error"]


def test_an_export_that_an_editor_has_saved_is_read(filled: Place, tmp_path: Path) -> None:
    """With the mark that Windows puts before UTF-8, and with its line ends."""
    text = filled.run("export").stdout.replace("\n", "\r\n")
    (tmp_path / "saved.ndjson").write_bytes(b"\xef\xbb\xbf" + text.encode())
    copy = Place(("--db", "copy.db"), {}, tmp_path)
    records = text.count("\n") - 1
    assert copy.json("import", "saved.ndjson") == {"imported": records, "skipped": 0}


def test_a_namespace_that_is_no_text_is_wrong_usage(filled: Place) -> None:
    """And is not sent."""
    (filled.folder / "one.ndjson").write_text(f'{HEADER}\n{{"type":"memory"}}\n')
    done = shell(filled, r"D import one.ndjson --namespace $'\xff'")
    assert (done.returncode, done.stdout) == (2, "")
    assert "Traceback" not in done.stderr


# ── options ──────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("option", ["--project", "--db-key-file"])
def test_an_option_for_files_is_not_ignored_on_a_server(option: str) -> None:
    """The command would work on another project than the one that was named."""
    env = {"DIALOGUEDB_BASE_URL": "http://h", "DIALOGUEDB_API_KEY": "k", "COLUMNS": "200"}
    done = program("dialogue", "list", option, "other", env=env)
    assert (done.returncode, done.stdout) == (2, "")
    assert f"{option} is for --db" in done.stderr


@pytest.mark.parametrize("url", ["http://[::1", "http://h:99999", "http://h?x=1", "http://u:p@h"])
def test_an_address_that_is_none_is_refused(url: str) -> None:
    """Whatever is wrong with it; a user in it would take the place of the key."""
    with pytest.raises(InvalidParameter, match="Invalid base_url"):
        dialoguedb.DialogueDB("k", url)
