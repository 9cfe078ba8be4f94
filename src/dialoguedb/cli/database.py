"""Which database a data command works on: a server, or a file or PostgreSQL in-process.

The options come before the command or after it. Without them the environment says it; without
that, `dialoguedb.db` of this folder.
"""

import inspect
from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from typing import TYPE_CHECKING, Annotated, Any, Concatenate, NamedTuple, ParamSpec

import typer

from dialoguedb.cli import failing
from dialoguedb.cli.output import (
    Column,
    Form,
    Output,
    show_fields,
    show_table,
    tabular,
    write_json,
)
from dialoguedb.errors import AdminError, DialogueDBError, InvalidParameter
from dialoguedb.settings import (
    DEFAULT_DB,
    DEFAULT_URL,
    client_settings,
    is_file,
    load,
    names_a_server,
    path_of,
)

if TYPE_CHECKING:
    from dialoguedb import DialogueDB

_PANEL = "Which database"
P = ParamSpec("P")

BaseUrl = Annotated[
    str | None,
    typer.Option(
        "--base-url",
        "--endpoint",
        metavar="URL",
        rich_help_panel=_PANEL,
        help="The server; else DIALOGUEDB_BASE_URL, else http://127.0.0.1:8642.",
    ),
]
ApiKey = Annotated[
    str | None,
    typer.Option(
        "--api-key",
        metavar="KEY",
        rich_help_panel=_PANEL,
        help="The server's key; better in DIALOGUEDB_API_KEY, where no list of processes has it.",
    ),
]
CaFile = Annotated[
    str | None,
    typer.Option(
        "--ca-file",
        metavar="FILE",
        rich_help_panel=_PANEL,
        help="Trust only the certificates of this file (PEM), such as those of a server that made "
        "its own.",
    ),
]
DbFile = Annotated[
    str | None,
    typer.Option(
        "--db",
        metavar="FILE",
        rich_help_panel=_PANEL,
        help="A file or postgresql://user@host/name, without a server; else DIALOGUEDB_DB, else "
        "dialoguedb.db of this folder.",
    ),
]
KeyFile = Annotated[
    str | None,
    typer.Option(
        "--db-key-file",
        metavar="FILE",
        rich_help_panel=_PANEL,
        help="The key that the file of --db is encrypted with.",
    ),
]
InProject = Annotated[
    str | None,
    typer.Option(
        "--project",
        metavar="PROJECT",
        rich_help_panel=_PANEL,
        help="The project inside --db, by id or name.  [default: default]",
    ),
]


class Where(NamedTuple):
    """What the options say of the database; None where they say nothing."""

    base_url: str | None = None
    api_key: str | None = None
    ca_file: str | None = None
    db: str | None = None
    db_key_file: str | None = None
    in_project: str | None = None

    def check(self) -> None:
        """Refuse options that exclude each other.

        Raises:
            typer.BadParameter: they do; the message names them.
        """
        if self.db is None:
            return
        of_servers = ("--base-url", "--api-key", "--ca-file")
        for option, value in zip(of_servers, self, strict=False):
            if value is not None:
                raise typer.BadParameter(
                    f"--db works without a server and {option} on one; give one of them"
                )

    def _check_server(self) -> None:
        """Refuse what a server does not take.

        Raises:
            typer.BadParameter: it is given; the message names it.
        """
        given = {"--project": self.in_project, "--db-key-file": self.db_key_file}
        for option, value in given.items():
            if value is not None:
                raise typer.BadParameter(
                    f"{option} is for --db, and the options or the environment name a server; "
                    "give --db for a database without one"
                )

    def open(self, *, makes: bool) -> "DialogueDB":
        """Open the database.

        Args:
            makes: whether a file that is not there is made.
        Raises:
            AdminError: no database is named, the file is not there, or there is no key.
        """
        # The client takes longer to load than `--help` takes.
        import dialoguedb  # noqa: PLC0415

        if self.db is None and (self.base_url or self.api_key or names_a_server()):
            self._check_server()
            return dialoguedb.DialogueDB(self.key(), self.base_url, ca_file=self.ca_file)
        settings = load({"db": self.db})
        if is_file(settings.db) and not path_of(settings.db).exists():
            if self.db is None and settings.db == DEFAULT_DB:
                raise AdminError(
                    "no database is named: give --db FILE for a file or --db postgresql://… for "
                    "PostgreSQL, or --base-url URL and DIALOGUEDB_API_KEY for a server"
                )
            if not makes:
                raise AdminError(
                    f"there is no database {path_of(settings.db)}; only a command that creates "
                    "something makes one"
                )
        return dialoguedb.open(
            self.db, project=self.in_project, key_file=self.db_key_file, make=makes
        )

    def key(self) -> str | None:
        """Give the key of the options; None leaves it to the environment.

        Raises:
            AdminError: neither has one.
        """
        try:
            client_settings(self.api_key, DEFAULT_URL)
        except InvalidParameter as error:
            if self.api_key is not None:
                raise AdminError(error.message) from None
            raise AdminError(
                "no API key: set DIALOGUEDB_API_KEY or give --api-key; a file needs none: --db FILE"
            ) from None
        return self.api_key


class Data(NamedTuple):
    """What a data command gets: the database, and where its results go.

    Attributes:
        db: the client.
        tables: whether people read the output.
        where: what the options say of the database.
    """

    db: "DialogueDB"
    tables: bool
    where: Where

    def show(self, resource: Mapping[str, Any]) -> None:
        """Print one resource, as on the wire."""
        if not self.tables:
            write_json(resource)
            return
        show_fields({name: value for name, value in resource.items() if name not in _HIDDEN})

    def show_page(
        self, items: Sequence[Any], next: str | None, columns: Sequence[Column], *, none: str
    ) -> None:
        """Print a page of resources; `none` is what they are called when there are none."""
        rows = [item.to_dict() for item in items]
        if not self.tables:
            write_json({"items": rows, "next": next})
            return
        self.show_rows(rows, columns, none=none)
        if next is not None:
            typer.echo(f"\nThere is more: --next {next}")

    def show_rows(
        self, rows: Sequence[Mapping[str, Any]], columns: Sequence[Column], *, none: str
    ) -> None:
        """Print a table."""
        show_table(rows, columns)
        if not rows:
            typer.echo(f"no {none}")

    def found(self, ask: Callable[[], Any], missing: DialogueDBError) -> Any:
        """Ask for a resource.

        Raises:
            DialogueDBError: `missing`, where there is none.
        """
        with self.db.raw_responses() as seen:
            resource = ask()
        if resource is None:
            missing.request_id = seen[-1].request_id if seen else None
            raise missing
        return resource


def place(namespace: str | None) -> str:
    """Say where something was looked for and not found."""
    if namespace:
        return f" in namespace '{namespace}'"
    return "; if it has a namespace, give --namespace"


#: Fields that tell people nothing, or that are shown below.
_HIDDEN = frozenset({"metadataLength", "metadataSHA256", "messages", "messagesNext", "preview"})


def _shared(
    base_url: BaseUrl = None,
    api_key: ApiKey = None,
    ca_file: CaFile = None,
    db: DbFile = None,
    db_key_file: KeyFile = None,
    in_project: InProject = None,
    output: Output = None,
) -> None:
    """Stand for the options that every data command has."""


def on_database(
    *, makes: bool | Callable[[dict[str, Any]], bool] = False
) -> Callable[[Callable[Concatenate[Data, P], None]], Callable[..., None]]:
    """Make a data command of a function: its first parameter is the database.

    The command has the parameters of the function and those of `_shared`.

    Args:
        makes: whether the command may make the file of --db; or what tells it from the parameters.
    """

    def made(act: Callable[Concatenate[Data, P], None]) -> Callable[..., None]:
        @wraps(act)
        def run(**given: Any) -> None:
            output = given.pop("output")
            where = Where(*(given.pop(name) for name in Where._fields))
            where.check()
            may_make = makes(given) if callable(makes) else makes
            with (
                failing.reported(as_json=None if output is None else output is Form.JSON),
                where.open(makes=may_make) as db,
            ):
                act(Data(db, tabular(output), where), **given)  # type: ignore[call-arg]

        own = list(inspect.signature(act).parameters.values())[1:]
        shared = inspect.signature(_shared).parameters.values()
        parameters = [one.replace(kind=inspect.Parameter.KEYWORD_ONLY) for one in (*own, *shared)]
        run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        run.__annotations__ = {one.name: one.annotation for one in parameters}
        return run

    return made
