"""Every code block of the documentation runs, and every page can be reached.

A page is run from top to bottom, against a server of its own, in an empty folder:

- `bash` blocks share their variables, `python` blocks share one namespace;
- `DIALOGUEDB_BASE_URL` and `DIALOGUEDB_API_KEY` name the server and a valid key. The server's
  file is `dialoguedb.db` in the folder, so that commands work beside it; `examples/` is there too;
- 8643, the port of the servers that a page starts itself, stands for a free one;
- tokens are estimated: what is printed must not depend on the data that a machine has;
- `json` and `toml` blocks must parse.

A comment on the line before a block changes this:

- `<!-- not run: reason -->` where running is impossible;
- `<!-- file: NAME -->` where the block is a file of that name, which later blocks use;
- `<!-- notebook -->` where the block is a cell of a notebook, which may `await`;
- `<!-- refused: CODE -->` where the last request of the block is answered with that error;
- `<!-- printed -->` before a `text` block that shows what the last `python` block printed; `…`
  stands for anything;
- `<!-- answer -->` before a `json` block that shows what the last `bash` block printed. Ids, times,
  hashes and the like may differ, everything else may not.
"""

import ast
import asyncio
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator
from contextlib import redirect_stdout, suppress
from io import StringIO
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from dialoguedb.tokens import open_tokenizer
from harness import Server

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
FENCE = re.compile(r"^(`{3,})(\S*)[^\n]*\n(.*?)^\1[ ]*$", re.MULTILINE | re.DOTALL)
KINDS = "not run|refused|answer|printed|file|notebook"
COMMENT = re.compile(rf"<!-- ({KINDS})(?:: (.*\S))? -->")
PARSERS: dict[str, Callable[[str], Any]] = {"json": json.loads, "toml": tomllib.loads}
PORT = "8643"
BLOCK_S = 60.0
#: What differs from run to run: hashes, UUIDs, keys and their hints, cursors, times, ids, versions.
VOLATILE = re.compile(
    r"[0-9a-f]{64}|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}|skv1_[\w-]{43}|skv1_[\w-]{4}…[\w-]{4}"
    r"|[\w-]{48,}|\d{4}-\d\d-\d\dT[\d:.]{12}Z|[0-9A-HJKMNP-TV-Z]{26}|\b\d+\.\d+\.\d+\b"
)


class Block(NamedTuple):
    """A fenced block of a page, with the comment on the line before it."""

    line: int
    language: str
    text: str
    kind: str
    about: str


def blocks(page: Path) -> list[Block]:
    """Find the fenced blocks of a page."""
    content = page.read_text(encoding="utf-8")
    found = []
    for fence in FENCE.finditer(content):
        above = content[: fence.start()].splitlines()
        comment = COMMENT.fullmatch(above[-1]) if above else None
        kind, about = (comment[1], comment[2] or "") if comment else ("", "")
        found.append(Block(len(above) + 1, fence[2], fence[3], kind, about))
    return found


def pages() -> list[Path]:
    """List the pages written by hand; the generated reference is tested where it is made."""
    found = [ROOT / "README.md", ROOT / "examples" / "README.md", *sorted(DOCS.rglob("*.md"))]
    return [page for page in found if DOCS / "reference" not in page.parents]


def runs(block: Block) -> bool:
    return block.language in ("bash", "python") and block.kind != "not run"


def name(page: Path) -> str:
    return str(page.relative_to(ROOT))


PAGES = pages()
RUNNING = [page for page in PAGES if any(map(runs, blocks(page)))]
every_page = pytest.mark.parametrize("page", PAGES, ids=map(name, PAGES))


class Shell:
    """Runs the bash blocks of one page, one after the other, in one folder."""

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        self.folder = folder
        self.aside = folder.parent / "aside"
        self.aside.mkdir()
        (self.aside / ".curlrc").write_text("fail-with-body\nsilent\nshow-error\n")
        self.environment = environment | {"CURL_HOME": str(self.aside)}
        self.groups: list[int] = []
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = str(free.getsockname()[1])

    def run(self, text: str) -> tuple[int, str, str]:
        """Run a block with the variables of the blocks before; return code, output and errors."""
        variables = self.aside / "variables"
        variables.touch()
        script = f"set -a\n. '{variables}'\n{text}\ndeclare -px >'{variables}'\n"
        printed, said = self.aside / "stdout", self.aside / "stderr"
        with printed.open("wb") as stdout, said.open("wb") as stderr:
            process = subprocess.Popen(
                ["bash", "-euo", "pipefail", "-c", script.replace(PORT, self.port)],
                cwd=self.folder,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=stdout,
                stderr=stderr,
                start_new_session=True,
            )
            self.groups.append(process.pid)
            code = process.wait(BLOCK_S)
        return code, printed.read_text(encoding="utf-8"), said.read_text(encoding="utf-8")

    def close(self) -> None:
        """End what the blocks have left running: each ran in a process group of its own."""
        for group in self.groups:
            with suppress(ProcessLookupError):
                os.killpg(group, signal.SIGKILL)


class Python:
    """Runs the python blocks of one page, one after the other, in one namespace."""

    def __init__(self) -> None:
        self.names: dict[str, Any] = {"__name__": "page"}
        self.loop = asyncio.Runner()
        self.printed = ""

    def run(self, block: Block, page: Path, port: str) -> None:
        """Run a block; what it prints is kept."""
        source = "\n" * block.line + block.text.replace(PORT, port)
        flags = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT if block.kind == "notebook" else 0
        with redirect_stdout(StringIO()) as out:
            left = eval(compile(source, str(page), "exec", flags), self.names)
            if left is not None:
                self.loop.run(left)
        self.printed = out.getvalue()


@pytest.fixture
def python() -> Iterator[Python]:
    """A namespace, with an event loop for the cells of notebooks."""
    running = Python()
    with running.loop:
        yield running


@pytest.fixture
def shell(
    tmp_path: Path, serve: Callable[..., Server], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Shell]:
    """A folder with a server, as a page expects it."""
    folder = tmp_path / "page"
    folder.mkdir()
    (folder / "examples").symlink_to(ROOT / "examples")
    server = serve(db=folder / "dialoguedb.db")
    kept = {k: v for k, v in os.environ.items() if not k.startswith("DIALOGUEDB_")}
    ours = {
        "DIALOGUEDB_BASE_URL": server.url,
        "DIALOGUEDB_API_KEY": str(server.key),
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "TIKTOKEN_CACHE_DIR": "",
    }
    monkeypatch.chdir(folder)
    for variable, value in ours.items():
        monkeypatch.setenv(variable, value)
    open_tokenizer.cache_clear()
    running = Shell(folder, kept | ours)
    yield running
    running.close()
    open_tokenizer.cache_clear()


def curl_is_there() -> bool:
    """Say whether there is a curl that can fail and still show the body (7.76 or newer)."""
    if shutil.which("curl") is None:
        return False
    helped = subprocess.run(["curl", "--help", "all"], capture_output=True, text=True, check=False)
    return "--fail-with-body" in helped.stdout


@pytest.mark.skipif(not curl_is_there(), reason="needs curl 7.76 or newer")
@pytest.mark.parametrize("page", RUNNING, ids=map(name, RUNNING))
def test_every_block_of_the_page_runs(page: Path, shell: Shell, python: Python) -> None:
    printed = ""
    for block in blocks(page):
        where = f"{name(page)}, line {block.line}"
        if block.kind == "answer":
            assert masked(block.text) == masked(printed), where
        elif block.kind == "printed":
            pattern = re.escape(block.text.rstrip()).replace("…", ".*")
            assert re.fullmatch(pattern, python.printed.rstrip()), f"{where}\n{python.printed}"
        elif block.kind == "file":
            (shell.folder / block.about).write_text(block.text.replace(PORT, shell.port))
        elif runs(block) and block.language == "python":
            python.run(block, page, shell.port)
        elif runs(block):
            code, printed, said = shell.run(block.text)
            if block.kind == "refused":
                refused = re.search(r'"code":"(\w+)"', printed)
                found = (code, refused[1] if refused else "")
                assert found == (22, block.about), f"{where}\n{printed}{said}"
            else:
                assert code == 0, f"{where} ended with {code}\n{printed}{said}"


def masked(text: str) -> Any:
    """Parse JSON and put a placeholder for all that differs from run to run."""
    return json.loads(VOLATILE.sub("…", text))


@every_page
def test_every_block_is_run_or_parsed_or_says_why_not(page: Path) -> None:
    for block in blocks(page):
        where = f"{name(page)}, line {block.line}"
        if block.kind == "not run":
            assert len(block.about.split()) >= 3, f"{where}: no reason"
        elif block.language in PARSERS:
            PARSERS[block.language](block.text)
        else:
            assert block.language in ("bash", "python", "text"), f"{where}: {block.language!r}"


@every_page
def test_comments_stand_before_a_block(page: Path) -> None:
    lines = page.read_text(encoding="utf-8").splitlines()
    for line, following in zip(lines, [*lines[1:], ""], strict=True):
        if COMMENT.fullmatch(line):
            assert following.startswith("```"), line
        else:
            assert not re.search(rf"<!--\s*({KINDS})\b", line), line


LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)")
CODE = re.compile(r"^(`{3,}).*?^\1[ ]*$|`[^`\n]*`", re.MULTILINE | re.DOTALL)


def links(page: Path) -> list[tuple[str, str]]:
    """List the targets of the links of a page, each with its fragment."""
    text = CODE.sub("", page.read_text(encoding="utf-8"))
    targets = [target for target in LINK.findall(text) if not re.match(r"[a-z]+:", target)]
    return [(path, fragment) for path, _, fragment in (t.partition("#") for t in targets)]


def anchors(page: Path) -> set[str]:
    """List the names that the headings of a page can be linked by."""
    text = FENCE.sub("", page.read_text(encoding="utf-8"))
    headings = re.findall(r"^#+ +(.*?) *$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


LINKING = [*PAGES, ROOT / "CHANGELOG.md", *sorted((DOCS / "reference").rglob("*.md"))]


@pytest.mark.parametrize("page", LINKING, ids=map(name, LINKING))
def test_every_link_leads_somewhere(page: Path) -> None:
    for path, fragment in links(page):
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), f"{name(page)} links to {path}"
        assert target.is_relative_to(ROOT), f"{name(page)} links out of the project: {path}"
        if fragment and target.suffix == ".md":
            assert fragment in anchors(target), f"{name(page)} links to {path}#{fragment}"


def test_every_page_is_reached_from_the_index() -> None:
    reached: set[Path] = set()
    waiting = [DOCS / "README.md"]
    while waiting:
        page = waiting.pop()
        if page in reached:
            continue
        reached.add(page)
        for path, _ in links(page):
            target = (page.parent / path).resolve()
            # A link to a folder leads to the list of its pages.
            waiting += [target] if target.suffix == ".md" else sorted(target.glob("*.md"))
    assert sorted(set(DOCS.rglob("*.md")) - reached) == []
