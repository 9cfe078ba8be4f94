"""Ids, ordinals and keys from a clock and randomness of the tests' own."""

import base64
import itertools
import re
import threading
import uuid
from collections.abc import Callable
from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from dialoguedb.runtime import Runtime, monotonic_s, system_clock

FIXED = settings(derandomize=True, deadline=None, database=None, max_examples=60)
ULID = re.compile(r"[0-7][0-9A-HJKMNP-TV-Z]{25}")
CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
NOW_MS = 1_770_091_506_007
STEPS = st.lists(st.integers(-10_000, 10_000) | st.sampled_from([0, 0, 1]), max_size=60)


def ticking(steps: list[int], start_ms: int = NOW_MS) -> tuple[Callable[[], int], list[int]]:
    """A clock that goes by these steps, then stands; and the times that it gave."""
    given: list[int] = []
    rest = iter(steps)

    def now() -> int:
        given.append((given[-1] if given else start_ms) + next(rest, 0))
        return given[-1]

    return now, given


def seeded(seed: int = 1) -> Callable[[int], bytes]:
    return Random(seed).randbytes


def number_of(ulid: str) -> int:
    """A ULID as the number that its base 32 digits spell."""
    number = 0
    for letter in ulid:
        number = number * 32 + CROCKFORD.index(letter)
    return number


def time_of(ulid: str) -> int:
    return number_of(ulid) >> 80


@FIXED
@given(STEPS, st.integers(0, 3))
def test_ulids_rise_however_the_clock_goes(steps: list[int], seed: int) -> None:
    """Forwards, standing or backwards; each has the form of a ULID."""
    now, times = ticking(steps)
    runtime = Runtime(now, seeded(seed))
    made = [runtime.ulid() for _ in range(len(steps) + 5)]
    assert all(ULID.fullmatch(one) for one in made)
    assert all(a < b for a, b in itertools.pairwise(made))
    newest = [max(times[: index + 1]) for index in range(len(made))]
    assert [time_of(one) for one in made] == newest


def test_ulids_of_one_millisecond_count_on() -> None:
    """The random part is drawn once and then goes up by one."""
    runtime = Runtime(lambda: NOW_MS, seeded())
    numbers = [number_of(runtime.ulid()) for _ in range(1000)]
    assert numbers == list(range(numbers[0], numbers[0] + 1000))


def test_ulids_of_one_millisecond_rise_from_the_highest_draw_too() -> None:
    """A draw of ones only leaves room to count, and does not touch the time."""
    runtime = Runtime(lambda: NOW_MS, lambda size: b"\xff" * size)
    made = [runtime.ulid() for _ in range(100)]
    assert made == sorted(set(made))
    assert {time_of(one) for one in made} == {NOW_MS}


def test_ulids_of_two_processes_differ() -> None:
    """The same millisecond with other randomness gives other ids."""
    one, other = (Runtime(lambda: NOW_MS, seeded(seed)) for seed in (1, 2))
    assert not {one.ulid() for _ in range(100)} & {other.ulid() for _ in range(100)}


def test_threads_get_ulids_of_their_own() -> None:
    """A runtime is thread-safe: none comes twice, and each thread's rise."""
    runtime = Runtime(randomness=seeded())
    made: list[list[str]] = [[] for _ in range(4)]

    def make(into: list[str]) -> None:
        into.extend(runtime.ulid() for _ in range(2000))

    threads = [threading.Thread(target=make, args=(into,)) for into in made]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({one for into in made for one in into}) == 8000
    assert all(into == sorted(into) for into in made)


@FIXED
@given(STEPS)
def test_ordinals_rise_and_follow_the_clock(steps: list[int]) -> None:
    """They begin with the time in milliseconds, so two processes' ones mix by time."""
    now, times = ticking(steps)
    runtime = Runtime(now)
    made = [runtime.ordinal() for _ in range(len(steps) + 5)]
    assert all(a < b for a, b in itertools.pairwise(made))
    newest = [max(times[: index + 1]) for index in range(len(made))]
    assert [one >> 20 for one in made] == newest
    assert made[-1] < 2**63 - 1


def test_ordinals_fit_into_a_column_until_the_year_2200() -> None:
    """SQLite's integers have 63 bits and a sign."""
    assert Runtime(lambda: 7_258_118_400_000).ordinal() < 2**63


def test_uuids_are_random_and_of_version_4() -> None:
    """In their usual form; each bit but six is taken from the randomness."""
    runtime = Runtime(randomness=seeded())
    made = [runtime.uuid() for _ in range(2000)]
    for text in made:
        read = uuid.UUID(text)
        assert str(read) == text
        assert (read.version, read.variant) == (4, uuid.RFC_4122)
    assert len(set(made)) == len(made)
    numbers = [uuid.UUID(text).int for text in made]
    varying = (1 << 128) - 1
    for number in numbers:
        varying &= ~(number ^ numbers[0]) & varying
    assert varying.bit_count() == 6


def test_keys_have_256_random_bits() -> None:
    """`skv1_` and 43 base64url characters (contract 2)."""
    runtime = Runtime(randomness=lambda size: bytes(range(size)))
    key = runtime.api_key()
    assert re.fullmatch(r"skv1_[A-Za-z0-9_-]{43}", key)
    assert base64.urlsafe_b64decode(key[5:] + "=") == bytes(range(32))
    assert len({Runtime().api_key() for _ in range(50)}) == 50


def test_keys_are_not_taken_from_the_stock_of_ids() -> None:
    """A key's randomness is drawn for it alone: nothing else has seen it."""
    drawn: list[int] = []
    source = Random(1)

    def randomness(size: int) -> bytes:
        drawn.append(size)
        return source.randbytes(size)

    runtime = Runtime(randomness=randomness)
    runtime.ulid()
    runtime.uuid()
    before = len(drawn)
    runtime.api_key()
    assert drawn[before:] == [32]


def test_the_clocks_of_the_machine_are_read() -> None:
    """Milliseconds since 1970, and seconds that never step back."""
    assert 1_700_000_000_000 < system_clock() < 7_258_118_400_000
    assert monotonic_s() <= monotonic_s()
