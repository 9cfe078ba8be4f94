"""`dialoguedb`: the commands, and how they end."""

import os
import sys
from typing import Annotated, Any

import typer

from dialoguedb import __version__
from dialoguedb.cli import (
    copy,
    dialogues,
    exporting,
    importing,
    index,
    keys,
    memories,
    messages,
    migrate,
    projects,
    searching,
    serve,
    stats,
    summaries,
    tailing,
    work,
)
from dialoguedb.cli.database import ApiKey, BaseUrl, CaFile, DbFile, InProject, KeyFile
from dialoguedb.cli.failing import EPILOG
from dialoguedb.cli.output import Output, complain
from dialoguedb.errors import DialogueDBError

#: Commands that work on a database as a whole, also where data commands use a server.
_ON_DATABASES = (
    "serve",
    "work",
    "copy",
    "migrate",
    "doctor",
    "verify",
    "reindex",
    "project",
    "key",
)

app = typer.Typer(
    name="dialoguedb",
    help="A conversation database: dialogues, messages, state, threads, memories and summaries.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog=EPILOG,
)
app.add_typer(dialogues.app, name="dialogue")
app.add_typer(messages.app, name="message")
app.add_typer(memories.app, name="memory")
app.add_typer(summaries.app, name="summary")
app.add_typer(searching.app, name="search")
app.command("tail", epilog=EPILOG)(tailing.tail)
app.command("export", epilog=EPILOG)(exporting.export)
app.command("import", epilog=EPILOG)(importing.import_)
app.command("stats", epilog=EPILOG)(stats.stats)
app.command("serve")(serve.serve)
app.command("copy")(copy.copy)
app.command("work")(work.work)
app.command("migrate")(migrate.migrate)
app.command("doctor")(migrate.doctor)
app.command("verify")(index.verify_index)
app.command("reindex")(index.reindex)
app.add_typer(projects.app, name="project")
app.add_typer(keys.app, name="key")


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"dialoguedb {__version__}")
        raise typer.Exit


@app.callback()
def root(
    ctx: typer.Context,
    base_url: BaseUrl = None,
    api_key: ApiKey = None,
    ca_file: CaFile = None,
    db: DbFile = None,
    db_key_file: KeyFile = None,
    in_project: InProject = None,
    output: Output = None,
    version: Annotated[
        bool,
        typer.Option("--version", callback=_version, is_eager=True, help="Show the version."),
    ] = False,
) -> None:
    """A conversation database: dialogues, messages, state, threads, memories and summaries.

    Data commands work on a server, or without one on a file or on PostgreSQL. These options may
    stand before a command or after it. Every command has an example in its --help.
    """
    if ctx.invoked_subcommand in _ON_DATABASES:
        given = {
            "--base-url": base_url,
            "--api-key": api_key,
            "--ca-file": ca_file,
            "--project": in_project,
        }
        for option, value in given.items():
            if value is not None:
                raise typer.BadParameter(
                    f"{ctx.invoked_subcommand} does not take {option}: it works on a database, --db"
                )
    if ctx.invoked_subcommand == "copy" and (db is not None or db_key_file is not None):
        raise typer.BadParameter("copy does not take --db: name both databases after it")
    chosen = {name: value for name, value in ctx.params.items() if value is not None}
    chosen.pop("version", None)
    ctx.default_map = _for_all(ctx.command, chosen)


def _for_all(command: Any, chosen: dict[str, Any]) -> dict[str, Any]:
    """Make what was given before a command the default of what can be given after it."""
    below = getattr(command, "commands", {})
    return chosen | {name: _for_all(one, chosen) for name, one in below.items()}


def _hold_standard_streams() -> None:
    """Put nothing where a standard stream is closed, before a file takes its number."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: PTH123, SIM115


def main() -> None:
    """Run a command; an error is one message on standard error and exit code 1."""
    _hold_standard_streams()
    try:
        app()
    except DialogueDBError as error:
        complain(error.message)
        sys.exit(1)
