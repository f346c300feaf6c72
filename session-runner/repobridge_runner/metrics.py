"""The runner's Prometheus metrics, read from it when they are asked for."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from repobridge.machine_address import MachineAddress
from repobridge.session.events import SessionState
from repobridge_runner.runner import Runner


class RunnerMetrics(Collector):
    """What one runner counts; labels come from small fixed sets."""

    def __init__(self, runner: Runner) -> None:
        self._runner = runner

    def collect(self) -> Iterator[Metric]:
        """Every metric, as it stands."""
        runner = self._runner
        sessions = list(runner.sessions.values())
        states = GaugeMetricFamily(
            "repobridge_runner_sessions", "Sessions by state.", labels=["state"]
        )
        for state in SessionState:
            states.add_metric([state.name], sum(each.state is state for each in sessions))
        yield states
        yield GaugeMetricFamily(
            "repobridge_runner_queued_messages",
            "Messages that wait for their turn.",
            value=sum(each.queued for each in sessions),
        )
        yield GaugeMetricFamily(
            "repobridge_runner_open_requests",
            "Approvals and questions that wait for a person.",
            value=sum(len(each.requests.waiting) for each in sessions),
        )
        yield GaugeMetricFamily(
            "repobridge_runner_attached_terminals",
            "People attached to a live terminal.",
            value=sum(each.attached for each in sessions),
        )
        yield CounterMetricFamily(
            "repobridge_runner_events", "Events in the log.", value=runner.log.last_sequence
        )
        yield GaugeMetricFamily(
            "repobridge_runner_events_unacked",
            "Events that the durable consumer has not delivered yet.",
            value=_unacked(runner),
        )
        yield GaugeMetricFamily(
            "repobridge_runner_disk_used_ratio",
            "How full the log's volume is.",
            value=runner.log.disk_state().fraction_used,
        )
        turns = CounterMetricFamily(
            "repobridge_runner_turns", "Turns that ended, by outcome.", labels=["outcome"]
        )
        for outcome, count in runner.counts.turns.items():
            turns.add_metric([outcome.name], count)
        yield turns
        yield CounterMetricFamily(
            "repobridge_runner_orphans_reaped", "Orphans reaped.", value=runner.reaper.reaped
        )


def _unacked(runner: Runner) -> int:
    acked = runner.log.acked_sequence
    return 0 if acked is None else runner.log.last_sequence - acked


def serve(runner: Runner, address: str) -> MachineAddress:
    """Serves the metrics at HOST:PORT or unix:PATH, in threads of their own, until it is closed."""
    registry = CollectorRegistry()
    registry.register(RunnerMetrics(runner))
    return MachineAddress(address, registry)
