"""The operator as a process, a real API server, a real runner behind mutual TLS: asleep and awake.

Only the node is stood in for: it gives the pod a loopback address of its own, at which the runner
listens with the certificate that the operator made for the bridge.
"""

from __future__ import annotations

import asyncio
import base64
import os
import random
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from repobridge.errors import Refusal
from repobridge.session.events import TurnOpened, TurnOutcome
from repobridge.session.refusals import failures_as_refusals
from repobridge.session.v1 import session_pb2 as pb
from repobridge.tls_files import TlsMaterial
from repobridge_runner.settings import AgentSettings, RunnerSettings
from scripts.crds.definition import FILE
from tests.apiserver.access import User
from tests.apiserver.conftest import MakeUser
from tests.apiserver.harness import ApiServer
from tests.apiserver.operators import Operator, make_operator_user, run_operator
from tests.apiserver.rest import Object, Rest
from tests.apiserver.test_operator import POD, SECRET, Place, condition, in_phase, writes
from tests.fakes.api_proxy import ApiProxy
from tests.fakes.kubelet import Kubelet
from tests.fakes.scripted_claude.installed import ScriptedClaude, open_gate
from tests.live_runner import LiveRunner
from tests.secure_runner import swap

PATIENCE_SECONDS = 90.0
PORT = 7443


@pytest.fixture
async def user(make_limited_user: MakeUser, install_crd: Callable[[Path], None]) -> User:
    install_crd(FILE)
    return await make_operator_user(make_limited_user)


@pytest.fixture
def scripted(tmp_path: Path) -> ScriptedClaude:
    return ScriptedClaude(tmp_path / "agent")


class Team:
    """A namespace with one bridge, its node, and what runs in its pod."""

    def __init__(
        self, admin: Rest, namespace: str, kubelet: Kubelet, scripted: ScriptedClaude, at: Path
    ) -> None:
        self.place = Place(admin, namespace)
        self._scripted = scripted
        self._at = at
        # One address for all pods of the bridge, as there is one runner in turn.
        self._address = ".".join(map(str, (127, *(random.randint(1, 254) for _ in range(3)))))
        kubelet.address = lambda pod: self._address

    async def make(self, **spec: Any) -> Object:
        """Makes the bridge; returns once its certificate is there."""
        bridge = await self.place.make(**spec)
        await self.place.admin.wait_for(
            self.place.secrets, SECRET, lambda secret: secret is not None
        )
        return bridge

    @asynccontextmanager
    async def runner(self, bridge: Object) -> AsyncIterator[LiveRunner]:
        """What runs in the pod: it listens as soon as it is started."""
        secret = await self.place.admin.get(f"{self.place.secrets}/{SECRET}")
        data = {name: base64.b64decode(value) for name, value in secret["data"].items()}
        tls, home, directory = self._at / "tls", self._at / "home", self._at / "directory"
        swap(tls, TlsMaterial(data["tls.crt"], data["tls.key"], data["ca.crt"]))
        home.mkdir(exist_ok=True)
        directory.mkdir(exist_ok=True)
        settings = RunnerSettings(
            bridge_uid=bridge["metadata"]["uid"],
            directory=directory,
            state_dir=home / "state",
            socket=home / "run" / "runner.sock",
            agent=replace(AgentSettings(), **self._scripted.agent),
            shutdown_grace_seconds=4.0,
            listen_address=f"{self._address}:{PORT}",
            tls_directory=str(tls),
        )
        environment = {"PATH": os.environ["PATH"], "HOME": str(home), "LANG": "C.UTF-8"}
        live = LiveRunner(settings, environment=environment, home=home)
        await live.start()
        try:
            yield live
        finally:
            await live.stop()

    async def bridge(self) -> Object:
        return await self.place.admin.get(f"{self.place.bridges}/one")

    async def replicas(self) -> int:
        found: int = (await self.bridge())["spec"]["replicas"]
        return found

    async def until_asleep(self) -> None:
        await self.place.until(in_phase("Asleep"))
        assert await self.replicas() == 0
        assert (await self.place.admin.get(self.place.pods))["items"] == []

    async def pod_gone(self, uid: str) -> None:
        await self.place.admin.wait_for(
            self.place.pods,
            POD,
            lambda pod: pod is None or pod["metadata"]["uid"] != uid,
            seconds=PATIENCE_SECONDS,
        )


@pytest.fixture
def team(
    admin: Rest, namespace: str, kubelet: Kubelet, scripted: ScriptedClaude, tmp_path: Path
) -> Team:
    return Team(admin, namespace, kubelet, scripted, tmp_path)


@pytest.fixture
async def operator(user: User, team: Team, tmp_path: Path) -> AsyncIterator[Operator]:
    async with run_operator(user, tmp_path, namespace=team.place.namespace) as operator:
        await operator.leads()
        yield operator


def action(name: str) -> Callable[[Any], bool]:
    return lambda line: str(line.get("action", "")).startswith(name)


async def accepted(runner: LiveRunner, message_id: str, text: str = "now?") -> None:
    """Submits again and again, as the gateway does, until the runner takes it."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while True:
            try:
                with failures_as_refusals():
                    await runner.submit(text, message_id=message_id)
                return
            except Refusal as found:
                if found.reason != "DRAINING":
                    raise
            await asyncio.sleep(0.02)


async def test_an_idle_bridge_sleeps_and_wakes_and_remembers(
    team: Team, operator: Operator
) -> None:
    bridge = await team.make(scaling={"idleTimeout": "2s"})
    async with team.runner(bridge) as runner:
        assert (await runner.turn("hello")).outcome is TurnOutcome.COMPLETED
        await team.place.scale(1)
        await team.place.until(in_phase("Ready"))
        await team.until_asleep()
        assert await runner.stop() == 0
        await runner.start()
        await team.place.scale(1)
        await team.place.until(in_phase("Ready"))
        await accepted(runner, "m9")
        assert (await runner.ended("m9")).outcome is TurnOutcome.COMPLETED
        sessions = await runner.stub.ListSessions(pb.ListSessionsRequest())
        assert [(each.conversation_id, each.generation) for each in sessions.sessions] == [
            ("main", 0)
        ]
        await team.until_asleep()


async def test_an_awake_bridge_at_rest_is_never_written_to(
    apiserver: ApiServer, team: Team, user: User, operator: Operator
) -> None:
    bridge = await team.make(replicas=1, scaling={"minReplicas": 1})
    async with team.runner(bridge) as runner:
        await runner.turn("hello")
        await team.place.until(
            lambda one: in_phase("Ready")(one) and one["status"].get("sessions") == 1
        )
        since = await apiserver.audit.position()
        asked = await operator.metric(
            "repobridge_operator_sleep_actions_total", action="activity", outcome="ok"
        )
        async with asyncio.timeout(PATIENCE_SECONDS):
            while (
                await operator.metric(
                    "repobridge_operator_sleep_actions_total", action="activity", outcome="ok"
                )
                < asked + 2
            ):
                await asyncio.sleep(0.1)
        assert await writes(apiserver, user, since=since) == []


async def test_a_wish_to_sleep_waits_for_the_turn_and_the_status_says_so(
    team: Team, operator: Operator, scripted: ScriptedClaude
) -> None:
    bridge = await team.make(replicas=1)
    gate = scripted.gate("turn")
    async with team.runner(bridge) as runner:
        await team.place.until(in_phase("Ready"))
        uid = (await team.place.pod())["metadata"]["uid"]
        await runner.submit(f"%gate {gate}")
        await runner.next(TurnOpened)
        await team.place.scale(0)
        draining = await team.place.until(in_phase("Draining"))
        assert condition(draining, "Ready")["reason"] == "Draining"
        await operator.logged("on the way to sleep", where=action("Drain"))
        assert (await team.place.pod())["metadata"]["uid"] == uid
        open_gate(gate)
        assert (await runner.ended("m1")).outcome is TurnOutcome.COMPLETED
        await team.until_asleep()


async def test_after_drain_timeout_the_turn_is_cut_by_the_operator_and_says_so(
    team: Team, operator: Operator, scripted: ScriptedClaude
) -> None:
    bridge = await team.make(replicas=1, scaling={"drainTimeout": "2s"})
    gate = scripted.gate("turn")
    async with team.runner(bridge) as runner:
        await team.place.until(in_phase("Ready"))
        await runner.submit(f"%gate {gate}")
        await runner.next(TurnOpened)
        began = time.monotonic()
        await team.place.change(suspend=True)
        ended = await runner.ended("m1")
        assert time.monotonic() - began >= 2.0
        assert (ended.outcome, ended.error and ended.error.code) == (
            TurnOutcome.INTERRUPTED,
            "Drained",
        )
        await team.place.until(in_phase("Suspended"))
        line = await operator.logged("pod may be deleted")
        assert line["ground"] == "Drained"
        open_gate(gate)


async def test_an_operator_killed_between_drain_and_lowering_is_taken_over_from(
    team: Team, user: User, api_proxy: ApiProxy, tmp_path: Path
) -> None:
    namespace = team.place.namespace
    options = {"namespace": namespace, "lease_seconds": 10.0}
    proxied = user.at(api_proxy.url)
    async with run_operator(proxied, tmp_path, **options) as first:  # type: ignore[arg-type]
        await first.leads()
        bridge = await team.make(scaling={"idleTimeout": "2s"})
        async with team.runner(bridge) as runner:
            await runner.turn("hello")
            hanging = api_proxy.hang(method="PATCH", path="/scale")
            await team.place.scale(1)
            await first.logged("on the way to sleep", where=action("Drain"))
            await asyncio.wait_for(hanging.used.wait(), PATIENCE_SECONDS)
            first.kill()
            assert await team.replicas() == 1
            async with run_operator(user, tmp_path, **options) as second:  # type: ignore[arg-type]
                await second.leads()
                await team.until_asleep()
            assert runner.process.returncode is None


async def test_a_wake_in_the_middle_of_a_sleep_keeps_the_pod_and_its_runner(
    team: Team, user: User, api_proxy: ApiProxy, tmp_path: Path
) -> None:
    proxied = user.at(api_proxy.url)
    async with run_operator(proxied, tmp_path, namespace=team.place.namespace) as operator:
        await operator.leads()
        bridge = await team.make(replicas=1)
        async with team.runner(bridge) as runner:
            await team.place.until(in_phase("Ready"))
            uid = (await team.place.pod())["metadata"]["uid"]
            api_proxy.refuse(503, method="DELETE", path=f"/pods/{POD}", times=1000)
            await team.place.scale(0)
            await operator.logged("pod may be deleted")
            await team.place.scale(1)
            await accepted(runner, "m9")
            assert (await runner.ended("m9")).outcome is TurnOutcome.COMPLETED
            await team.place.until(in_phase("Ready"))
            assert (await team.place.pod())["metadata"]["uid"] == uid


async def test_a_pod_of_an_old_template_is_replaced_when_its_turn_is_over(
    team: Team, operator: Operator, scripted: ScriptedClaude
) -> None:
    bridge = await team.make(replicas=1)
    gate = scripted.gate("turn")
    async with team.runner(bridge) as runner:
        await team.place.until(in_phase("Ready"))
        uid = (await team.place.pod())["metadata"]["uid"]
        await runner.submit(f"%gate {gate}")
        await runner.next(TurnOpened)
        await team.place.change(pod={"labels": {"example.com/team": "payments"}})
        pending = await team.place.until(
            lambda one: condition(one, "UpdatePending").get("status") == "True"
        )
        assert condition(pending, "UpdatePending")["reason"] == "TemplateChanged"
        assert (await team.place.pod())["metadata"]["uid"] == uid
        open_gate(gate)
        assert (await runner.ended("m1")).outcome is TurnOutcome.COMPLETED
        await team.pod_gone(uid)
        fresh = await team.place.pod(other_than=uid)
        assert fresh["metadata"]["labels"]["example.com/team"] == "payments"
        assert await team.replicas() == 1


async def test_more_live_sessions_reserve_more_memory_in_place(
    team: Team, operator: Operator
) -> None:
    bridge = await team.make(replicas=1)
    async with team.runner(bridge) as runner:
        await team.place.until(in_phase("Ready"))
        uid = (await team.place.pod())["metadata"]["uid"]
        await runner.turn("hello")
        await runner.turn("hello too", conversation_id="thread")
        found = await team.place.admin.wait_for(
            team.place.pods,
            POD,
            lambda pod: (
                pod is not None
                and pod["spec"]["containers"][0]["resources"]["requests"]["memory"] == "1456Mi"
            ),
            seconds=PATIENCE_SECONDS,
        )
        assert found is not None
        assert found["metadata"]["uid"] == uid


async def test_a_cluster_that_does_not_resize_is_said_so_and_the_session_runs_all_the_same(
    team: Team, user: User, api_proxy: ApiProxy, tmp_path: Path
) -> None:
    proxied = user.at(api_proxy.url)
    missing = "the server could not find the requested resource"
    api_proxy.refuse(404, method="PATCH", path="/resize", message=missing, times=1000)
    async with run_operator(proxied, tmp_path, namespace=team.place.namespace) as operator:
        await operator.leads()
        bridge = await team.make(replicas=1)
        async with team.runner(bridge) as runner:
            await team.place.until(in_phase("Ready"))
            await runner.turn("hello")
            await runner.turn("hello too", conversation_id="thread")
            told = await team.place.until(
                lambda one: condition(one, "UpdatePending").get("reason") == "ResizeRefused"
            )
            assert missing in condition(told, "UpdatePending")["message"]
            assert (await runner.turn("and again")).outcome is TurnOutcome.COMPLETED
    assert sum(each.path.endswith("/resize") for each in api_proxy.seen) == 1
