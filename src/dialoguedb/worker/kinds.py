"""The kinds of jobs that there are."""

from collections.abc import Callable, Mapping
from typing import NamedTuple

from dialoguedb.store.protocol import Store
from dialoguedb.worker import embed, erase, forget, grow, look
from dialoguedb.worker.task import Again, Task


class Kind(NamedTuple):
    """A kind of job.

    Attributes:
        run: does a job; it returns None when that is done, else when to take it again.
        each_s: how long after it was done it is done again, seconds; None for once. There is one
            job of such a kind, and workers see that it is there.
        everywhere: whether it is also for a database that is a file, whose index has threads of
            its own.
    """

    run: Callable[[Task], Again | None]
    each_s: float | None = None
    everywhere: bool = False


Kinds = Mapping[str, Kind]

_KINDS: Kinds = {
    "embed": Kind(embed.run),
    "erase": Kind(erase.run, everywhere=True),
    "forget": Kind(forget.run, each_s=forget.EACH_S, everywhere=True),
    "grow": Kind(grow.run),
    "look": Kind(look.run, each_s=look.EACH_S),
}


def kinds_of(store: Store) -> Kinds:
    """Give the kinds of jobs that a database has, by their names."""
    return {name: kind for name, kind in _KINDS.items() if kind.everywhere or not store.inline}
