"""Acts that share a connection, and whose statements travel together.

Each act is ordinary code that asks one thing after the other. Where it would wait for an answer it
is put aside (a greenlet) and the next one goes on. When all wait, what they ask for is sent at
once. So they wait as often as that one of them that asks most often.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeVar

import psycopg
from greenlet import getcurrent, greenlet

from dialoguedb.store.postgres.pipeline import Answer, Sent

T = TypeVar("T")


class Asked(NamedTuple):
    """What an act asks for.

    Attributes:
        sent: the statements.
        overtaking: whether they may pass what waits in the session's queue.
    """

    sent: Sequence[Sent]
    overtaking: bool


class FailedError(Exception):
    """A statement has failed, and with it the transaction.

    Attributes:
        asker: whose statement it was, as a place in what was sent; None if it was nobody's.
    """

    def __init__(self, asker: int | None) -> None:
        super().__init__()
        self.asker = asker


class Together:
    """Runs acts in one thread, on one connection."""

    def __init__(self, send: Callable[[Sequence[Asked]], list[list[Answer]]]) -> None:
        """Make it.

        Args:
            send: sends what several acts ask for, and gives the answers to each. It raises
                `FailedError` from what has happened.
        """
        self._send = send
        self._hub = getcurrent()

    @property
    def is_act(self) -> bool:
        """Whether the code that runs now is one of the acts."""
        return getcurrent() is not self._hub

    def ask(self, asked: Asked) -> list[Answer]:
        """Have something sent with what the others ask for; for an act."""
        answers: list[Answer] = self._hub.switch(asked)
        return answers

    def run(self, acts: Sequence[Callable[[], T]]) -> list[T]:
        """Run acts and give what each of them gives.

        Raises:
            Exception: what the first act that fails raises; the others have been left where they
                were. An act whose statement fails is told so first, and may raise something else.
        """
        results: list[Any] = [None] * len(acts)
        lets = [greenlet(act) for act in acts]
        try:
            asking = self._go_on(results, lets, dict.fromkeys(range(len(acts))))
            while asking:
                places = list(asking)
                answers = self._answers(lets, places, list(asking.values()))
                asking = self._go_on(results, lets, dict(zip(places, answers, strict=True)))
        finally:
            for one in lets:
                if one and not one.dead:
                    one.throw()
        return results

    def _go_on(
        self, results: list[Any], lets: Sequence[greenlet], given: dict[int, Any]
    ) -> dict[int, Asked]:
        """Let acts go on with what they have waited for; give what they ask for next."""
        asking = {}
        for place, value in given.items():
            one = lets[place]
            said = one.switch(value) if one else one.switch()
            if one.dead:
                results[place] = said
            else:
                asking[place] = said
        return asking

    def _answers(
        self, lets: Sequence[greenlet], places: Sequence[int], asked: Sequence[Asked]
    ) -> list[list[Answer]]:
        try:
            return self._send(asked)
        except FailedError as failed:
            error = failed.__cause__
            assert isinstance(error, psycopg.Error)
            if failed.asker is not None:
                lets[places[failed.asker]].throw(error)
            raise error from None
