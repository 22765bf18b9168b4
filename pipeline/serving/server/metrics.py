"""Metrics of the server, for Prometheus."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Iterable, Iterator
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from pipeline.serving.server.batching import Batcher
from pipeline.serving.server.errors import RequestError
from pipeline.serving.server.impressions import ImpressionLog
from pipeline.serving.server.models import ModelVersions

_PREFIX: Final = "two_tower_server_"
_SECONDS: Final = (
    *(0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0),
)


class Request:
    """A request that is being measured.

    Attributes:
      signature: Name of the signature, once it is known to be one of the model.
    """

    signature = ""


class Metrics:
    """Counts requests, and collects what the other parts count.

    Args:
      versions: The versions.
      batcher: What runs TensorFlow.
      impressions: The log of impressions; None if there is none.
    """

    def __init__(
        self,
        versions: ModelVersions,
        batcher: Batcher,
        impressions: ImpressionLog | None,
    ) -> None:
        self._registry = CollectorRegistry()
        self._requests = Counter(
            f"{_PREFIX}requests",
            "Requests to predict, by the status that they were answered with.",
            ("protocol", "signature", "code"),
            registry=self._registry,
        )
        self._seconds = Histogram(
            f"{_PREFIX}request_seconds",
            "Time from the head of a request to its answer.",
            ("protocol", "signature"),
            buckets=_SECONDS,
            registry=self._registry,
        )
        self._registry.register(_Parts(versions, batcher, impressions))

    @contextlib.contextmanager
    def measured(self, protocol: str) -> Iterator[Request]:
        """Counts and times a request.

        Args:
          protocol: `rest`, whose codes are those of HTTP, or `grpc`.
        """
        is_rest = protocol == "rest"
        request, code = Request(), "200" if is_rest else "OK"
        start = time.perf_counter()
        try:
            yield request
        except RequestError as error:
            code = str(error.http_status) if is_rest else error.status.name
            raise
        except asyncio.CancelledError:  # the client has gone
            code = "499" if is_rest else "CANCELLED"
            raise
        except Exception:
            code = "500" if is_rest else "INTERNAL"
            raise
        finally:
            seconds = time.perf_counter() - start
            self._requests.labels(protocol, request.signature, code).inc()
            self._seconds.labels(protocol, request.signature).observe(seconds)

    def text(self) -> bytes:
        """Returns all metrics in Prometheus' text format."""
        return generate_latest(self._registry)


class _Parts(Collector):
    """Reads what the parts of the server count themselves."""

    def __init__(
        self,
        versions: ModelVersions,
        batcher: Batcher,
        impressions: ImpressionLog | None,
    ) -> None:
        self._versions = versions
        self._batcher = batcher
        self._impressions = impressions

    def collect(self) -> Iterable[Metric]:
        """Yields the metrics."""
        loaded = GaugeMetricFamily(
            f"{_PREFIX}version_loaded",
            "1 for each version that is loaded, with its labels.",
            labels=("version", "labels"),
        )
        for version in self._versions.loaded():
            loaded.add_metric((str(version.version), ",".join(version.labels)), 1)
        yield loaded
        yield _counter(
            "versions_loaded", "Versions that were loaded.", self._versions.reloads
        )
        yield _gauge(
            "versions_damaged",
            "Versions of the serving directory that cannot be loaded.",
            len(self._versions.failures),
        )
        yield _gauge(
            "requests_waiting",
            "Requests that wait for a thread.",
            self._batcher.waiting,
        )
        yield _counter("batches", "Calls of TensorFlow.", self._batcher.batches)
        if self._impressions is not None:
            yield _counter(
                "impressions_written",
                "Answered users that were written.",
                self._impressions.written,
            )
            yield _counter(
                "impressions_lost",
                "Answered users that could not be written.",
                self._impressions.lost,
            )


def _counter(name: str, text: str, value: float) -> Metric:
    return CounterMetricFamily(f"{_PREFIX}{name}", text, value=value)


def _gauge(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(f"{_PREFIX}{name}", text, value=value)
