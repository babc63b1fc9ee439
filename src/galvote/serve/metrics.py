"""What Prometheus may ask: requests, images, batches and the queue."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
_GALAXIES = (1, 2, 4, 8, 16, 32, 64)


class Metrics:
    """Counters of one server.

    Attributes
    ----------
    registry
        All of them, for `prometheus_client.generate_latest`.
    requests, seconds
        Requests by route, method and code, and the time to answer them by route.
    images
        Images by the status of their reading.
    batches, network
        Galaxies in each run of a network, and the time of the runs.
    queue, open
        Places taken in the queue, and open requests, read when they are asked for.
    """

    def __init__(self) -> None:
        registry = self.registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        self.requests = Counter(
            "galvote_requests", "Requests answered.", ("route", "method", "code"), registry=registry
        )
        self.seconds = Histogram(
            "galvote_request_seconds",
            "Time to answer, upload included.",
            ("route",),
            buckets=_SECONDS,
            registry=registry,
        )
        self.images = Counter("galvote_images", "Images by status.", ("status",), registry=registry)
        self.batches = Histogram(
            "galvote_batch_galaxies", "Galaxies in a run of a network.", buckets=_GALAXIES, registry=registry
        )
        self.network = Counter(
            "galvote_network_seconds", "Time that networks computed, all threads.", registry=registry
        )
        self.queue = Gauge(
            "galvote_queue_places", "Places taken in the queue before the networks.", registry=registry
        )
        self.open = Gauge("galvote_requests_open", "Requests that send images or wait.", registry=registry)
