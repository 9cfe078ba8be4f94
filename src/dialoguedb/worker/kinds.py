"""The kinds of jobs that there are."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import NamedTuple

from dialoguedb.settings import Settings
from dialoguedb.store.protocol import Store
from dialoguedb.store.summaries import JOB as SUMMARIZE
from dialoguedb.worker import embed, erase, forget, grow, look, summarize
from dialoguedb.worker.task import Again, Task
from dialoguedb.worker.ways import ways_of


class Kind(NamedTuple):
    """A kind of job.

    Attributes:
        run: does a job; it returns None when that is done, else when to take it again.
        each_s: how long after it was done it is done again, seconds; None for once. There is one
            job of such a kind, and workers see that it is there.
        everywhere: whether it is also for a database that is a file, whose index has threads of
            its own.
        awaited: whether somebody waits for what it does: who has a file open does it, too.
    """

    run: Callable[[Task], Again | None]
    each_s: float | None = None
    everywhere: bool = False
    awaited: bool = False


Kinds = Mapping[str, Kind]

_KINDS: Kinds = {
    "embed": Kind(embed.run),
    "erase": Kind(erase.run, everywhere=True),
    "forget": Kind(forget.run, each_s=forget.EACH_S, everywhere=True),
    "grow": Kind(grow.run),
    "look": Kind(look.run, each_s=look.EACH_S),
}


def kinds_of(store: Store, settings: Settings | None = None) -> Kinds:
    """Give the kinds of jobs that a database has, by their names.

    Args:
        store: the database.
        settings: by what summaries are made; the built-in summariser if None.
    """
    making = partial(summarize.run, ways=ways_of(settings or Settings()))
    every = {**_KINDS, SUMMARIZE: Kind(making, everywhere=True, awaited=True)}
    return {name: kind for name, kind in every.items() if kind.everywhere or not store.inline}


def awaited(kinds: Kinds) -> Kinds:
    """Give those that somebody waits for."""
    return {name: kind for name, kind in kinds.items() if kind.awaited}
