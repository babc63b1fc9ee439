"""What Prometheus may ask: requests, pictures, batches and the queue."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    generate_latest,
)

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
_GALAXIES = (1, 2, 4, 8, 16, 32, 64)


class Metrics:
    """Counters of one server."""

    content_type = CONTENT_TYPE_LATEST

    def __init__(self) -> None:
        registry = self._registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        self._requests = Counter(
            "galvote_requests", "Requests answered.", ("route", "method", "code"), registry=registry
        )
        self._seconds = Histogram(
            "galvote_request_seconds",
            "Time to answer, upload included.",
            ("route",),
            buckets=_SECONDS,
            registry=registry,
        )
        self._images = Counter(
            "galvote_pictures", "Pictures by what became of them.", ("status",), registry=registry
        )
        self._batches = Histogram(
            "galvote_batch_galaxies",
            "Galaxies that a network was given at once.",
            buckets=_GALAXIES,
            registry=registry,
        )
        self._network = Counter(
            "galvote_network_seconds", "Time that networks computed, all threads.", registry=registry
        )
        self._queue = Gauge(
            "galvote_queue_views", "Places taken in the queue before the networks.", registry=registry
        )
        self._open = Gauge("galvote_requests_open", "Requests that send pictures or wait.", registry=registry)

    def answered(self, route: str, method: str, code: int, seconds: float) -> None:
        """Count a request."""
        self._requests.labels(route, method, str(code)).inc()
        self._seconds.labels(route).observe(seconds)

    def read(self, status: str) -> None:
        """Count a picture by its status."""
        self._images.labels(status).inc()

    def ran(self, galaxies: int, seconds: float) -> None:
        """Count a batch."""
        self._batches.observe(galaxies)
        self._network.inc(seconds)

    def watch_queue(self, reserved: Callable[[], int]) -> None:
        """Read the length of the queue when it is asked for."""
        self._queue.set_function(reserved)

    def watch_requests(self, count: Callable[[], int]) -> None:
        """Read the number of open requests when it is asked for."""
        self._open.set_function(count)

    def render(self) -> bytes:
        """Return all of them as Prometheus reads them."""
        return generate_latest(self._registry)
