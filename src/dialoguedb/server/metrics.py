"""Figures for Prometheus."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.process_collector import ProcessCollector

from dialoguedb import __version__

_BUCKETS_S = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.1, 0.5, 2.5, 10)


class Metrics:
    """The figures of one server."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self._requests = Counter(
            "dialoguedb_requests",
            "Requests answered.",
            ["operation", "status"],
            registry=self.registry,
        )
        self._seconds = Histogram(
            "dialoguedb_request_seconds",
            "Time from a request's head to its answer.",
            ["operation"],
            buckets=_BUCKETS_S,
            registry=self.registry,
        )
        info = Gauge("dialoguedb_info", "The version.", ["version"], registry=self.registry)
        info.labels(__version__).set(1)
        self._counters: dict[tuple[str, int], Counter] = {}
        self._timers: dict[str, Histogram] = {}

    def observe(self, operation: str, status: int, seconds: float) -> None:
        """Count one request."""
        key = (operation, status)
        counter = self._counters.get(key)
        if counter is None:
            counter = self._counters[key] = self._requests.labels(operation, status)
        counter.inc()
        timer = self._timers.get(operation)
        if timer is None:
            timer = self._timers[operation] = self._seconds.labels(operation)
        timer.observe(seconds)

    def text(self) -> bytes:
        """Write the figures in Prometheus' text form."""
        return generate_latest(self.registry)
