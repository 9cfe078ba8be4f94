"""`dialoguedb verify` and `dialoguedb reindex`: the search index, compared and made anew."""

from pathlib import Path
from typing import Annotated, Any

import typer

from dialoguedb.cli.output import Db, DbKeyFile
from dialoguedb.errors import AdminError
from dialoguedb.settings import help_of, load

Config = Annotated[
    Path | None, typer.Option("--config", help="A TOML file with settings, as for `serve`.")
]


def verify_index(db: Db = None, db_key_file: DbKeyFile = None, config: Config = None) -> None:
    """Compare the search index with what is stored.

    Each message, dialogue and memory is read and indexed anew, and the result compared with what
    the database's index holds. Nothing is changed. A server may go on meanwhile.

    Ends with 0 if both are equal. Ends with 1 if not, and says how many differ and which are the
    first; `dialoguedb reindex --repair` then makes the index anew.

    Example: `dialoguedb verify`
    """
    # The store takes longer to load than `--help` takes; so below.
    from dialoguedb.cli import indexing  # noqa: PLC0415

    indexing.verify_index(load({"db": db, "db_key_file": db_key_file}, config=config))


def reindex(
    embedder: Annotated[
        str | None,
        typer.Option("--embedder", help=f"Move to this one. {help_of('embedder')}"),
    ] = None,
    repair: Annotated[
        bool, typer.Option("--repair", help="Make the index anew by the embedder that it has.")
    ] = False,
    embedder_url: Annotated[
        str | None, typer.Option("--embedder-url", help=help_of("embedder_url"))
    ] = None,
    embedder_timeout_seconds: Annotated[
        int | None,
        typer.Option("--embedder-timeout-seconds", help=help_of("embedder_timeout_seconds")),
    ] = None,
    db: Db = None,
    db_key_file: DbKeyFile = None,
    config: Config = None,
) -> None:
    """Make the search index anew: by another embedder, or with --repair by the same.

    Without options it moves to the `embedder` of the settings, and does nothing if the index is by
    that one already. The new index is built beside the one in use. Searches go by the old one until
    the new one is whole, then by the new one; no answer mixes the two. Servers may go on meanwhile:
    they notice by themselves.

    It can be stopped at any moment, also by a kill: called again, it goes on where it was. An
    embedder that does not answer is asked again until it does.

    On PostgreSQL it needs the login that owns the tables: it makes a table's index.

    A server needs the settings of the new embedder too (`embedder`, `embedder_url`,
    `embedder_key`), for it embeds what is asked and what is written. The key of an endpoint is
    taken from DIALOGUEDB_EMBEDDER_KEY or the --config file.

    Example: `dialoguedb reindex --repair`
    """
    from dialoguedb.cli import indexing  # noqa: PLC0415

    if repair and embedder is not None:
        raise AdminError("--repair keeps the embedder; give either --repair or --embedder")
    flags: dict[str, Any] = {
        "db": db,
        "db_key_file": db_key_file,
        "embedder": embedder,
        "embedder_url": embedder_url,
        "embedder_timeout_seconds": embedder_timeout_seconds,
    }
    indexing.reindex(load(flags, config=config), repair=repair)
