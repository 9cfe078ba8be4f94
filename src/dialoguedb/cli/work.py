"""`dialoguedb work`: background jobs, in a process of their own."""

import signal
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import typer

from dialoguedb.cli.failing import FAILED
from dialoguedb.cli.output import Db, DbKeyFile, Output, show
from dialoguedb.errors import AdminError
from dialoguedb.settings import Settings, help_of, load

if TYPE_CHECKING:
    from dialoguedb.store.jobs import Listed
    from dialoguedb.store.protocol import Store


class _Shown(msgspec.Struct, rename="camel", omit_defaults=True):
    """A job, as it is shown."""

    job: str
    state: str
    attempts: int
    run_at: str
    created: str
    project_id: str = ""
    reason: str = ""


def work(
    once: Annotated[
        bool, typer.Option("--once", help="End when no job is due, instead of waiting for more.")
    ] = False,
    listed: Annotated[
        bool, typer.Option("--list", help="Show the jobs that there are, and do none.")
    ] = False,
    retry: Annotated[
        str | None,
        typer.Option(
            "--retry", metavar="JOB", help="Have a failed job done again: its name in --list."
        ),
    ] = None,
    workers: Annotated[
        int, typer.Option("--workers", min=1, max=64, help="Jobs that are done at the same time.")
    ] = 1,
    embedder_url: Annotated[
        str | None, typer.Option("--embedder-url", help=help_of("embedder_url"))
    ] = None,
    log_level: Annotated[str | None, typer.Option("--log-level", help=help_of("log_level"))] = None,
    config: Annotated[
        Path | None, typer.Option("--config", help="A TOML file with settings, as for `serve`.")
    ] = None,
    db: Db = None,
    db_key_file: DbKeyFile = None,
    output: Output = None,
) -> None:
    """Do background jobs: summaries, vectors of a remote embedder, upkeep of the index, erasing.

    Servers do them too, of a file the summaries, unless told not to (`serve --no-jobs`). Any number
    of workers may run, anywhere: each job is done by one of them. One that is killed loses its job
    to another within half a minute, and nothing is done twice.

    A job that fails is tried again, later and later. After ten times it stays as `failed`, with the
    reason: --list shows it. Mend that, then --retry it. A summary itself is `failed` after eight.

    SIGTERM and Ctrl-C end it after the step at hand; the rest is left to others. Ends with 1 if the
    database cannot be opened.

    Example: `dialoguedb work --db postgresql://dialoguedb@localhost/chat --workers 2`
    """
    if sum((once, listed, retry is not None)) > 1:
        raise typer.BadParameter("give one of --once, --list and --retry")
    flags: dict[str, Any] = {
        "db": db,
        "db_key_file": db_key_file,
        "embedder_url": embedder_url,
        "log_level": log_level,
    }
    settings = load(flags, config=config)
    # The store takes longer to load than `--help` takes.
    from dialoguedb.worker.beside import opened  # noqa: PLC0415

    with closing(opened(settings, workers=workers)) as store:
        if listed:
            show([_shown(job) for job in _jobs(store)], title="jobs", output=output)
        elif retry is not None:
            _retry(store, retry)
        else:
            _work(settings, store, workers=workers, once=once)


def _jobs(store: "Store") -> "list[Listed]":
    from dialoguedb.store import jobs  # noqa: PLC0415

    return store.read(None, jobs.every)


def _shown(job: "Listed") -> _Shown:
    from dialoguedb.models.times import text_of  # noqa: PLC0415

    return _Shown(
        job=f"{job.kind}:{job.key}",
        state=job.state,
        attempts=job.attempts,
        run_at=text_of(job.run_at),
        created=text_of(job.created),
        project_id=job.project_id or "",
        reason=job.failed or "",
    )


def _retry(store: "Store", name: str) -> None:
    from dialoguedb.store import jobs  # noqa: PLC0415

    kind, _, key = name.partition(":")
    if not store.write(None, lambda tx: jobs.retry(tx, kind, key)):
        raise AdminError(
            f"there is no failed job '{name}'; `dialoguedb work --list` shows the names of those "
            "there are"
        )
    typer.echo(f"{name} is due again.")


def _work(settings: Settings, store: "Store", *, workers: int, once: bool) -> None:
    """Work until it is done, or a signal comes; a second one does not wait for the step at hand.

    Raises:
        typer.Exit: a second signal came.
    """
    from dialoguedb.server import logs  # noqa: PLC0415
    from dialoguedb.worker import beside  # noqa: PLC0415

    logs.configure(settings.log_level)
    signals: list[int] = []

    def asked(number: int, _: object) -> None:
        signals.append(number)
        if len(signals) > 1:
            raise typer.Exit(FAILED)

    before = {one: signal.signal(one, asked) for one in (signal.SIGINT, signal.SIGTERM)}
    try:
        beside.work(
            store,
            settings,
            workers=workers,
            once=once,
            asked_to_stop=lambda: bool(signals),
        )
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)
