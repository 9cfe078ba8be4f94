"""What `dialoguedb verify` and `dialoguedb reindex` do; how they are called is in `index.py`."""

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager

import typer
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)

from dialoguedb.cli.failing import INTERRUPTED
from dialoguedb.cli.output import complain
from dialoguedb.embed import Embedder, EmbedderUnavailable
from dialoguedb.embed.patient import Patience, Patient, Told
from dialoguedb.errors import AdminError
from dialoguedb.settings import Settings
from dialoguedb.store.differing import Report
from dialoguedb.store.index_tools import IndexTools, InUse, tools_of
from dialoguedb.store.opening import Service, open_store, opener

#: How long a statement over a whole space may take, seconds: nobody waits for an answer.
_PATIENT_S = 3_600.0


def verify_index(settings: Settings) -> None:
    """Compare the index with what is stored, and tell how that went.

    Raises:
        typer.Exit: it is not equal.
    """
    with _tools(settings) as tools:
        total = tools.standing("").total
        with _progress("comparing", total) as (done, _):
            report = tools.verify(done=done)
    _tell(report)
    if not report.equal:
        raise typer.Exit(1)


def _tell(report: Report) -> None:
    if report.equal:
        waiting = f"; {report.waiting} of them wait for vectors" if report.waiting else ""
        typer.echo(f"The search index is equal to {report.checked} resources{waiting}.")
        return
    for found in report.first:
        number = f" message {found.sequence}" if found.kind == "message" else ""
        kind = "dialogue" if found.kind == "message" else found.kind
        where = f"project {found.scope.project_id}"
        if found.scope.namespace:
            where += f", namespace {found.scope.namespace}"
        typer.echo(f"{kind} {found.owner}{number} ({where}): {', '.join(found.what)}")
    if report.differing > len(report.first):
        typer.echo(f"… and {report.differing - len(report.first)} more")
    parts = [f"{report.differing} of {report.checked} resources differ"]
    if report.strays:
        parts.append(f"{report.strays} parts of the index belong to no project")
    complain(
        f"the search index is not what is stored: {' and '.join(parts)}. "
        "`dialoguedb reindex --repair` makes it anew"
    )


def reindex(settings: Settings, *, repair: bool) -> None:
    """Make the index anew by the embedder of the settings, or with `repair` by the one it has.

    Raises:
        typer.Exit: it was stopped by Ctrl-C.
    """
    with _tools(settings) as tools:
        current = tools.in_use()
        if current is None:
            raise AdminError("the database has no search index; a server makes one when it starts")
        wanted = current.setting if repair else settings.embedder
        try:
            with closing(opener(settings)(wanted)) as made:
                _move(tools, current, made, repair=repair)
        except KeyboardInterrupt:
            complain(
                "stopped. What has been built is kept, and searches go on as before; "
                "the same command goes on from here"
            )
            raise typer.Exit(INTERRUPTED) from None


def _move(tools: IndexTools, current: InUse, embedder: Embedder, *, repair: bool) -> None:
    if not repair and current.is_by(embedder.name):
        given_up = tools.give_up()
        typer.echo(f"Nothing to do: the search index is by {embedder.name} already.")
        if given_up:
            typer.echo("A move to another embedder that had begun is given up.")
    else:
        _build(tools, embedder)
        typer.echo(f"The search index is by {embedder.name} now.")
    refused = _fill(tools)
    if refused:
        typer.echo(f"{refused} resources are found by their words alone: their text was refused.")


def _build(tools: IndexTools, embedder: Embedder) -> None:
    total, built = tools.standing(embedder.name)
    if built:
        typer.echo(f"Going on after {built} of {total} resources.")
    with _progress("indexing", total, built) as (done, told):
        tools.rebuild(Patient(embedder, told), done=done)


def _fill(tools: IndexTools) -> int:
    """Make the vectors of what was written during the cut-over; tell how many are refused."""
    filling = tools.filling()
    waiting = filling.waiting()
    if not waiting:
        return 0
    with _progress("embedding", waiting) as (done, told):
        patience = Patience(told)
        worked = 1
        while worked:
            try:
                worked = filling.step()
            except EmbedderUnavailable as error:
                patience.after(error)
            else:
                patience.rewarded()
                done(worked)
    return filling.refused


@contextmanager
def _tools(settings: Settings) -> Iterator[IndexTools]:
    """Open the database, and the tools for its index."""
    store = open_store(
        settings.db,
        key_file=settings.db_key_file,
        make=False,
        embedder=settings.embedder,
        open_embedder=opener(settings),
        service=Service(timeout_s=_PATIENT_S),
    )
    with closing(store), closing(tools_of(store, opener(settings))) as tools:
        yield tools


@contextmanager
def _progress(
    what: str, total: int, completed: int = 0
) -> Iterator[tuple[Callable[[int], None], Told]]:
    """Show a bar on standard error; give what moves it, and what tells of a wait."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    console = Console(stderr=True)
    with Progress(
        *columns, console=console, transient=True, disable=not console.is_terminal
    ) as progress:
        task: TaskID = progress.add_task(what, total=total, completed=completed)

        def told(message: str, wait_s: float) -> None:
            console.print(f"{message}; trying again in {wait_s:g} s", markup=False)

        yield lambda count: progress.advance(task, count), told
