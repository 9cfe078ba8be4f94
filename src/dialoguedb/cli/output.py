"""What commands print: tables on a terminal, JSON in a pipe, errors on standard error."""

import json
import sys
from collections.abc import Sequence
from typing import Annotated

import msgspec
import typer
from rich.console import Console
from rich.table import Table

from dialoguedb.runtime import Runtime
from dialoguedb.settings import load
from dialoguedb.store.opening import open_store
from dialoguedb.store.sqlite import SqliteStore

Db = Annotated[
    str | None,
    typer.Option(
        "--db", help="The database: a file, or sqlite:///chat.db.  [default: dialoguedb.db]"
    ),
]
DbKeyFile = Annotated[
    str | None, typer.Option("--db-key-file", help="The key that the database is encrypted with.")
]


def opened(db: str | None, db_key_file: str | None, *, make: bool = False) -> SqliteStore:
    """Open the database that the options or the environment name; with `make` also a new one."""
    settings = load({"db": db, "db_key_file": db_key_file})
    return open_store(settings.db, key_file=settings.db_key_file, runtime=Runtime(), make=make)


def show(rows: Sequence[msgspec.Struct], *, title: str) -> None:
    """Print a list of resources."""
    plain = [msgspec.to_builtins(row) for row in rows]
    if not sys.stdout.isatty():
        print(json.dumps(plain, ensure_ascii=False, indent=2))  # noqa: T201
        return
    if not plain:
        Console().print(f"no {title}")
        return
    table = Table(box=None, pad_edge=False)
    for name in dict.fromkeys(name for row in plain for name in row):
        # An id that is cut cannot be used; other columns may wrap.
        table.add_column(name, no_wrap=name == "id", overflow="fold")
    for row in plain:
        table.add_row(*(_text(row.get(str(column.header), "")) for column in table.columns))
    Console().print(table)


def show_one(row: msgspec.Struct) -> None:
    """Print one resource."""
    plain = msgspec.to_builtins(row)
    if not sys.stdout.isatty():
        print(json.dumps(plain, ensure_ascii=False, indent=2))  # noqa: T201
        return
    table = Table(box=None, pad_edge=False, show_header=False)
    for name, value in plain.items():
        table.add_row(f"[bold]{name}", _text(value))
    Console().print(table)


def _text(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value)


def complain(message: str) -> None:
    """Print an error."""
    Console(stderr=True, soft_wrap=True).print(f"[red]error:[/red] {_escaped(message)}")


def _escaped(message: str) -> str:
    return message.replace("[", "\\[")
