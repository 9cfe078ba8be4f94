"""Check the rules of the house that the linter cannot: sizes, SQL's place, handlers, the version.

Prints what is broken and ends with exit code 1; with nothing broken it is silent.
"""

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

from dialoguedb import __version__
from dialoguedb.contract import OPERATIONS
from dialoguedb.engine import handlers

ROOT = Path(__file__).parent.parent
SOURCE = ROOT / "src" / "dialoguedb"
MAX_FILE_LINES = 600
MAX_FUNCTION_LINES = 60
_SQL = re.compile(r"^\s*(SELECT|INSERT INTO|UPDATE|DELETE FROM|CREATE TABLE)\s+\S", re.IGNORECASE)
#: Statements about a file and its schema, and those of the owner of a PostgreSQL database; user
#: data is in store/sql only.
_MAY_HOLD_SQL = ("store/sqlite/files.py", "store/upkeep/")


def sizes() -> Iterator[str]:
    """Find files over 600 lines and functions over 60."""
    for folder in (SOURCE, ROOT / "tests", ROOT / "scripts", ROOT / "examples"):
        for file in sorted(folder.rglob("*.py")):
            text = file.read_text(encoding="utf-8")
            lines = text.count("\n")
            if lines > MAX_FILE_LINES:
                yield f"{file.relative_to(ROOT)}: {lines} lines, at most {MAX_FILE_LINES}"
            for node in ast.walk(ast.parse(text)):
                if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                    length = (node.end_lineno or node.lineno) - node.lineno + 1
                    if length > MAX_FUNCTION_LINES:
                        where = f"{file.relative_to(ROOT)}:{node.lineno}"
                        yield f"{where}: {node.name} has {length} lines, at most 60"


def statements() -> Iterator[str]:
    """Find SQL outside store/sql and the migrations."""
    for file in sorted(SOURCE.rglob("*.py")):
        if str(file.relative_to(SOURCE)).startswith(_MAY_HOLD_SQL):
            continue
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Constant) and _SQL.match(str(node.value)):
                yield f"{file.relative_to(ROOT)}:{node.lineno}: SQL outside store/sql"


def operations() -> Iterator[str]:
    """Find rows of the table without a handler, and handlers that two rows share by mistake."""
    found = handlers()
    for operation in OPERATIONS:
        if not operation.public and operation.name not in found:
            yield f"contract.py: {operation.name} has no handler"


def versions() -> Iterator[str]:
    """Compare the version of the package, of pyproject.toml and of the changelog."""
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    if f'version = "{__version__}"' not in project:
        yield f"pyproject.toml: its version is not {__version__}"
    newest = re.search(r"^## \[(.+?)\]", (ROOT / "CHANGELOG.md").read_text("utf-8"), re.MULTILINE)
    if newest is None or newest[1] not in (__version__, "Unreleased"):
        yield f"CHANGELOG.md: its newest entry is neither {__version__} nor Unreleased"


def main() -> int:
    """Run the checks."""
    broken = [*sizes(), *statements(), *operations(), *versions()]
    for line in broken:
        print(line)
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
