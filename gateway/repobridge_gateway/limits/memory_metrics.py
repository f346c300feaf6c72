"""What a ledger in memory tells Prometheus: how much it holds, and what it had no room for."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from repobridge_gateway.limits.memory import MemoryLedger


class MemoryLedgerMetrics(Collector):
    """One ledger's numbers; asked by a thread of the address that serves them."""

    def __init__(self, ledger: MemoryLedger) -> None:
        self._ledger = ledger

    def collect(self) -> Iterator[Metric]:
        """Every metric, as it stands."""
        yield GaugeMetricFamily(
            "repobridge_gateway_ledger_entries",
            "What the ledger of limits holds in memory.",
            value=self._ledger.entries,
        )
        yield CounterMetricFamily(
            "repobridge_gateway_ledger_evicted",
            "What the ledger of limits in memory forgot before its time, as there was too much.",
            value=self._ledger.evicted,
        )
