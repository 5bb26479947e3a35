"""What Prometheus is told: runs by status, the oldest wait, requests and their latency. No tenant, no id."""

from __future__ import annotations

import threading

from prometheus_client import CollectorRegistry, Gauge, Histogram, generate_latest

from synthloom.domain.run import RunStatus
from synthloom.ports import RunLedger

METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8"

_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.5, 1, 2.5, 5, 10, 30, 60)


class Metrics:
    """The measurements of one server process."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._requests = Histogram(
            "synthloom_request_seconds", "Seconds until a request was answered (its first byte).",
            ["method", "route", "status"], buckets=_BUCKETS, registry=self._registry,
        )
        self._runs = Gauge("synthloom_runs", "Runs by status, over all tenants.", ["status"], registry=self._registry)
        self._wait = Gauge(
            "synthloom_oldest_wait_seconds", "Seconds the oldest run that may be claimed has waited.",
            registry=self._registry,
        )
        self._lock = threading.Lock()

    def answered(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count a request.

        Args:
            method: GET and so on.
            route: The route's pattern, never the path itself, which may hold ids.
            status: Answered with.
            seconds: Until the first byte.
        """
        self._requests.labels(method, route, str(status)).observe(seconds)

    def text(self, ledger: RunLedger) -> bytes:
        """Everything in Prometheus' text form; asks the ledger for its counts."""
        counts, wait = ledger.counts(), ledger.oldest_wait()
        with self._lock:
            for status in RunStatus:
                self._runs.labels(status.value).set(counts.get(status, 0))
            self._wait.set(wait)
            return generate_latest(self._registry)
