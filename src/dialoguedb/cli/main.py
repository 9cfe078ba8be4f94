"""`dialoguedb`: the commands, and how they end."""

import sys
from typing import Annotated

import typer

from dialoguedb import __version__
from dialoguedb.cli import index, keys, projects, serve
from dialoguedb.cli.output import complain
from dialoguedb.errors import DialogueDBError

app = typer.Typer(
    name="dialoguedb",
    help="A conversation database: dialogues, messages, state, threads and memories.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("serve")(serve.serve)
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
    version: Annotated[
        bool,
        typer.Option("--version", callback=_version, is_eager=True, help="Show the version."),
    ] = False,
) -> None:
    """A conversation database: dialogues, messages, state, threads and memories."""


def main() -> None:
    """Run a command; an error is one message on standard error and exit code 1."""
    try:
        app()
    except DialogueDBError as error:
        complain(error.message)
        sys.exit(1)
