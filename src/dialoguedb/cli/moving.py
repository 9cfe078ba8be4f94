"""What `dialoguedb copy` does; how it is called is in `copy.py`."""

import logging
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from typing import Any, NamedTuple

import typer
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from dialoguedb.cli.failing import INTERRUPTED
from dialoguedb.cli.output import (
    Column,
    Form,
    clean,
    complain,
    show_table,
    tabular,
    text_of,
    write_json,
)
from dialoguedb.errors import AdminError, StoreError
from dialoguedb.runtime import monotonic_s
from dialoguedb.settings import Settings
from dialoguedb.store.moving import copying, holding
from dialoguedb.store.moving.comparing import Both, Comparison
from dialoguedb.store.moving.copying import Done, Outcome
from dialoguedb.store.opening import Service, open_store, opener
from dialoguedb.store.protocol import Store

#: A statement of a copy is about hundreds of rows.
_TIMEOUT_S = 60.0
#: Spaces in a table on a terminal.
_MOST_SPACES = 20
_HASH_SHOWN = 12


class End(NamedTuple):
    """One end of a copy: an address, the file with its key, and which one it is."""

    db: str
    key_file: str | None
    name: str


class Ends(NamedTuple):
    """Both ends of a copy."""

    source: End
    target: End


class _Told(NamedTuple):
    """What is told of a run."""

    outcome: Outcome
    seconds: float
    finished: bool
    lag: int


def copy(ends: Ends, settings: Settings, *, final: bool, output: Form | None) -> None:
    """Copy, or compare a copy that is finished, and tell how that went.

    Raises:
        AdminError: an end is not as it must be; nothing was changed.
        typer.Exit: both ends were compared and differ, or it was stopped by Ctrl-C.
    """
    try:
        _refuse_same(ends)
        if final:
            told = _last(ends, settings)
        else:
            told = _bulk(ends, settings)
            if told.outcome.comparison is None and _asked(ends):
                told = _last(ends, settings)
    except KeyboardInterrupt:
        complain("stopped; the same command goes on from here")
        raise typer.Exit(INTERRUPTED) from None
    _tell(ends, told, output)
    if told.outcome.comparison is not None and not told.outcome.comparison.equal:
        raise typer.Exit(1)


def _refuse_same(ends: Ends) -> None:
    names = {holding.known_as(end.db) for end in ends}
    if len(names) == 1:
        raise AdminError(f"source and target are the same database: {names.pop()}")


def _asked(ends: Ends) -> bool:
    """Ask a person whether the last step is to follow; nobody else is asked."""
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        return False
    typer.echo(
        f"All that was there is copied. For the last step, stop the server on {_name(ends.source)}",
        err=True,
    )
    return typer.confirm("Is it stopped? Then go on", err=True)


def _bulk(ends: Ends, settings: Settings) -> _Told:
    began_s = monotonic_s()
    with _opened(ends, settings) as (source, target):
        if copying.begin(source, target, holding.known_as(ends.source.db)):
            return _compared(source, target, began_s)
        with _bar("copying", source) as done:
            outcome = copying.catch_up(source, target, done)
        return _Told(outcome, monotonic_s() - began_s, finished=False, lag=_lag(target))


def _last(ends: Ends, settings: Settings) -> _Told:
    began_s = monotonic_s()
    holding.check_unused(ends.source.db, ends.source.key_file)
    with _opened(ends, settings) as (source, target):
        known_as = holding.known_as(ends.source.db)
        if copying.begin(source, target, known_as):
            return _compared(source, target, began_s)
        with (
            _quiet(),
            holding.held(ends.source.db, ends.source.key_file),
            _bar("copying the rest", source) as done,
        ):
            outcome = copying.complete(source, target, done)
        equal = outcome.comparison is not None and outcome.comparison.equal
        if equal:
            copying.finish(target, known_as)
        return _Told(outcome, monotonic_s() - began_s, finished=equal, lag=_lag(target))


@contextmanager
def _quiet() -> Iterator[None]:
    """Leave out warnings of the store: the source's own upkeep cannot write to it now either."""
    log = logging.getLogger("dialoguedb.store")
    before = log.level
    log.setLevel(logging.ERROR)
    try:
        yield
    finally:
        log.setLevel(before)


def _compared(source: Store, target: Store, began_s: float) -> _Told:
    with _bar("comparing", source) as done:
        outcome = copying.compare(source, target, done)
    return _Told(outcome, monotonic_s() - began_s, finished=True, lag=_lag(target))


def _lag(target: Store) -> int:
    return target.search_standing().lag


@contextmanager
def _opened(ends: Ends, settings: Settings) -> Iterator[tuple[Store, Store]]:
    """Open both ends; a new target gets a search index by the source's embedder."""
    with ExitStack() as stack:
        source = stack.enter_context(closing(_open(ends.source, settings, make=False)))
        name = source.search_standing().embedder
        embedder = "static" if name.startswith("static:") else name
        target = _open(ends.target, settings, make=True, embedder=embedder)
        stack.enter_context(closing(target))
        yield source, target


def _open(end: End, settings: Settings, *, make: bool, embedder: str = "static") -> Store:
    try:
        if not make:
            holding.check_there(end.db)
        return open_store(
            end.db,
            key_file=end.key_file,
            make=make,
            embedder=embedder,
            open_embedder=opener(settings),
            service=Service(timeout_s=_TIMEOUT_S),
        )
    except StoreError as error:
        option = f"--{end.name}-key-file"
        raise StoreError(f"{end.name}: {error.message.replace('--db-key-file', option)}") from None


class _Rate(ProgressColumn):
    """How many rows a second."""

    def render(self, task: Task) -> Text:
        return Text("" if task.speed is None else f"{task.speed:,.0f} rows/s")


@contextmanager
def _bar(what: str, source: Store) -> Iterator[Done]:
    """Show how far it is; where nobody looks, the rows are not even counted."""
    silent = not sys.stderr.isatty()
    total = None if silent else source.read(None, lambda tx: tx.one("index_total"))
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        _Rate(),
        TimeRemainingColumn(),
    )
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True, disable=silent) as progress:
        task = progress.add_task(what, total=total[0] if total else None)
        yield lambda rows: progress.advance(task, rows)


# ── what is told ─────────────────────────────────────────────────────────────────────────────


def _tell(ends: Ends, told: _Told, output: Form | None) -> None:
    if tabular(output):
        _tell_people(ends, told)
    else:
        write_json(_described(ends, told))
    comparison = told.outcome.comparison
    if comparison is not None and not comparison.equal:
        complain(_complaint(told, comparison))


def _name(end: End) -> str:
    return holding.known_as(end.db)


def _described(ends: Ends, told: _Told) -> dict[str, Any]:
    outcome, comparison = told.outcome, told.outcome.comparison
    found = {
        "source": _name(ends.source),
        "target": _name(ends.target),
        "finished": told.finished,
        "rows": outcome.rows,
        "stored": outcome.stored,
        "removed": outcome.removed,
        "seconds": round(told.seconds, 3),
        "rowsPerSecond": round(outcome.rows / max(told.seconds, 0.001)),
        "waitingForVectors": told.lag,
    }
    if comparison is None:
        return found
    return found | {
        "equal": comparison.equal,
        "tables": [{"table": name} | _pair(both) for name, both in comparison.tables().items()],
        "spaces": [
            {"projectId": scope.project_id, "namespace": scope.namespace} | _pair(both)
            for scope, both in comparison.spaces
        ],
        "allSpaces": comparison.all_spaces,
        "differing": comparison.count,
        "firstDiffering": [
            {
                "table": one.table,
                "projectId": one.project_id,
                "namespace": one.namespace,
                "key": one.key,
                "how": one.how,
            }
            for one in comparison.differing
        ],
    }


def _pair(both: Both) -> dict[str, Any]:
    return {
        "sourceRows": both.source.rows,
        "targetRows": both.target.rows,
        "sourceHash": both.source.hash,
        "targetHash": both.target.hash,
        "equal": both.equal,
    }


def _tell_people(ends: Ends, told: _Told) -> None:
    outcome, comparison = told.outcome, told.outcome.comparison
    if comparison is not None:
        _tell_comparison(comparison)
    rate = outcome.rows / max(told.seconds, 0.001)
    typer.echo(
        f"{outcome.rows:,} rows in {told.seconds:,.1f} s ({rate:,.0f} rows/s): "
        f"{outcome.stored:,} stored, {outcome.removed:,} removed."
    )
    if told.lag:
        typer.echo(f"{told.lag:,} texts wait for their vectors, which the server makes.")
    if comparison is None:
        typer.echo(
            "Run it again to catch up, and with --final when the source's server is stopped."
        )
    elif comparison.equal:
        typer.echo(f"The copy is complete. Start the server on {clean(_name(ends.target))}.")


def _tell_comparison(comparison: Comparison) -> None:
    tables = [{"table": name} | _pair(both) for name, both in comparison.tables().items()]
    show_table(tables, [_column("table", "table"), *_FIGURES])
    typer.echo()
    differing = [one for one in comparison.spaces if not one[1].equal]
    shown = (differing + [one for one in comparison.spaces if one[1].equal])[:_MOST_SPACES]
    spaces = [
        {"project": scope.project_id, "namespace": scope.namespace} | _pair(both)
        for scope, both in shown
    ]
    show_table(
        spaces, [_column("project", "project"), _column("namespace", "namespace"), *_FIGURES]
    )
    if comparison.all_spaces > len(shown):
        typer.echo(f"… and {comparison.all_spaces - len(shown):,} spaces more")
    if spaces:
        typer.echo()
    for one in comparison.differing:
        where = f"project {one.project_id}"
        if one.namespace:
            where += f", namespace {one.namespace}"
        typer.echo(clean(f"{one.table} {one.key} ({where}): {one.how}"))


def _column(title: str, name: str, most: int | None = None) -> Column:
    of: Callable[[Any], str] = lambda row: text_of(row[name])[:most]  # noqa: E731
    return Column(title, of)


_FIGURES = (
    _column("source", "sourceRows"),
    _column("target", "targetRows"),
    _column("hash of source", "sourceHash", _HASH_SHOWN),
    _column("hash of target", "targetHash", _HASH_SHOWN),
    _column("equal", "equal"),
)


def _complaint(told: _Told, comparison: Comparison) -> str:
    if told.finished:
        return (
            f"source and target differ in {comparison.count} rows. The copy had been finished "
            "before: this is what was written to either of them since, or damage"
        )
    return (
        f"source and target differ in {comparison.count} rows after the copy; run the same "
        "command again"
    )
