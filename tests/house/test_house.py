"""The rules of the house: what the scripts check, and what no script sees."""

import ast
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

import pytest

from dialoguedb.store import statements

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src" / "dialoguedb"
MODULES = sorted(SOURCE.rglob("*.py"))
TREES = {
    str(file.relative_to(SOURCE)): ast.parse(file.read_text(encoding="utf-8")) for file in MODULES
}
BIN = Path(sys.executable).parent
#: Imports every module of the package and tells what that did besides.
IMPORT_ALL = """
import importlib, os, pkgutil, sys, threading
import apsw, cryptography.x509, httpx, model2vec, msgspec, numpy, prometheus_client, simsimd
import Stemmer, starlette.routing, typer, uvicorn
import uvicorn.protocols.http.httptools_impl
acts = []
def hook(event, arguments):
    if event == "open" and isinstance(arguments[1], str) and set(arguments[1]) & set("wax+"):
        acts.append((event, arguments[0]))
    elif event.startswith(("socket.", "subprocess.", "os.fork", "os.putenv", "os.remove",
                           "os.mkdir", "os.exec", "signal.", "sqlite3.")):
        acts.append((event, arguments))
sys.addaudithook(hook)
before = dict(os.environ)
import dialoguedb
for found in pkgutil.walk_packages(dialoguedb.__path__, "dialoguedb."):
    importlib.import_module(found.name)
assert not acts, acts
assert threading.active_count() == 1, threading.enumerate()
assert dict(os.environ) == before
"""


def script(name: str) -> ModuleType:
    """A script as a module."""
    spec = spec_from_file_location(f"scripts_{name}", ROOT / "scripts" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


#: Serves a file's API, and works in-process, as if no extra were installed.
WITHOUT_EXTRAS = """
import sys
from importlib.abc import MetaPathFinder

class Missing(MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {"psycopg", "greenlet", "openai", "tiktoken", "fastembed"}:
            raise ModuleNotFoundError(f"{name} comes with an extra")

sys.meta_path.insert(0, Missing())
import asyncio, dialoguedb
from dialoguedb.server.app import make_app
from dialoguedb.settings import Settings
from dialoguedb.store.opening import open_store

with dialoguedb.open("chat.db") as db:
    db.create_dialogue().save_message(role="user", content="a wheel")

async def main():
    make_app(Settings(), open_store("chat.db"))

asyncio.run(main())
"""


def python(*arguments: str, cwd: Path = ROOT) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-B", *arguments],
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def texts() -> Iterator[tuple[Path, str]]:
    """Every text file of the project, by its place in it; the weights of the model are none."""
    seen = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=False
    ).stdout.decode()
    if not seen:
        pytest.skip("this is no working copy")
    for name in filter(None, seen.split("\0")):
        file = ROOT / name
        if file.is_file() and file.suffix != ".safetensors":
            yield Path(name), file.read_text(encoding="utf-8")


# ── the scripts ──────────────────────────────────────────────────────────────────────────────


def test_the_house_is_in_order(capsys: pytest.CaptureFixture[str]) -> None:
    """Sizes, the place of SQL, handlers and the version."""
    assert script("house").main() == 0, capsys.readouterr().out
    assert capsys.readouterr().out == ""


def test_the_reference_is_up_to_date() -> None:
    """Its pages are what `scripts/docs` would write."""
    done = python("scripts/reference.py", "--check")
    assert done.returncode == 0, done.stdout + done.stderr


def test_imports_point_down() -> None:
    """The layers of `pyproject.toml`."""
    done = subprocess.run(
        [BIN / "lint-imports", "--no-cache"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_scripts_can_be_called() -> None:
    """Those that say what runs them, are made to be run; each says what it does."""
    called = [*(ROOT / "scripts").iterdir(), *(ROOT / ".ci").iterdir()]
    for file in called:
        if file.suffix or not file.is_file():
            continue
        lines = file.read_text(encoding="utf-8").splitlines()
        assert lines[0].startswith("#!"), file
        assert lines[1].startswith("# "), file
        assert os.access(file, os.X_OK), file


# ── imports ──────────────────────────────────────────────────────────────────────────────────


def test_the_package_loads_nothing_heavy() -> None:
    """Neither SQLite nor the server's libraries."""
    done = python(
        "-c",
        "import sys, dialoguedb; heavy = {'apsw', 'starlette', 'uvicorn', 'cryptography', 'typer'}"
        " & set(sys.modules); assert not heavy, heavy; assert dialoguedb.__version__",
    )
    assert done.returncode == 0, done.stderr


def test_the_command_line_loads_no_server() -> None:
    """Only `serve` needs its libraries, which take a while to load."""
    done = python(
        "-c",
        "import sys, dialoguedb.cli.main; heavy = {'starlette', 'uvicorn', 'cryptography'}"
        " & set(sys.modules); assert not heavy, heavy",
    )
    assert done.returncode == 0, done.stderr


def test_the_engine_loads_no_server_and_no_sqlite() -> None:
    """A program can hold the rules without the rest."""
    done = python(
        "-c",
        "import sys, dialoguedb.engine, dialoguedb.wire; heavy = {'apsw', 'starlette', 'uvicorn',"
        " 'typer'} & set(sys.modules); assert not heavy, heavy",
    )
    assert done.returncode == 0, done.stderr


def test_a_file_is_served_without_any_extra(tmp_path: Path) -> None:
    """What comes with an extra is loaded by those who use it."""
    done = python("-c", WITHOUT_EXTRAS, cwd=tmp_path)
    assert done.returncode == 0, done.stderr


def test_importing_a_module_does_nothing(tmp_path: Path) -> None:
    """No thread, no file, no socket, no change of the environment."""
    done = python("-c", IMPORT_ALL, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("names", "allowed"),
    [
        ({"environ", "getenv", "environb", "putenv"}, {"settings.py"}),
        ({"urandom", "time_ns", "uuid4", "token_bytes", "monotonic"}, {"runtime.py"}),
    ],
)
def test_what_one_module_does_no_other_does(names: set[str], allowed: set[str]) -> None:
    """The environment has one place, and chance and the clock have another."""
    for place, tree in TREES.items():
        used = {
            node.attr if isinstance(node, ast.Attribute) else node.id
            for node in ast.walk(tree)
            if isinstance(node, ast.Attribute | ast.Name)
        }
        imported = {
            alias.name
            for node in ast.walk(tree)
            if isinstance(node, ast.ImportFrom)
            for alias in node.names
        }
        if place not in allowed:
            assert not (used | imported) & names, place


# ── texts ────────────────────────────────────────────────────────────────────────────────────


def undescribed(tree: ast.Module) -> Iterator[str]:
    """The public functions, classes and methods of a module that have no docstring."""
    if not ast.get_docstring(tree):
        yield "the module"

    def below(nodes: list[ast.stmt], within: str) -> Iterator[str]:
        for node in nodes:
            if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                if node.name.startswith("_"):
                    continue
                # What a base class says of its method holds for the method.
                overridden = within and node.name in {"startup"}
                if not ast.get_docstring(node) and not overridden:
                    yield f"{within}{node.name}"
                if isinstance(node, ast.ClassDef):
                    yield from below(node.body, f"{node.name}.")

    yield from below(tree.body, "")


@pytest.mark.parametrize("place", TREES)
def test_everything_public_is_described(place: str) -> None:
    """In a sentence that ends."""
    assert list(undescribed(TREES[place])) == []
    for node in ast.walk(TREES[place]):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            first = (ast.get_docstring(node) or "x.").split("\n\n")[0]
            assert first.rstrip().endswith((".", ":", "?", "!", ")")), (place, first)


def test_no_file_names_a_place_of_one_machine() -> None:
    """The project is read and run elsewhere."""
    places = re.compile(r"(?<![\w}\]])/(?:work|root|Users|home)[/\"'\s)]|\bshared[/]\w")
    for name, text in texts():
        for number, line in enumerate(text.splitlines(), 1):
            assert not places.search(line), f"{name}:{number}: {line.strip()}"


def test_every_text_ends_with_one_line_break_and_has_no_trailing_space() -> None:
    """So that a change shows what it changes."""
    for name, text in texts():
        if text and name.suffix in {".py", ".md", ".toml", ".sql", ""}:
            assert text.endswith("\n"), name
            bad = [n for n, line in enumerate(text.splitlines(), 1) if line != line.rstrip(" \t")]
            assert not bad, (name, bad)


def test_links_between_documents_lead_somewhere() -> None:
    """From every Markdown file, as far as they stay in the project."""
    for name, text in texts():
        if name.suffix != ".md":
            continue
        for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", text):
            if "://" not in target:
                assert (ROOT / name.parent / target).exists(), (str(name), target)


# ── SQL ──────────────────────────────────────────────────────────────────────────────────────


def patterns() -> Iterator[re.Pattern[str]]:
    """What the package may name: its string literals, with anything in place of a value."""
    for tree in TREES.values():
        for node in ast.walk(tree):
            if isinstance(node, ast.JoinedStr):
                parts = (
                    re.escape(str(part.value)) if isinstance(part, ast.Constant) else r"\w+"
                    for part in node.values
                )
                text = "".join(parts)
                if re.match(r"[a-z]+_", text):
                    yield re.compile(text)
            elif isinstance(node, ast.Constant) and re.fullmatch(r"[a-z_]+", str(node.value)):
                yield re.compile(str(node.value))


def test_every_statement_is_used() -> None:
    """By its name, or by a name that is put together."""
    used = list(patterns())
    found = statements.load("sqlite")
    idle = [name for name in found if not any(pattern.fullmatch(name) for pattern in used)]
    assert idle == []


def test_every_statement_that_is_named_is_there() -> None:
    """A slip in a name shows here, not in a request."""
    found = statements.load("sqlite")
    for place, tree in TREES.items():
        for node in ast.walk(tree):
            if (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Attribute)
                and node.func.attr in {"one", "rows", "run", "later", "page"}
                and isinstance(node.func.value, ast.Name)
                and node.func.value.id == "tx"
                and isinstance(node.args[0], ast.Constant)
            ):
                assert node.args[0].value in found, (place, node.lineno)


def test_no_two_files_name_a_statement_alike() -> None:
    """But a dialect's own on top of the one for both."""
    for folder in sorted((SOURCE / "store" / "sql").iterdir()):
        seen: list[str] = []
        for file in sorted(folder.glob("*.sql")):
            seen += re.findall(r"^-- (\w+) --$", file.read_text(encoding="utf-8"), re.MULTILINE)
        assert len(seen) == len(set(seen)), folder
