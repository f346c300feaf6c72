"""The gateway's fleet on a real API server, with its own rights and no more.

Where a runner answers, the operator and the runner are real, too, and speak mutual TLS; only the
node is stood in for. Elsewhere the test says in the status what an operator would say.
"""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from repobridge.certificates import make_ca, make_certificate
from repobridge.conditions import Reason
from repobridge.errors import Refusal
from repobridge.session.events import TurnOutcome
from repobridge.tls import ROLE_GATEWAY, ClientTls, bridge_dns_name
from repobridge.tls_files import TlsDirectory, TlsMaterial
from repobridge_gateway import rbac
from repobridge_gateway.access import Access, Permission, Rule
from repobridge_gateway.channels import Served
from repobridge_gateway.fleet.bridge_api import BridgeApi
from repobridge_gateway.fleet.kubernetes import REACHING_SECONDS, KubernetesFleet
from repobridge_gateway.fleet.status import BridgePhase, BridgeStatus
from repobridge_gateway.fleet.tls_reach import Identity
from repobridge_gateway.operations import Sleeper
from repobridge_operator.resources.identity import GATEWAY_SECRET
from scripts.crds.definition import FILE
from tests.apiserver.access import User
from tests.apiserver.conftest import MakeUser
from tests.apiserver.operators import make_operator_user, run_operator
from tests.apiserver.rest import Object, Rest
from tests.apiserver.test_operator import Place, in_phase
from tests.apiserver.test_operator_runners import Team
from tests.fakes.api_proxy import ApiProxy
from tests.fakes.kubelet import Kubelet
from tests.fakes.scripted_claude.installed import ScriptedClaude
from tests.secure_runner import secure_runner, swap

CHANNEL, OTHER_CHANNEL = "1123581321345589144", "1123581321345589155"
ROLE = "2123581321345589144"
NOW = datetime.now(UTC)
CA = make_ca(now=NOW)
PATIENCE_SECONDS = 120.0


@pytest.fixture
async def user(make_limited_user: MakeUser, install_crd: Callable[[Path], None]) -> User:
    install_crd(FILE)
    return await make_limited_user("gateway", rbac.served_rules())


@pytest.fixture
def place(admin: Rest, namespace: str) -> Place:
    return Place(admin, namespace)


def role() -> TlsMaterial:
    issued = make_certificate(CA, now=NOW, uris=[ROLE_GATEWAY])
    return TlsMaterial(issued.certificate, issued.key, CA.certificate)


@asynccontextmanager
async def running(
    user: User,
    namespace: str,
    tls: Path,
    *,
    silence_seconds: float = 90.0,
    reaching_seconds: float = REACHING_SECONDS,
) -> AsyncIterator[tuple[KubernetesFleet, Identity]]:
    """A fleet at work; what it fails with is raised."""
    identity = Identity(ClientTls(TlsDirectory(tls)))
    async with user.client() as client:
        api = BridgeApi(client, silence_seconds=silence_seconds)
        fleet = KubernetesFleet(
            api, identity, namespaces=[namespace], reaching_seconds=reaching_seconds
        )
        task = asyncio.create_task(fleet.run())
        try:
            yield fleet, identity
            assert not task.done(), task.result()
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


@pytest.fixture
async def fleet(user: User, namespace: str, tmp_path: Path) -> AsyncIterator[KubernetesFleet]:
    swap(tmp_path / "gateway", role())
    async with running(user, namespace, tmp_path / "gateway", reaching_seconds=1.0) as (made, _):
        yield made


async def served(fleet: KubernetesFleet, channel: str = CHANNEL) -> Served:
    async with asyncio.timeout(PATIENCE_SECONDS):
        return (await fleet.served.until(lambda found: channel in found))[channel]


async def until(one: Served, holds: Callable[[BridgeStatus], bool]) -> BridgeStatus:
    async with asyncio.timeout(PATIENCE_SECONDS):
        return await one.bridge.status.until(holds)


async def make(place: Place, **spec: Any) -> Object:
    """A bridge that holds its channel, as the operator says."""
    made = await place.make(**{"discord": {"channelId": CHANNEL}, **spec})
    await says(place, "Asleep", "Asleep", "The bridge sleeps.")
    return made


async def says(
    place: Place, phase: str, reason: str, message: str, *, pod: str = "", port: int = 7443
) -> None:
    """Writes a status, as the operator does."""
    ready = {
        "type": "Ready",
        "status": "True" if phase == "Ready" else "False",
        "reason": reason,
        "message": message,
        "lastTransitionTime": "2026-01-01T00:00:00Z",
    }
    where = {"podName": "rb-one-0", "podUID": pod, "address": "127.0.0.1", "port": port}
    status = {"phase": phase, "conditions": [ready], "endpoint": where if pod else None}
    status |= {"channelId": CHANNEL}
    await place.admin.merge(f"{place.bridges}/one/status", {"status": status})


async def wished(place: Place, replicas: int) -> None:
    await place.until(lambda one: one["spec"].get("replicas", 0) == replicas)


async def refusal(waking: asyncio.Task[Any]) -> tuple[str, str]:
    with pytest.raises(Refusal) as refused:
        async with asyncio.timeout(PATIENCE_SECONDS):
            await waking
    return refused.value.reason, refused.value.message


@pytest.fixture
async def team(
    admin: Rest, namespace: str, kubelet: Kubelet, make_limited_user: MakeUser, tmp_path: Path
) -> AsyncIterator[Team]:
    """A namespace in which the operator works."""
    user = await make_operator_user(make_limited_user)
    async with run_operator(user, tmp_path, namespace=namespace) as operator:
        await operator.leads()
        yield Team(admin, namespace, kubelet, ScriptedClaude(tmp_path / "agent"), tmp_path)


async def test_a_message_wakes_a_bridge_whose_runner_proves_who_it_is(
    user: User, team: Team, tmp_path: Path
) -> None:
    made = await team.make(
        discord={"channelId": CHANNEL},
    )
    tls = tmp_path / "gateway"
    own = await material(team.place, GATEWAY_SECRET)
    swap(tls, own)
    async with running(user, team.place.namespace, tls) as (fleet, identity):
        one = await served(fleet)
        async with team.runner(made) as runner, asyncio.timeout(PATIENCE_SECONDS):
            link = await one.bridge.awake()
            found = await link.client.sessions()
            assert found.runner.bridge_uid == made["metadata"]["uid"] == one.uid
            # What is rotated is used: the same pod is dialled anew.
            swap(tls, replace(own, bundle=own.bundle + CA.certificate))
            identity.look()
            status = await until(one, lambda s: s.link not in {None, link})
            assert status.link is not None
            assert (await runner.turn("hello")).outcome is TurnOutcome.COMPLETED
            await team.place.scale(0)
            await until(one, lambda s: s.link is None)
            await team.until_asleep()
        await team.place.admin.delete(f"{team.place.bridges}/one")
        async with asyncio.timeout(PATIENCE_SECONDS):
            await fleet.served.until(lambda now: not now)
        assert (await refusal(asyncio.ensure_future(one.bridge.awake())))[0] == "CLUSTER_LOST"


async def material(place: Place, name: str) -> TlsMaterial:
    secret = await place.admin.wait_for(place.secrets, name, lambda one: one is not None)
    assert secret is not None
    data = {key: base64.b64decode(value) for key, value in secret["data"].items()}
    return TlsMaterial(data["tls.crt"], data["tls.key"], data["ca.crt"])


async def test_the_wish_is_made_anew_and_each_step_and_failure_is_told(
    fleet: KubernetesFleet, place: Place
) -> None:
    await make(place)
    one = await served(fleet)
    waking = asyncio.ensure_future(one.bridge.awake())
    await wished(place, 1)
    await place.scale(0)  # somebody takes the wish back
    await wished(place, 1)
    await says(place, "Waking", "PullingImage", "The node pulls image x:1.")
    status = await until(one, lambda s: s.step is not None)
    assert (status.phase, status.step, status.detail) == (
        BridgePhase.WAKING,
        Reason.PULLING_IMAGE,
        "The node pulls image x:1.",
    )
    # What a busy node has for a moment is waited out, what a person has to mend is not.
    await says(place, "Failed", "VolumeMountFailed", "The node can't mount the workspace.")
    await until(one, lambda s: s.phase is BridgePhase.FAILED)
    assert not waking.done()
    await says(place, "Failed", "SecretMissing", 'Secret "anthropic" is missing; create it.')
    assert await refusal(waking) == ("WAKE_FAILED", 'Secret "anthropic" is missing; create it.')
    assert isinstance(one.bridge, Sleeper)
    await one.bridge.sleep()
    await wished(place, 0)
    await place.change(suspend=True)
    await says(place, "Suspended", "Suspended", "The bridge is suspended, and messages wait.")
    await until(one, lambda s: s.phase is BridgePhase.ASLEEP)
    suspended = ("SUSPENDED", "one is suspended; it goes on once spec.suspend is false.")
    assert await refusal(asyncio.ensure_future(one.bridge.awake())) == suspended


async def test_another_bridges_runner_at_the_address_is_never_spoken_to(
    fleet: KubernetesFleet, place: Place, tmp_path: Path
) -> None:
    async def provide(uid: str) -> TlsMaterial:
        issued = make_certificate(CA, now=NOW, dns_names=[bridge_dns_name(uid)])
        return TlsMaterial(issued.certificate, issued.key, CA.certificate)

    await make(place)
    one = await served(fleet)
    async with secure_runner(tmp_path, provide) as other:
        waking = asyncio.ensure_future(one.bridge.awake())
        await wished(place, 1)
        await says(place, "Ready", "Serving", "The runner serves.", pod="uid-1", port=other.port)
        reason, sentence = await refusal(waking)
        assert reason == "WAKE_FAILED"
        assert sentence.startswith("one runs, but can't be reached: Another pod than this bridge's")
        assert one.bridge.status.value.link is None


async def test_channels_follow_the_watch_whatever_becomes_of_it(
    user: User, place: Place, api_proxy: ApiProxy, tmp_path: Path
) -> None:
    swap(tmp_path / "gateway", role())
    proxied = user.at(api_proxy.url)
    access = [{"roleId": ROLE, "permissions": ["prompt", "approve"]}]
    discord = {"channelId": CHANNEL, "requireMention": True, "threads": "Channel"}
    async with running(proxied, place.namespace, tmp_path / "gateway", silence_seconds=2.0) as (
        fleet,
        _,
    ):
        made = await make(place, discord=discord, access=access, output={"streaming": False})
        one = await served(fleet)
        created = datetime.fromisoformat(made["metadata"]["creationTimestamp"]).timestamp()
        assert one == Served(
            uid=made["metadata"]["uid"],
            bridge=one.bridge,
            channel_id=CHANNEL,
            created_at=created,
            access=one.access,
            require_mention=True,
            threads_are_sessions=False,
            streaming=False,
            idle_seconds=600.0,
            attach=f"kubectl bridge attach -n {place.namespace} one",
        )
        rights = frozenset({Permission.PROMPT, Permission.APPROVE})
        assert one.access.at("3123581321345589144") == Access(
            rules=(Rule(role_id=ROLE, permissions=rights),)
        )
        await changes(fleet, place, 1501)
        api_proxy.expire_watches(path="repobridges")
        api_proxy.cut_watches(path="repobridges")
        await changes(fleet, place, 1502)
        with api_proxy.silence_watches(path="repobridges"):
            await changes(fleet, place, 1503)
        api_proxy.refuse(503, method="GET", path="repobridges", times=3)
        api_proxy.cut_watches(path="repobridges")
        await changes(fleet, place, 1504)
        api_proxy.refuse(503, method="PATCH", path="/scale", times=2)
        waking = asyncio.ensure_future(one.bridge.awake())
        await wished(place, 1)
        # Another channel is another decision: until the operator has made it, nobody is served.
        await place.change(discord={"channelId": OTHER_CHANNEL})
        async with asyncio.timeout(PATIENCE_SECONDS):
            await fleet.served.until(lambda now: not now)
        assert (await refusal(waking))[0] == "CLUSTER_LOST"


async def changes(fleet: KubernetesFleet, place: Place, threshold: int) -> None:
    """Changes a bridge, and waits until the fleet knows."""
    await place.change(output={"attachmentThreshold": threshold})
    async with asyncio.timeout(PATIENCE_SECONDS):
        await fleet.served.until(lambda now: _threshold(now.get(CHANNEL)) == threshold)


def _threshold(one: Served | None) -> int:
    return one.attachment_threshold if one is not None else 0


async def test_it_may_wish_and_look_and_nothing_else(user: User, place: Place) -> None:
    await make(place)
    await place.until(in_phase("Asleep"))
    async with user.rest() as gateway:
        await gateway.merge(f"{place.bridges}/one/scale", {"spec": {"replicas": 1}})
        assert (await gateway.get(f"{place.bridges}/one"))["spec"]["replicas"] == 1
        for forbidden in (
            gateway.merge(f"{place.bridges}/one", {"spec": {"suspend": True}}),
            gateway.get(place.secrets),
            gateway.get(place.pods),
        ):
            with pytest.raises(Exception, match="403 Forbidden"):
                await forbidden
