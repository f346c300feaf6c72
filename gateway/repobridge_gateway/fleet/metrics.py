"""The metrics of one machine: the fleet's own, and each runner's under the name of its bridge."""

from __future__ import annotations

import http.client
import socket
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from prometheus_client import CollectorRegistry
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector

from repobridge.errors import RepoBridgeError
from repobridge.machine_address import MachineAddress
from repobridge_gateway.fleet.bridge import LocalBridge
from repobridge_gateway.fleet.local import LocalFleet
from repobridge_gateway.fleet.port import Bridge
from repobridge_gateway.fleet.status import BridgePhase

_AT_ONCE = 8
_ANSWER_SECONDS = 2.0
"""A runner that takes longer is left out, so that one that hangs hides no other."""


class MetricsError(RepoBridgeError):
    """Metrics can't be served there; the message is a sentence for people."""


class FleetMetrics(Collector):
    """What the fleet counts; asked by a thread of the address that serves it."""

    def __init__(self, fleet: LocalFleet) -> None:
        self._fleet = fleet

    def collect(self) -> Iterator[Metric]:
        """Every metric, as it stands."""
        bridges = list(self._fleet.bridges.values())
        yield by_phase(bridges)
        yield from _of_runners([each for each in bridges if each.status.value.link is not None])


def by_phase(bridges: Iterable[Bridge]) -> Metric:
    """How many bridges stand where."""
    count = Counter(each.status.value.phase for each in bridges)
    family = GaugeMetricFamily("repobridge_gateway_bridges", "Bridges by phase.", labels=["phase"])
    for phase in BridgePhase:
        family.add_metric([phase.name], count[phase])
    return family


def serve(
    fleet: LocalFleet, address: str, registry: CollectorRegistry | None = None
) -> MachineAddress:
    """Serves them at HOST:PORT in threads of their own until it is closed; raises MetricsError.

    `registry` has what else is to be served there.
    """
    registry = registry or CollectorRegistry()
    registry.register(FleetMetrics(fleet))
    try:
        machines = MachineAddress(address, registry)
    except OSError as error:
        raise MetricsError(
            f"Metrics can't be served at {address}: {error.strerror}. Name another address with"
            " --metrics-address."
        ) from error
    machines.serving()
    return machines


def _of_runners(bridges: Sequence[LocalBridge]) -> Iterable[Metric]:
    """One family for each metric, with a sample of each bridge that answers."""
    families: dict[str, Metric] = {}
    with ThreadPoolExecutor(_AT_ONCE, "scrape") as pool:
        texts = pool.map(_asked, [each.metrics_socket for each in bridges])
        for bridge, text in zip(bridges, texts, strict=True):
            for told in text_string_to_metric_families(text):
                whole = families.setdefault(
                    told.name, Metric(told.name, told.documentation, told.type)
                )
                for sample in told.samples:
                    labels = {"bridge": bridge.name, **sample.labels}
                    whole.add_sample(sample.name, labels, sample.value)
    return families.values()


def _asked(path: Path) -> str:
    """What a runner says of itself; nothing where it ends, starts or hangs."""
    connection = _ConnectionInFiles(path)
    try:
        connection.request("GET", "/metrics")
        return connection.getresponse().read().decode()
    except (OSError, http.client.HTTPException):
        return ""
    finally:
        connection.close()


class _ConnectionInFiles(http.client.HTTPConnection):
    """HTTP over a socket in the file system."""

    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=_ANSWER_SECONDS)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))
