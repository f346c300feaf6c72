"""The probes and the metrics, over real HTTP on loopback."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from http.client import HTTPConnection

import pytest

from repobridge.probes import Health, serving
from repobridge_operator.cluster import Call, Resource
from repobridge_operator.metrics import OperatorMetrics, Result
from repobridge_operator.observed import Observed


@dataclass
class Clock:
    now: float = 0.0

    def __call__(self) -> float:
        return self.now


def get(port: int, path: str, host: str = "127.0.0.1") -> tuple[int, str]:
    connection = HTTPConnection(host, port, timeout=60)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        return response.status, response.read().decode()
    finally:
        connection.close()


def test_ready_only_when_told_alive_only_while_the_loop_comes_round() -> None:
    clock = Clock()
    health = Health(clock=clock, hung_seconds=30.0)
    with serving("127.0.0.1:0", health, OperatorMetrics().registry) as port:
        assert (get(port, "/healthz"), get(port, "/readyz")) == ((200, "ok\n"), (503, "not ok\n"))
        health.is_ready = True
        assert get(port, "/readyz") == (200, "ok\n")
        clock.now = 31.0
        assert (get(port, "/healthz"), get(port, "/readyz")) == (
            (503, "not ok\n"),
            (503, "not ok\n"),
        )
        health.beat()
        assert get(port, "/healthz") == (200, "ok\n")
        assert get(port, "/other")[0] == 404


def test_it_listens_on_ipv6_too() -> None:
    with serving("[::1]:0", Health(), OperatorMetrics().registry) as port:
        assert get(port, "/healthz", "::1") == (200, "ok\n")


def test_the_loop_beats_by_itself() -> None:
    beats: list[float] = []

    def clock() -> float:
        beats.append(1.0)
        return float(len(beats))

    async def beat_twice() -> None:
        task = asyncio.create_task(Health(clock=clock).run())
        async with asyncio.timeout(60):
            while len(beats) < 3:
                await asyncio.sleep(0.01)
        task.cancel()

    asyncio.run(beat_twice())


def test_the_metrics_count_writes_reads_looks_and_bridges_by_phase() -> None:
    metrics, observed = OperatorMetrics(), Observed()
    for number, phase in enumerate(["Ready", "Ready", "Asleep", None]):
        observed.put(
            Resource.BRIDGE,
            {
                "metadata": {
                    "namespace": "team",
                    "name": f"b{number}",
                    "uid": f"u{number}",
                    "resourceVersion": "1",
                },
                "status": {"phase": phase} if phase else {},
            },
        )
    metrics.watch(observed, waiting=lambda: 7)
    metrics.called(Call(verb="apply", resource=Resource.CLAIM, outcome="Ok"))
    metrics.called(
        Call(verb="patch", resource=Resource.BRIDGE, subresource="status", outcome="Conflict")
    )
    metrics.called(Call(verb="get", resource=Resource.SECRET, outcome="NotFound"))
    metrics.reconciled(Result.CHANGED, seconds=0.002)
    metrics.leads(True)
    with serving("127.0.0.1:0", Health(), metrics.registry) as port:
        _, text = get(port, "/metrics")
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    for expected in (
        'repobridge_operator_writes_total{kind="PersistentVolumeClaim",outcome="Ok",verb="apply"}'
        " 1.0",
        'repobridge_operator_writes_total{kind="RepoBridge/status",outcome="Conflict",verb="patch"}'
        " 1.0",
        'repobridge_operator_reads_total{kind="Secret",outcome="NotFound"} 1.0',
        'repobridge_operator_reconciles_total{result="changed"} 1.0',
        'repobridge_operator_reconciles_total{result="stable"} 0.0',
        'repobridge_operator_bridges{phase="Ready"} 2.0',
        'repobridge_operator_bridges{phase="Asleep"} 1.0',
        'repobridge_operator_bridges{phase="Unknown"} 1.0',
        "repobridge_operator_queue_depth 7.0",
        "repobridge_operator_leader 1.0",
    ):
        assert expected in lines


def test_a_port_that_is_taken_is_told_at_once() -> None:
    with serving("127.0.0.1:0", Health(), OperatorMetrics().registry) as port:
        second = serving(f"127.0.0.1:{port}", Health(), OperatorMetrics().registry)
        with pytest.raises(OSError, match="in use"), second:
            pass
