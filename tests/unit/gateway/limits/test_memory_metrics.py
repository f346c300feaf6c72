"""What a ledger in memory has no room for can be seen."""

from __future__ import annotations

from prometheus_client import CollectorRegistry

from repobridge_gateway.limits.memory import MemoryLedger
from repobridge_gateway.limits.memory_metrics import MemoryLedgerMetrics
from tests.unit.gateway.limits.charges import LARGE, Clock, charge


async def test_what_it_holds_and_what_it_forgot_too_early_are_told(clock: Clock) -> None:
    ledger = MemoryLedger(clock=clock, size=10)
    registry = CollectorRegistry()
    registry.register(MemoryLedgerMetrics(ledger))
    for number in range(30):
        await ledger.charge(charge(number, LARGE))
    told = {
        name: registry.get_sample_value(f"repobridge_gateway_ledger_{name}")
        for name in ("entries", "evicted_total")
    }
    assert told == {"entries": 10 + 1, "evicted_total": 20}
