"""`dialoguedb migrate` and `dialoguedb doctor`: the database itself, made ready and looked at."""

from contextlib import closing
from importlib import import_module
from typing import Annotated, Any

import typer

from dialoguedb.cli.output import (
    Column,
    Db,
    DbKeyFile,
    Output,
    opened,
    show_table,
    tabular,
    write_json,
)
from dialoguedb.errors import AdminError
from dialoguedb.settings import is_file, load


def migrate(
    distribute: Annotated[
        bool,
        typer.Option(
            "--distribute", help="Spread the tables over the machines of a Citus cluster, by space."
        ),
    ] = False,
    row_level_security: Annotated[
        bool,
        typer.Option(
            "--row-level-security",
            help="Have PostgreSQL itself hold each transaction to its space; it costs speed.",
        ),
    ] = False,
    role: Annotated[
        str | None,
        typer.Option(
            "--role", help="What the server's connections work as.  [default: dialoguedb_app]"
        ),
    ] = None,
    db: Db = None,
    db_key_file: DbKeyFile = None,
) -> None:
    """Bring the schema of a database up to date.

    `dialoguedb serve` does that by itself where its login may. Where it may not, run this with the
    login that owns the database. It can be run again at any time, and while servers run.

    Example: `dialoguedb migrate --db chat.db`
    """
    settings = load({"db": db, "db_key_file": db_key_file})
    if is_file(settings.db):
        given = {
            "--distribute": distribute,
            "--row-level-security": row_level_security,
            "--role": role,
        }
        for option, value in given.items():
            if value:
                raise AdminError(f"{option} is for PostgreSQL, and the database is a file")
        with closing(opened(db, db_key_file)) as store:
            typer.echo(f"The schema of {store.name} is up to date.")
        return
    named = {} if role is None else {"role": role}
    done = _postgres("migrating").migrate(
        settings.db, distribute=distribute, row_level_security=row_level_security, **named
    )
    for line in done:
        typer.echo(line)
    if not done:
        typer.echo("Nothing to do: the schema is up to date.")


def doctor(db: Db = None, output: Output = None) -> None:
    """Look a PostgreSQL database over: version, extensions, schema, roles, indexes, plans.

    Nothing is changed. Ends with 1 if something is not as it should be, and says what to do.

    Example: `dialoguedb doctor --db postgresql://user@host/chat`
    """
    settings = load({"db": db})
    if is_file(settings.db):
        raise AdminError(
            "doctor looks at PostgreSQL (--db postgresql://…); a file is compared with its search "
            "index by `dialoguedb verify`"
        )
    found = [
        {"ok": one.ok, "what": one.what, "hint": one.hint}
        for one in _postgres("doctor").examine(settings.db)
    ]
    if tabular(output):
        show_table(found, _COLUMNS)
    else:
        write_json(found)
    if not all(one["ok"] for one in found):
        raise typer.Exit(1)


_COLUMNS = (
    Column("", lambda row: "ok" if row["ok"] else "NOT OK"),
    Column("what", lambda row: str(row["what"])),
    Column("what to do", lambda row: str(row["hint"] or "")),
)


def _postgres(name: str) -> Any:
    """Load a module of the store that needs PostgreSQL's driver, an extra.

    Raises:
        AdminError: it is not there.
    """
    try:
        return import_module(f"dialoguedb.store.upkeep.{name}")
    except ImportError as error:
        raise AdminError(
            f"PostgreSQL needs its driver ({error}); install it: pip install 'dialoguedb[postgres]'"
        ) from None
