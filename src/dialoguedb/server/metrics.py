"""Figures for Prometheus."""

from bisect import bisect_left
from collections.abc import Callable, Iterator

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
from dialoguedb.store.protocol import SearchStanding

_BUCKETS_S = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.1, 0.5, 2.5, 10.0)


class _Timer:
    """Counts and times of one operation."""

    __slots__ = ("buckets", "sum_s")

    def __init__(self) -> None:
        self.buckets = [0] * (len(_BUCKETS_S) + 1)
        self.sum_s = 0.0


class Metrics(Collector):
    """The figures of one server: counted in plain numbers, put into Prometheus' form when asked.

    For one thread: the loop's.
    """

    def __init__(self, standing: Callable[[], SearchStanding]) -> None:
        """Begin to count; `standing` tells how search stands."""
        self._standing = standing
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self._counts: dict[tuple[str, int], int] = {}
        self._timers: dict[str, _Timer] = {}
        self.registry.register(self)

    def observe(self, operation: str, status: int, seconds: float) -> None:
        """Count one request."""
        key = (operation, status)
        self._counts[key] = self._counts.get(key, 0) + 1
        timer = self._timers.get(operation)
        if timer is None:
            timer = self._timers[operation] = _Timer()
        timer.buckets[bisect_left(_BUCKETS_S, seconds)] += 1
        timer.sum_s += seconds

    def collect(self) -> Iterator[Metric]:
        """Give the figures in Prometheus' form."""
        info = InfoMetricFamily("dialoguedb", "The release.")
        info.add_metric([], {"version": __version__})
        yield info
        requests = CounterMetricFamily(
            "dialoguedb_requests", "Requests answered.", labels=["operation", "status"]
        )
        for (operation, status), count in self._counts.items():
            requests.add_metric([operation, str(status)], count)
        yield requests
        seconds = HistogramMetricFamily(
            "dialoguedb_request_seconds",
            "Time from a request's head to its answer.",
            labels=["operation"],
        )
        for operation, timer in self._timers.items():
            total, buckets = 0, []
            for bound, count in zip((*_BUCKETS_S, "+Inf"), timer.buckets, strict=True):
                total += count
                buckets.append((str(bound), total))
            seconds.add_metric([operation], buckets, timer.sum_s)
        yield seconds
        standing = self._standing()
        lag = GaugeMetricFamily(
            "dialoguedb_search_lag",
            "Resources that are found by their words, but not yet by meaning.",
            labels=["embedder"],
        )
        lag.add_metric([standing.embedder], standing.lag)
        yield lag

    def text(self) -> bytes:
        """Write the figures in Prometheus' text form."""
        return generate_latest(self.registry)
