"""A standby that reads may go to: whatever is wrong with it, the primary answers."""

import psycopg

from dialoguedb.errors import ServiceUnavailable
from dialoguedb.runtime import monotonic_s
from dialoguedb.store.postgres.failing import Seldom, is_gone, one_line
from dialoguedb.store.postgres.pool import Pool
from dialoguedb.store.postgres.session import Session

#: How long nobody asks a replica that has failed, seconds; then one read tries it.
SILENT_S = 5.0


class ElsewhereError(Exception):
    """The replica is not to be used for this; read at the primary."""


class Replica:
    """See the module. Safe from several threads."""

    def __init__(self, pool: Pool) -> None:
        """Make it, without connecting."""
        self.pool = pool
        self._silent_until_s = 0.0
        self._log = Seldom()

    def take(self, after: str | None) -> Session:
        """Take a connection to it, with no transaction begun; it must be given back to the pool.

        Args:
            after: a position that it must have reached.
        Raises:
            ElsewhereError: it has not, or cannot be asked.
        """
        if self._silent_until_s:
            if monotonic_s() < self._silent_until_s:
                raise ElsewhereError
            # This read tries it; the others go to the primary until it has succeeded.
            self._silent_until_s = monotonic_s() + SILENT_S
        try:
            session = self.pool.take()
        except (psycopg.Error, ServiceUnavailable) as error:
            self._fail(error)
            raise ElsewhereError from error
        try:
            # Before the transaction: what is asked inside sees more than its snapshot holds.
            reached = after is None or session.ask("position_reached", position=after)[0][0]
        except psycopg.Error as error:
            session.close()
            self.pool.give_back(session)
            self.failed(error)
            raise ElsewhereError from error
        self._silent_until_s = 0.0
        if not reached:
            self.pool.give_back(session)
            raise ElsewhereError
        return session

    def failed(self, error: psycopg.Error) -> None:
        """Take note of a failure of a read.

        One that cancelled what the primary has removed, or that took too long, says nothing of the
        next read.
        """
        if is_gone(error):
            self.pool.forget()
            self._fail(error)

    def _fail(self, error: Exception) -> None:
        self._silent_until_s = monotonic_s() + SILENT_S
        said = one_line(error) if isinstance(error, psycopg.Error) else str(error)
        self._log.warning("the replica cannot be read, and the primary is: %s", said)

    def close(self) -> None:
        """Close its connections."""
        self.pool.close()
