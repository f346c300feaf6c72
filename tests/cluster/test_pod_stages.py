"""A bridge's pod on a real node, in the project's own image: it serves, or says why it can't.

What the operator reads of a failing pod are the words of scheduler, kubelet and runtime: here they
are real ones.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import pytest

from repobridge import crd
from repobridge.claims import ACCEPTED
from repobridge.conditions import Phase, Reason
from repobridge_operator import authority as authorities
from repobridge_operator.resources import identity
from repobridge_operator.resources.network import make_network_policy
from repobridge_operator.resources.pod import make_pod
from repobridge_operator.resources.podsettings import (
    MIB,
    NetworkSettings,
    PodSettings,
    control_plane_in,
)
from repobridge_operator.resources.storage import make_claim
from repobridge_operator.status import Seen, Standing, observe
from scripts.crds.definition import FILE
from scripts.images import Images
from tests.cluster.addresses import NODE_NAME
from tests.cluster.handle import Cluster

pytestmark = pytest.mark.timeout(900)  # the first build of the images takes minutes
_PATIENCE_SECONDS = 180.0


@dataclass
class Stage:
    """A namespace in which a bridge is brought up by hand, as the operator would."""

    cluster: Cluster
    namespace: str
    settings: PodSettings

    async def bring_up(self, spec: Mapping[str, Any]) -> crd.RepoBridge:
        """Makes a bridge and all its objects."""
        made = {
            "apiVersion": crd.API_VERSION,
            "kind": crd.KIND,
            "metadata": {"name": "payments", "namespace": self.namespace},
            "spec": {"replicas": 1, **spec},
        }
        await self.cluster.apply(made)
        bridge = crd.parse(await self.get("repobridge", "payments"))
        network = NetworkSettings(control_plane=control_plane_in("repobridge"))
        objects = [
            self._secret(bridge),
            make_network_policy(bridge, settings=network),
            make_claim(bridge, None),
            make_pod(bridge, settings=self.settings),
        ]
        await self.cluster.apply(*(each for each in objects if each is not None))
        return bridge

    async def until(self, bridge: crd.RepoBridge, reason: Reason) -> Standing:
        """Where the bridge stands, once it is for this reason."""
        standing: Standing | None = None
        try:
            async with asyncio.timeout(_PATIENCE_SECONDS):
                while standing is None or standing.ready.reason is not reason:
                    standing = await self._look(bridge)
        except TimeoutError:
            raise AssertionError(f"no {reason} in time; it stands at {standing}") from None
        return standing

    async def get(self, *what: str) -> dict[str, Any]:
        """An object of the namespace."""
        return await self.cluster.get("--namespace", self.namespace, *what)

    async def secret(self, name: str, **values: str) -> None:
        """Makes a Secret."""
        metadata = {"name": name, "namespace": self.namespace}
        await self.cluster.apply(
            {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "stringData": values}
        )

    async def _look(self, bridge: crd.RepoBridge) -> Standing:
        pod = await self.get("pod", "rb-payments-0")
        events = await self.get("events.events.k8s.io")
        seen = Seen(bridge=bridge, verdict=ACCEPTED, pod=pod, events=events["items"])
        return observe(seen, now=datetime.now(UTC))

    def _secret(self, bridge: crd.RepoBridge) -> dict[str, Any]:
        now, meta = datetime.now(UTC), bridge.metadata
        authority = authorities.plan(None, (), now=now).authority
        material = identity.issue_for_bridge(authority, meta.uid, now=now)
        return identity.make_bridge_secret(
            material, authority, namespace=meta.namespace, bridge=meta.name, uid=meta.uid
        )


@pytest.fixture
async def stage(cluster: Cluster, product_images: Images, namespace: str) -> Stage:
    """Where bridges of little appetite run in the project's image."""
    await cluster.kubectl("apply", "--server-side", "-f", str(FILE))
    await cluster.kubectl("wait", "--for=condition=Established", "-f", str(FILE))
    settings = PodSettings(
        image=product_images.session_runner.name,
        base_memory_bytes=128 * MIB,
        cpu_request_milli=50,
    )
    return Stage(cluster, namespace, settings)


async def test_a_pod_serves_with_an_address_and_ends_within_its_grace(stage: Stage) -> None:
    bridge = await stage.bring_up({"scaling": {"memoryPerSession": "128Mi"}})
    standing = await stage.until(bridge, Reason.SERVING)
    pod = await stage.get("pod", "rb-payments-0")
    assert standing.phase is Phase.READY
    assert standing.endpoint == crd.Endpoint(
        pod_name="rb-payments-0",
        pod_uid=pod["metadata"]["uid"],
        address=pod["status"]["podIP"],
        port=7443,
    )
    stage.cluster.connect(pod["status"]["podIP"], 7443).close()
    # It ends because it is asked to: the kubelet would kill it much later.
    patience = ("--grace-period=3600", "--timeout=180s")
    await stage.cluster.kubectl(
        "delete", "pod", "rb-payments-0", "--namespace", stage.namespace, *patience
    )


async def test_a_missing_secret_is_named_and_the_pod_starts_once_it_is_there(
    stage: Stage,
) -> None:
    bridge = await stage.bring_up({"agent": {"credentialsSecretRef": {"name": "anthropic"}}})
    standing = await stage.until(bridge, Reason.SECRET_MISSING)
    assert standing.phase is Phase.FAILED
    assert 'secret "anthropic" not found. Create it' in standing.ready.message
    await stage.secret("anthropic", ANTHROPIC_API_KEY="made-up")
    await stage.until(bridge, Reason.SERVING)


async def test_a_missing_key_is_named(stage: Stage) -> None:
    await stage.secret("tokens", other="x")
    source = {"secretKeyRef": {"name": "tokens", "key": "npm"}}
    bridge = await stage.bring_up({"agent": {"env": [{"name": "TOKEN", "valueFrom": source}]}})
    standing = await stage.until(bridge, Reason.SECRET_MISSING)
    assert "couldn't find key npm in Secret" in standing.ready.message


async def test_a_missing_mounted_secret_is_named_by_the_events(stage: Stage) -> None:
    repository = {
        "url": "https://127.0.0.1/acme/payments.git",
        "credentialsSecretRef": {"name": "payments-git"},
    }
    bridge = await stage.bring_up({"repository": repository})
    standing = await stage.until(bridge, Reason.SECRET_MISSING)
    assert 'secret "payments-git" not found' in standing.ready.message


async def test_a_missing_config_map_is_named(stage: Stage) -> None:
    volume = {"name": "ca", "mountPath": "/etc/company", "configMap": {"name": "company-ca"}}
    bridge = await stage.bring_up({"pod": {"extraVolumes": [volume]}})
    standing = await stage.until(bridge, Reason.CONFIG_MISSING)
    assert 'configmap "company-ca" not found' in standing.ready.message


async def test_an_image_that_is_nowhere_is_named(stage: Stage) -> None:
    bridge = await stage.bring_up({"pod": {"image": "registry.invalid/acme/runner:1"}})
    standing = await stage.until(bridge, Reason.IMAGE_PULL_FAILED)
    assert standing.ready.message.startswith("Image registry.invalid/acme/runner:1 can't be pulled")


@pytest.mark.parametrize(
    ("spec", "reason", "told"),
    [
        (
            {"resources": {"requests": {"memory": "64Ti"}}},
            Reason.UNSCHEDULABLE,
            "Insufficient memory",
        ),
        (
            {"pod": {"nodeSelector": {"example.com/zone": "nowhere"}}},
            Reason.UNSCHEDULABLE,
            "didn't match Pod's node affinity/selector",
        ),
        (
            {"workspace": {"existingClaim": "absent"}},
            Reason.VOLUME_MISSING,
            "Claim absent does not exist.",
        ),
    ],
)
async def test_a_pod_that_no_node_can_take_is_named(
    stage: Stage, spec: dict[str, Any], reason: Reason, told: str
) -> None:
    bridge = await stage.bring_up(spec)
    standing = await stage.until(bridge, reason)
    assert standing.phase is Phase.FAILED
    assert told in standing.ready.message


async def test_a_runner_without_enough_memory_is_named_with_its_limit(stage: Stage) -> None:
    bridge = await stage.bring_up({"resources": {"limits": {"memory": "40Mi"}}})
    standing = await stage.until(bridge, Reason.OUT_OF_MEMORY)
    assert "used its memory of 40Mi" in standing.ready.message


async def test_a_runner_that_cant_run_so_says_why(stage: Stage) -> None:
    chat = {"providers": [{"name": "one", "model": "m"}]}
    bridge = await stage.bring_up({"agent": {"type": "chat", "chat": chat}})
    standing = await stage.until(bridge, Reason.POD_FAILED)
    assert "its runner ended with exit code 2: agent.type: 'chat' is none" in (
        standing.ready.message
    )


async def test_a_pod_that_fills_the_nodes_disk_is_evicted_and_says_so(stage: Stage) -> None:
    stage.settings = replace(stage.settings, ephemeral_request_bytes=1, ephemeral_limit_bytes=1)
    bridge = await stage.bring_up({})
    standing = await stage.until(bridge, Reason.EVICTED)
    assert "ephemeral" in standing.ready.message


async def test_a_lost_node_is_named_with_what_is_safe_and_got_over(stage: Stage) -> None:
    bridge = await stage.bring_up({})
    await stage.until(bridge, Reason.SERVING)
    await stage.cluster.stop("kubelet")
    try:
        standing = await stage.until(bridge, Reason.NODE_LOST)
    finally:
        await stage.cluster.start("kubelet")
    assert standing.phase is Phase.FAILED
    assert f"Node {NODE_NAME} does not answer since" in standing.ready.message
    assert "while it may still run, that could damage the workspace" in standing.ready.message
    await stage.until(bridge, Reason.SERVING)
