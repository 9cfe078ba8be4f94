"""What commands print: tables on a terminal, JSON in a pipe, errors on standard error."""

import json
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import msgspec
import typer
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from dialoguedb.settings import load

if TYPE_CHECKING:
    from dialoguedb.store.protocol import Store


class Form(StrEnum):
    """The forms of output."""

    JSON = "json"
    TABLE = "table"


Db = Annotated[
    str | None,
    typer.Option(
        "--db",
        help="The database: a file, or postgresql://user@host/name.  [default: dialoguedb.db]",
    ),
]
DbKeyFile = Annotated[
    str | None, typer.Option("--db-key-file", help="The key that the database is encrypted with.")
]
Output = Annotated[
    Form | None,
    typer.Option(
        "--output",
        metavar="json|table",
        help="The form of the output; without it a table on a terminal, else JSON.",
    ),
]
#: Space between two columns.
_GAP = 2
#: What a cut column has at least.
_LEAST = 20
#: Control characters: a stored text must not steer the terminal.
_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


class Column(NamedTuple):
    """A column of a table.

    Attributes:
        title: its heading.
        of: takes its text from a row.
        cut: whether it is cut to what the terminal has left; others are never cut.
    """

    title: str
    of: Callable[[Mapping[str, Any]], str]
    cut: bool = False


def opened(db: str | None, db_key_file: str | None, *, make: bool = False) -> "Store":
    """Open the database that the options or the environment name; with `make` also a new one."""
    # The store takes longer to load than `--help` takes.
    from dialoguedb.store.opening import Service, open_store  # noqa: PLC0415

    settings = load({"db": db, "db_key_file": db_key_file})
    return open_store(
        settings.db,
        key_file=settings.db_key_file,
        make=make,
        service=Service(settings.db_connections, settings.db_timeout_seconds),
    )


def show(rows: Sequence[msgspec.Struct], *, title: str, output: Form | None = None) -> None:
    """Print a list of resources."""
    plain = [msgspec.to_builtins(row) for row in rows]
    if not tabular(output):
        write_json(plain)
        return
    names = dict.fromkeys(name for row in plain for name in row)
    show_table(plain, [Column(name, lambda row, n=name: text_of(row.get(n))) for name in names])  # type: ignore[misc]
    if not plain:
        Console().print(f"no {title}")


def show_one(row: msgspec.Struct, *, output: Form | None = None) -> None:
    """Print one resource."""
    if tabular(output):
        show_fields(msgspec.to_builtins(row))
    else:
        write_json(msgspec.to_builtins(row))


def tabular(output: Form | None) -> bool:
    """Tell whether people read the output: what was asked for, else whether it is a terminal."""
    return sys.stdout.isatty() if output is None else output is Form.TABLE


def write_json(value: Any, *, indent: int | None = 2) -> None:
    """Print JSON in UTF-8, whatever the locale is; without `indent` on one line."""
    text = json.dumps(value, ensure_ascii=False, indent=indent)
    # The name of a file may be no text; `\udcff` is how JSON writes what is left of it.
    sys.stdout.buffer.write(text.encode(errors="backslashreplace") + b"\n")
    sys.stdout.flush()


def show_table(rows: Sequence[Mapping[str, Any]], columns: Sequence[Column]) -> None:
    """Print rows as a table, without the columns that are empty in all of them."""
    shown = [
        (column, cells)
        for column in columns
        if any(cells := [clean(column.of(row)) for row in rows])
    ]
    console = Console()
    table = Table(box=None, pad_edge=False, padding=(0, _GAP, 0, 0))
    needed = 0
    for column, cells in shown:
        widest = max(map(cell_len, [column.title, *cells]))
        least = min(widest, _LEAST) if column.cut else widest
        table.add_column(column.title, no_wrap=not column.cut, min_width=least)
        needed += least + _GAP
    for number in range(len(rows)):
        table.add_row(*(_cell(cells[number], cut=column.cut) for column, cells in shown))
    if shown:
        # What is not cut may be wider than the terminal; it goes on in the next line then.
        console.width = max(console.width, needed)
        console.print(table)


def _cell(text: str, *, cut: bool) -> Text:
    if not cut:
        return Text(text)
    return Text(" ".join(text[:2000].split()), no_wrap=True, overflow="ellipsis")


def show_fields(values: Mapping[str, Any]) -> None:
    """Print the fields of one resource, each in a line or in as many as it needs."""
    table = Table(box=None, pad_edge=False, show_header=False, padding=(0, _GAP, 0, 0))
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in values.items():
        table.add_row(Text(clean(name)), Text(clean(text_of(value))))
    Console().print(table)


def text_of(value: Any) -> str:
    """Write a value for people."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        return ", ".join(value)
    if isinstance(value, dict | list):
        return json.dumps(value, ensure_ascii=False) if value else ""
    return str(value)


def clean(text: str) -> str:
    """Put a sign for each control character but tabs and line ends."""
    return _CONTROLS.sub(lambda found: _sign(ord(found[0])), text)


def _sign(control: int) -> str:
    """Give the picture that Unicode has for a control character."""
    if control < 0x20:
        return chr(0x2400 + control)
    return "\u2421" if control == 0x7F else "\ufffd"


def complain(message: str) -> None:
    """Print an error."""
    console = Console(stderr=True, soft_wrap=True, highlight=False)
    console.print(f"[red]error:[/red] {_escaped(message)}")


def _escaped(message: str) -> str:
    return message.replace("[", "\\[")
