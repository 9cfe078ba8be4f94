"""`dialoguedb copy`: a whole database into another one."""

from pathlib import Path
from typing import Annotated

import typer

from dialoguedb.cli.output import Output
from dialoguedb.settings import load

Config = Annotated[
    Path | None, typer.Option("--config", help="A TOML file with settings, as for `serve`.")
]


def copy(
    source: Annotated[str, typer.Argument(metavar="SOURCE", help="The database that there is.")],
    target: Annotated[str, typer.Argument(metavar="TARGET", help="An empty one, or a new file.")],
    final: Annotated[
        bool, typer.Option("--final", help="The last step, with the source's server stopped.")
    ] = False,
    source_key_file: Annotated[
        str | None, typer.Option("--source-key-file", help="The key that SOURCE is encrypted with.")
    ] = None,
    target_key_file: Annotated[
        str | None, typer.Option("--target-key-file", help="The key to encrypt TARGET with.")
    ] = None,
    config: Config = None,
    output: Output = None,
) -> None:
    """Copy a whole database into another one: SQLite or PostgreSQL, from each to each.

    An address is a file's path, sqlite:///chat.db, or postgresql://user@host/name. All projects,
    keys, dialogues, messages, memories and summaries go over, with every id, number, time and text
    as it is; the search index of TARGET is made on the way.

    **1.** `dialoguedb copy SOURCE TARGET` brings over what there is. The server may go on
    meanwhile. Run it as often as you like: each run brings over only what is new, has changed or is
    gone. One that was stopped, also by a kill, goes on where it was.

    **2.** Stop the server, and run it with --final. Nobody can write to SOURCE while it brings over
    the rest and the keys, which open nothing in TARGET before. Then it compares both: how many rows
    each table and space has, and a hash of what is in them.

    **3.** Start the server on TARGET. From there on TARGET goes its own way: the same command only
    compares.

    Ends with 0; after a comparison with 1 if anything differs, and names the first rows that do.
    On a terminal, step 1 asks whether to go on with step 2. For an index by an embedder behind an
    endpoint, give its settings as for `serve`.

    Example: `dialoguedb copy chat.db postgresql://dialoguedb@localhost/chat`
    """
    # The store takes longer to load than `--help` takes.
    from dialoguedb.cli import moving  # noqa: PLC0415

    ends = moving.Ends(
        moving.End(source, source_key_file, "source"), moving.End(target, target_key_file, "target")
    )
    moving.copy(ends, load({}, config=config), final=final, output=output)
