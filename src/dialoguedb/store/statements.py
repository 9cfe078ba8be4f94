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
        "summaries",
        "replies",
        "changes",
        "index_blocks",
        "entries",
        "vectors",
        "waiting",
        "figures",
    }
)
#: A division by zero for the row of another space.
GUARD = "1 / CAST(space_id = :space AS integer)"
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
    """A statement as PostgreSQL takes it.

    Attributes:
        sql: with `$1`.
        names: of its parameters in order.
        tables: that it names, in whatever role.
        values: of a plain INSERT: what stands before its row of values, the row, and the rest.
    """

    sql: str
    names: tuple[str, ...]
    tables: frozenset[str]
    values: tuple[str, str, str] | None = None


@cache
def numbered(sql: str) -> Numbered:
    """Number the parameters of a statement; one that comes again has the same number."""
    names: list[str] = []

    def number(found: re.Match[str]) -> str:
        if found[1] not in names:
            names.append(found[1])
        return f"${names.index(found[1]) + 1}"

    text = _PARAM.sub(number, sql)
    return Numbered(text, tuple(names), frozenset(_TABLE.findall(sql)), _values_of(text))


def _values_of(sql: str) -> tuple[str, str, str] | None:
    """Take a plain INSERT apart, if it is one that returns nothing."""
    head, word, rest = sql.partition("VALUES (")
    if not head.startswith("INSERT") or not word or "RETURNING" in rest:
        return None
    depth = 1
    for place, sign in enumerate(rest):
        depth += (sign == "(") - (sign == ")")
        if not depth:
            row, tail = "(" + rest[: place + 1], rest[place + 1 :]
            return None if "$" in tail else (head + "VALUES ", row, tail)
    return None


@cache
def with_rows(statement: Numbered, count: int) -> str:
    """Give a plain INSERT as one of so many rows; each has its own parameters, one after another.

    Args:
        statement: with `values`.
        count: rows, 1 or more.
    """
    assert statement.values is not None
    head, row, tail = statement.values
    each = len(statement.names)
    rows = [
        re.sub(r"\$(\d+)", lambda found, by=each * number: f"${int(found[1]) + by}", row)  # type: ignore[misc]
        for number in range(count)
    ]
    return head + ", ".join(rows) + tail


@cache
def guarded(sql: str) -> str:
    """Have a statement fail in the database itself if it changes a row of another space.

    For what gives its rows to nobody: they are not looked at before the commit.
    """
    return re.sub(r"\bRETURNING space_id\b", f"RETURNING {GUARD}", sql)


def over_all_spaces(statement: Statement) -> bool:
    """Tell whether a statement is over user data, and neither bound to a space nor a search's."""
    apart = statement.scoped or statement.name.startswith((ERASING, *SEARCHING))
    return not apart and not USER_TABLES.isdisjoint(numbered(statement.sql).tables)


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
