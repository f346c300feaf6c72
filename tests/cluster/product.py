"""The product on the node, installed with the chart as people install it."""

from __future__ import annotations

import asyncio
import json
import tempfile
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from repobridge import crd
from scripts.images import Images
from tests.chart.helm import Helm
from tests.cluster.handle import Cluster, CommandFailed
from tests.cluster.processes import first_process

SYSTEM, SERVED = "repobridge-system", "repobridge-bridges"
READY_SECONDS = 120.0
_POLL_SECONDS = 0.1
_IN_SYSTEM, _DEPLOYMENT = f"--namespace={SYSTEM}", "deployment/repobridge-operator"
_PODS = ("pods", "--selector=app.kubernetes.io/component=operator")
_RESTRICTED = {"pod-security.kubernetes.io/enforce": "restricted"}


@dataclass(frozen=True)
class Product:
    """An installed RepoBridge, which serves one namespace."""

    cluster: Cluster
    helm: Helm
    values: Mapping[str, Any]
    """What it was installed with."""
    namespace: str = SERVED
    """Of the bridges: other tests make theirs by hand elsewhere, where no operator looks."""

    async def apply(self, name: str, **spec: object) -> None:
        """Applies a bridge."""
        metadata = {"name": name, "namespace": self.namespace}
        await self.cluster.apply(
            {"apiVersion": crd.API_VERSION, "kind": crd.KIND, "metadata": metadata, "spec": spec}
        )

    async def scale(self, name: str, replicas: int) -> None:
        """Wishes a bridge awake or asleep, as everyone may."""
        await self.kubectl("scale", f"repobridge/{name}", f"--replicas={replicas}")

    async def until(self, name: str, phase: str, *, seconds: float = 90.0) -> dict[str, Any]:
        """The bridge, once it is in a phase."""
        found: dict[str, Any] = {}
        try:
            async with asyncio.timeout(seconds):
                while found.get("status", {}).get("phase") != phase:
                    await asyncio.sleep(_POLL_SECONDS)
                    found = json.loads(await self.kubectl("get", "rb", name, "-o", "json"))
        except TimeoutError:
            raise AssertionError(
                f"{name} is not {phase}: {found.get('status')}\n{await self.log()}"
            ) from None
        return found

    async def kubectl(self, *arguments: str) -> str:
        """kubectl in the namespace of the bridges."""
        return await self.cluster.kubectl(f"--namespace={self.namespace}", *arguments)

    async def upgrade(self, **values: object) -> None:
        """Changes what is installed, by values beside those of the installation."""
        given = {**self.values, **values}
        await asyncio.to_thread(self.helm.release, "upgrade", given, namespace=SYSTEM)

    async def log(self) -> str:
        """What the operator has logged."""
        return await self.cluster.kubectl(_IN_SYSTEM, "logs", _DEPLOYMENT)

    async def operator_process(self) -> int:
        """The operator's pid."""
        (pod,) = (await self.cluster.get(_IN_SYSTEM, *_PODS))["items"]
        return await first_process(self.cluster, pod["metadata"]["name"], namespace=SYSTEM)

    @asynccontextmanager
    async def without_operator(self) -> AsyncIterator[None]:
        """No operator is there; afterwards there is one again."""
        await self.cluster.kubectl(_IN_SYSTEM, "scale", _DEPLOYMENT, "--replicas=0")
        try:
            gone = ("wait", *_PODS, "--for=delete", f"--timeout={READY_SECONDS:.0f}s")
            await self.cluster.kubectl(_IN_SYSTEM, *gone, seconds=READY_SECONDS + 10)
            yield
        finally:
            await self.cluster.kubectl(_IN_SYSTEM, "scale", _DEPLOYMENT, "--replicas=1")
        await _ready(self.cluster)


@contextmanager
def installed(cluster: Cluster, images: Images) -> Iterator[Product]:
    """The chart with the project's images; its operator is ready. Removed at the end."""
    asyncio.run(_make_namespaces(cluster))
    with tempfile.TemporaryDirectory() as home:
        helm = Helm(Path(home), cluster.kubeconfig)
        # Other tests may have applied the definition by hand.
        values = _values(images)
        helm.install_over(values, namespace=SYSTEM)
        try:
            asyncio.run(_ready(cluster))
            yield Product(cluster, helm, values)
        finally:
            helm.uninstall(namespace=SYSTEM)


def _values(images: Images) -> dict[str, Any]:
    name = images.control_plane.name
    registry, _, tagged = name.rpartition("/")
    return {
        "namespaces": [SERVED],
        "images": {"registry": registry, "tag": tagged.partition(":")[2], "pullPolicy": "Never"},
        "sessionRunner": {"baseMemoryBytes": 128 << 20, "cpuRequestMilli": 50},
        "operator": {"resources": {"requests": {"cpu": "10m"}}},
    }


async def _make_namespaces(cluster: Cluster) -> None:
    await cluster.apply(
        *(
            {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}}
            for name, labels in ((SYSTEM, _RESTRICTED), (SERVED, _RESTRICTED))
        )
    )


async def _ready(cluster: Cluster) -> None:
    try:
        wait = ("rollout", "status", _DEPLOYMENT, f"--timeout={READY_SECONDS:.0f}s")
        await cluster.kubectl(_IN_SYSTEM, *wait, seconds=READY_SECONDS + 10)
    except CommandFailed as failed:
        pods = await cluster.kubectl(_IN_SYSTEM, "describe", "pods")
        log = await cluster.kubectl(_IN_SYSTEM, "logs", _DEPLOYMENT)
        raise AssertionError(f"{failed}\n{pods}\n{log}") from failed
