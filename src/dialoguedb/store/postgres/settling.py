"""Waiting until transactions that are older than something have ended."""

import time

from dialoguedb.errors import ServiceUnavailable
from dialoguedb.runtime import monotonic_s
from dialoguedb.store.postgres.session import Session

#: How often it is looked, seconds.
_LOOK_S = 0.01


def settle(session: Session, *, most_s: float) -> None:
    """Wait until all transactions that others have open in this database now have ended.

    Whoever begins later sees all that has been committed before this was called. Not the numbers
    of transactions are looked at: one has none before it writes, and decides by what it has read.

    Args:
        session: in no transaction.
        most_s: how long to wait.
    Raises:
        ServiceUnavailable: one of them takes too long.
    """
    until_s = monotonic_s() + most_s
    older = set(session.ask("index_transactions"))
    while older:
        if monotonic_s() > until_s:
            raise ServiceUnavailable(
                "A transaction on the database has been open for long, such as a backup's; try "
                "again when it has ended"
            )
        time.sleep(_LOOK_S)
        older &= set(session.ask("index_transactions"))
