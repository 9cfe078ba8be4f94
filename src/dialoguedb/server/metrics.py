"""Figures for Prometheus: of one process, or of all workers of a server together."""

from bisect import bisect_left
from collections.abc import Iterator, Sequence

import msgspec
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
)
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector

from dialoguedb import __version__
from dialoguedb.server.board import Board
from dialoguedb.store.protocol import SearchStanding

_BUCKETS_S = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.1, 0.5, 2.5, 10.0)


class Timer(msgspec.Struct):
    """How often an operation took how long, by bucket, and all of it together."""

    buckets: list[int] = msgspec.field(default_factory=lambda: [0] * (len(_BUCKETS_S) + 1))
    sum_s: float = 0.0


class Figures(msgspec.Struct):
    """What a process has counted; with those that had its place among the workers before.

    Attributes:
        pid: the process.
        counts: requests by operation and status.
        timers: by operation.
    """

    pid: int
    counts: dict[str, dict[int, int]] = {}
    timers: dict[str, Timer] = {}

    def add(self, other: "Figures") -> None:
        """Count what another has counted."""
        for operation, by_status in other.counts.items():
            own = self.counts.setdefault(operation, {})
            for status, count in by_status.items():
                own[status] = own.get(status, 0) + count
        for operation, timer in other.timers.items():
            mine = self.timers.setdefault(operation, Timer())
            mine.buckets = [a + b for a, b in zip(mine.buckets, timer.buckets, strict=True)]
            mine.sum_s += timer.sum_s


class Metrics(Collector):
    """The figures of one server: counted in plain numbers, put into Prometheus' form when asked.

    For one thread: the loop's.
    """

    def __init__(self, pid: int, board: Board | None = None) -> None:
        """Begin to count.

        Args:
            pid: this process.
            board: where the workers of a server put their figures together, if there are several.
        """
        self._board = board
        self._counted = Figures(pid)
        self._standing: SearchStanding | None = None
        if board is not None:
            self._counted.add(_decode(board.own()) or Figures(pid))
        self.registry = CollectorRegistry()
        if board is None:
            ProcessCollector(registry=self.registry)
        self.registry.register(self)

    def observe(self, operation: str, status: int, seconds: float) -> None:
        """Count one request."""
        counts = self._counted.counts.get(operation)
        if counts is None:
            counts = self._counted.counts[operation] = {}
            self._counted.timers[operation] = Timer()
        counts[status] = counts.get(status, 0) + 1
        timer = self._counted.timers[operation]
        timer.buckets[bisect_left(_BUCKETS_S, seconds)] += 1
        timer.sum_s += seconds

    def publish(self) -> None:
        """Let the other workers know what this one has counted."""
        if self._board is not None:
            self._board.put(msgspec.json.encode(self._counted))

    def collect(self) -> Iterator[Metric]:
        """Give the figures in Prometheus' form."""
        workers = self._workers()
        total = Figures(self._counted.pid)
        for one in workers:
            total.add(one)
        info = InfoMetricFamily("dialoguedb", "The release.")
        info.add_metric([], {"version": __version__})
        yield info
        requests = CounterMetricFamily(
            "dialoguedb_requests", "Requests answered.", labels=["operation", "status"]
        )
        for operation, by_status in total.counts.items():
            for status, count in by_status.items():
                requests.add_metric([operation, str(status)], count)
        yield requests
        yield _seconds(total)
        if self._standing is not None:
            lag = GaugeMetricFamily(
                "dialoguedb_search_lag",
                "Resources that are found by their words, but not yet by meaning.",
                labels=["embedder"],
            )
            lag.add_metric([self._standing.embedder], self._standing.lag)
            yield lag
        if self._board is not None:
            yield from _processes([one.pid for one in workers])

    def _workers(self) -> Sequence[Figures]:
        if self._board is None:
            return [self._counted]
        # First: what has been told once must be in whatever another worker tells next.
        self.publish()
        return [found for data in self._board.all() if (found := _decode(data)) is not None]

    def text(self, standing: SearchStanding | None) -> bytes:
        """Write the figures in Prometheus' text form.

        Args:
            standing: how search stands; None where nobody can tell.
        """
        self._standing = standing
        return generate_latest(self.registry)


def _decode(data: bytes) -> Figures | None:
    return msgspec.json.decode(data, type=Figures) if data else None


def _seconds(total: Figures) -> Metric:
    seconds = HistogramMetricFamily(
        "dialoguedb_request_seconds",
        "Time from a request's head to its answer.",
        labels=["operation"],
    )
    for operation, timer in total.timers.items():
        count, buckets = 0, []
        for bound, more in zip((*_BUCKETS_S, "+Inf"), timer.buckets, strict=True):
            count += more
            buckets.append((str(bound), count))
        seconds.add_metric([operation], buckets, timer.sum_s)
    return seconds


def _processes(pids: Sequence[int]) -> Iterator[Metric]:
    """Give the processor time, memory and files of each worker."""
    families: dict[str, Metric] = {}
    for number, pid in enumerate(pids, 1):
        for one in ProcessCollector(pid=lambda pid=pid: pid, registry=None).collect():  # type: ignore[misc]
            family = families.setdefault(one.name, Metric(one.name, one.documentation, one.type))
            for sample in one.samples:
                family.add_sample(
                    sample.name, {**sample.labels, "worker": str(number)}, sample.value
                )
    yield from families.values()
