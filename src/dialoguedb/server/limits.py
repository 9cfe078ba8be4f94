"""Rate limits: a token bucket for each key (contract 11)."""

import math
import threading
from collections.abc import Callable
from typing import NamedTuple

from dialoguedb.errors import RateLimitExceeded
from dialoguedb.runtime import monotonic_s

Headers = list[tuple[bytes, bytes]]
_UNLIMITED = 1_000_000
_LONGEST_S = 86_400.0


class Bucket(NamedTuple):
    """Tokens left, and when that was so (seconds of the clock that never steps)."""

    tokens: float
    at_s: float


class RateLimiter:
    """Counts the requests of each key; in one process and in memory. Thread-safe."""

    def __init__(
        self,
        rate: float,
        burst: int,
        clock: Callable[[], int],
        elapsed: Callable[[], float] = monotonic_s,
    ) -> None:
        """Make a limiter.

        Args:
            rate: requests per second that a key regains; 0 is no limit.
            burst: requests that a key can make at once.
            clock: milliseconds since 1970, for the header that names a time.
            elapsed: seconds of a clock that never steps, for all that is counted.
        """
        self._rate = rate
        self._burst = burst
        self._clock = clock
        self._elapsed = elapsed
        self._buckets: dict[str, Bucket] = {}
        self._turn = threading.Lock()
        self._second = 0
        self._open_headers: Headers = []

    def take(self, key_id: str) -> tuple[Headers, RateLimitExceeded | None]:
        """Take one token of a key.

        Returns: the headers that say what is left, and the error when nothing was.
        """
        if not self._rate:
            return self.idle(), None
        with self._turn:
            return self._take(key_id)

    def _take(self, key_id: str) -> tuple[Headers, RateLimitExceeded | None]:
        now_s, at_s = self._clock() / 1000, self._elapsed()
        held = self._buckets.get(key_id, Bucket(self._burst, at_s))
        tokens = min(self._burst, held.tokens + (at_s - held.at_s) * self._rate)
        if tokens < 1:
            self._buckets[key_id] = Bucket(tokens, at_s)
            wait_s = math.ceil(min((1 - tokens) / self._rate, _LONGEST_S))
            error = RateLimitExceeded(
                f"Too many requests with this key; try again in {wait_s} s",
                headers={"Retry-After": str(wait_s)},
            )
            return self._headers(tokens, now_s), error
        self._buckets[key_id] = Bucket(tokens - 1, at_s)
        return self._headers(tokens - 1, now_s), None

    def idle(self) -> Headers:
        """Give the headers of an answer that counts for no key."""
        now_s = self._clock() / 1000
        if self._rate:
            return self._headers(self._burst, now_s)
        if int(now_s) != self._second:  # they change once a second
            self._open_headers = _headers(_UNLIMITED, _UNLIMITED, int(now_s) + 1)
            self._second = int(now_s)
        return self._open_headers

    def _headers(self, tokens: float, now_s: float) -> Headers:
        full_s = now_s + min((self._burst - tokens) / self._rate, _LONGEST_S)
        return _headers(self._burst, int(tokens), math.ceil(full_s))


def _headers(limit: int, remaining: int, reset_s: int) -> Headers:
    return [
        (b"x-ratelimit-limit", b"%d" % limit),
        (b"x-ratelimit-remaining", b"%d" % remaining),
        (b"x-ratelimit-reset", b"%d" % reset_s),
    ]
