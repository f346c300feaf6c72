"""What the operator counts; labels come from small fixed sets."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from enum import Enum

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from repobridge.conditions import Phase
from repobridge_operator.cluster import Call
from repobridge_operator.observed import Observed

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class Result(Enum):
    """How one look at a bridge ended."""

    STABLE = "stable"
    """Nothing was to be done."""
    CHANGED = "changed"
    REFUSED = "refused"
    FAILED = "failed"
    """The API server did not answer, or not now."""
    BROKEN = "broken"
    """A mistake of the operator's own."""


class OperatorMetrics:
    """The operator's metrics in a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._reconciles = Counter(
            "repobridge_operator_reconciles",
            "Looks at a bridge, by result.",
            ["result"],
            registry=self.registry,
        )
        self._seconds = Histogram(
            "repobridge_operator_reconcile_seconds",
            "How long a look at a bridge took.",
            buckets=_SECONDS,
            registry=self.registry,
        )
        self._writes = Counter(
            "repobridge_operator_writes",
            "Calls that write to the API server, by kind, verb and outcome.",
            ["kind", "verb", "outcome"],
            registry=self.registry,
        )
        self._reads = Counter(
            "repobridge_operator_reads",
            "Calls that read from the API server beside the watches, by kind and outcome.",
            ["kind", "outcome"],
            registry=self.registry,
        )
        self._leads = Gauge(
            "repobridge_operator_leader",
            "1 while this operator holds the Lease.",
            registry=self.registry,
        )
        self._dropped = Counter(
            "repobridge_operator_queue_refused",
            "Bridges that a full queue refused; the next full look brings them again.",
            registry=self.registry,
        )
        for result in Result:
            self._reconciles.labels(result.value)

    def called(self, call: Call) -> None:
        """Counts a call to the API server."""
        kind = call.resource.kind + (f"/{call.subresource}" if call.subresource else "")
        if call.is_write:
            self._writes.labels(kind, call.verb, call.outcome).inc()
        else:
            self._reads.labels(kind, call.outcome).inc()

    def reconciled(self, result: Result, *, seconds: float) -> None:
        """Counts a look at a bridge."""
        self._reconciles.labels(result.value).inc()
        self._seconds.observe(seconds)

    def leads(self, is_leader: bool) -> None:
        """Says whether this operator holds the Lease."""
        self._leads.set(1 if is_leader else 0)

    def refused_by_queue(self) -> None:
        """Counts a bridge that found the queue full."""
        self._dropped.inc()

    def watch(self, observed: Observed, *, waiting: Callable[[], int]) -> None:
        """Reads bridges by phase and the queue's depth whenever it is asked."""
        self.registry.register(_Standing(observed, waiting))


class _Standing(Collector):
    def __init__(self, observed: Observed, waiting: Callable[[], int]) -> None:
        self._observed = observed
        self._waiting = waiting

    def collect(self) -> Iterator[Metric]:
        yield GaugeMetricFamily(
            "repobridge_operator_queue_depth",
            "Bridges that are due and wait for a worker.",
            value=self._waiting(),
        )
        phases = self._observed.phases()
        bridges = GaugeMetricFamily(
            "repobridge_operator_bridges", "Bridges by phase.", labels=["phase"]
        )
        for phase in Phase:
            bridges.add_metric([phase.value], phases.pop(phase.value, 0))
        bridges.add_metric(["Unknown"], phases.total())
        yield bridges
