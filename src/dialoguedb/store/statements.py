"""Named statements: all SQL there is stands in `store/sql`, in blocks `-- name --`.

A statement over user data binds `:space`, and returns the space id first of every row that it reads
or changes: the store sets the one and checks the other, so that a wrong condition in a statement
can neither show nor change a foreign row. Only the erasing of a whole project and the search index
are over several spaces.
"""

import re
from functools import cache
from importlib import resources
from typing import NamedTuple

#: Tables of user data; every row of them carries its space id.
USER_TABLES = frozenset(
    {
        "dialogues",
        "dialogue_documents",
        "tombstones",
        "messages",
        "memories",
        "replies",
        "changes",
        "index_blocks",
        "entries",
        "vectors",
        "waiting",
        "figures",
    }
)
#: Statements that erase a project: over its spaces, returning nothing.
ERASING = "erase_"
#: Statements of the search index: over all spaces, and none of their rows is an answer.
INDEXING = "index_"
#: Statements of searches, and the filters in them: over the spaces that are searched; what they
#: find is compared with these.
SEARCHING = ("search_", "filter_")
_HEAD = re.compile(r"^-- (\w+) --$", re.MULTILINE)
#: A parameter; `::` is a cast.
_PARAM = re.compile(r"(?<!:):([a-z_]\w*)")
_TABLE = re.compile(r"\b(?:FROM|JOIN|INTO|UPDATE)\s+(\w+)", re.IGNORECASE)


class Statement(NamedTuple):
    """One statement: its name, its text, and whether it is over user data."""

    name: str
    sql: str
    scoped: bool


class Numbered(NamedTuple):
    """A statement as PostgreSQL takes it: with `$1`, and the names of its parameters in order."""

    sql: str
    names: tuple[str, ...]


@cache
def numbered(sql: str) -> Numbered:
    """Number the parameters of a statement; one that comes again has the same number."""
    names: list[str] = []

    def number(found: re.Match[str]) -> str:
        if found[1] not in names:
            names.append(found[1])
        return f"${names.index(found[1]) + 1}"

    return Numbered(_PARAM.sub(number, sql), tuple(names))


def renamed(sql: str, name: str, to: str) -> str:
    """Give another name to a parameter."""
    return _PARAM.sub(lambda found: ":" + (to if found[1] == name else found[1]), sql)


@cache
def load(dialect: str) -> dict[str, Statement]:
    """Read the statements of a dialect: those for both databases, then its own on top."""
    found: dict[str, Statement] = {}
    for folder in ("both", dialect):
        directory = resources.files("dialoguedb.store") / "sql" / folder
        for file in sorted(directory.iterdir(), key=lambda entry: entry.name):
            if file.name.endswith(".sql"):
                found.update(parse(file.read_text(encoding="utf-8")))
    return found


def parse(text: str) -> dict[str, Statement]:
    """Split a file into its statements; comment lines under a name describe it."""
    names = _HEAD.split(text)[1:]
    found = {}
    for name, block in zip(names[::2], names[1::2], strict=True):
        lines = [line for line in block.splitlines() if not line.startswith("--")]
        sql = "\n".join(lines).strip()
        apart = name.startswith((ERASING, INDEXING, *SEARCHING))
        scoped = bool(USER_TABLES & set(_TABLE.findall(sql))) and not apart
        found[name] = Statement(name, sql, scoped)
    return found
