"""`kubectl bridge` as a person uses it, with no more rights than its help asks for.

The test plays the operator: it says in the status what one would say, and starts the runner.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from repobridge import crd
from repobridge.errors import Refusal
from repobridge.session.events import RunnerState
from repobridge_cli.cluster import observed
from repobridge_cli.cluster.bridge import ClusterBridge
from repobridge_cli.cluster.kubectl import Kubectl
from scripts.crds.definition import FILE
from tests.apiserver.conftest import MakeUser
from tests.apiserver.rest import Rest
from tests.fakes import exec_kubectl
from tests.fakes.anthropic import FakeAnthropic, Gate, Text
from tests.live_runner import LiveRunner, live_runner
from tests.live_serve import Ran, finished, saying
from tests.tied import tied

NAME = "payments"
RIGHTS = [
    {
        "apiGroups": [crd.GROUP],
        "resources": [crd.PLURAL],
        "verbs": ["get", "list", "watch"],
    },
    {"apiGroups": [crd.GROUP], "resources": [f"{crd.PLURAL}/scale"], "verbs": ["get", "patch"]},
]
EXEC = {"apiGroups": [""], "resources": ["pods/exec"], "verbs": ["create"]}


@pytest.fixture(scope="session", autouse=True)
def installed(install_crd: Callable[[Path], None]) -> None:
    install_crd(FILE)


@dataclass
class Cluster:
    """A namespace with one bridge, and a person who may talk to it."""

    admin: Rest
    namespace: str
    environment: dict[str, str]

    @property
    def path(self) -> str:
        """Where the bridges are."""
        return f"/apis/{crd.API_VERSION}/namespaces/{self.namespace}/{crd.PLURAL}"

    async def start(self, command: str, *arguments: str) -> asyncio.subprocess.Process:
        """Starts `kubectl bridge COMMAND payments …`."""
        program = Path(sys.executable).parent / "kubectl-bridge"
        return await asyncio.create_subprocess_exec(
            *tied([program, command, *arguments, f"--namespace={self.namespace}"]),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=self.environment,
        )

    async def run(self, command: str, *arguments: str) -> Ran:
        """Runs it to its end."""
        return await finished(await self.start(command, *arguments))

    async def wished(self, replicas: int) -> None:
        """Waits until somebody has set this wish."""
        await self.admin.wait_for(
            self.path, NAME, lambda o: o is not None and o["spec"].get("replicas", 0) == replicas
        )

    async def says(self, phase: str, reason: str, message: str, *, pod: str = "") -> None:
        """Writes a status, as the operator does."""
        ready = {
            "type": "Ready",
            "status": "True" if phase == "Ready" else "False",
            "reason": reason,
            "message": message,
            "lastTransitionTime": "2026-01-01T00:00:00Z",
        }
        endpoint = {"podName": f"rb-{NAME}-0", "podUID": pod, "address": "10.0.0.1", "port": 7443}
        status = {"phase": phase, "conditions": [ready], "endpoint": endpoint if pod else None}
        await self.admin.merge(f"{self.path}/{NAME}/status", {"status": status})

    async def sleeps(self) -> None:
        """The bridge sleeps: its wish is 0 and its pod gone."""
        await self.admin.merge(f"{self.path}/{NAME}", {"spec": {"replicas": 0}})
        await self.says("Asleep", "Asleep", "The bridge sleeps.")


@pytest.fixture
async def runner(
    tmp_path: Path, claude_path: Path, anthropic_api: FakeAnthropic
) -> AsyncIterator[LiveRunner]:
    directory = tmp_path / "checkout"
    directory.mkdir()
    async with live_runner(
        directory, tmp_path / "home", claude=claude_path, api=anthropic_api
    ) as live:
        yield live


async def make_cluster(
    admin: Rest, namespace: str, make_user: MakeUser, tmp_path: Path, rights: list[Any]
) -> Cluster:
    user = await make_user("ann", rights)
    shims = exec_kubectl.install(
        tmp_path / "bin", runner_socket=tmp_path / "home" / "run" / "runner.sock"
    )
    (tmp_path / "person").mkdir()
    environment = {
        "PATH": f"{shims}:/usr/bin:/bin",
        "HOME": str(tmp_path / "person"),
        "LANG": "C.UTF-8",
        "KUBECONFIG": str(user.kubeconfig),
        "NO_COLOR": "1",
    }
    cluster = Cluster(admin, namespace, environment)
    await admin.create(
        cluster.path,
        {
            "apiVersion": crd.API_VERSION,
            "kind": crd.KIND,
            "metadata": {"name": NAME},
            "spec": {"discord": {"channelId": "1123581321345589144"}},
        },
    )
    return cluster


@pytest.fixture
async def cluster(
    admin: Rest, namespace: str, make_limited_user: MakeUser, tmp_path: Path
) -> Cluster:
    return await make_cluster(admin, namespace, make_limited_user, tmp_path, [*RIGHTS, EXEC])


async def test_a_question_wakes_the_bridge_and_says_how_that_goes(
    cluster: Cluster, runner: LiveRunner, anthropic_api: FakeAnthropic
) -> None:
    anthropic_api.script(Text("forty-two"))
    asking = await cluster.start("chat", NAME, "-m", "how many?")
    await cluster.wished(1)
    await cluster.says("Waking", "Scheduling", "The pod waits for a node.")
    await saying(asking, "Waking payments: The pod waits for a node.")
    await cluster.says("Waking", "Starting", "The runner starts.", pod="uid-1")
    ran = await finished(asking)
    assert (ran.code, ran.out) == (0, "forty-two\n"), ran.err
    assert "payments is awake." in ran.err
    assert "ann" in anthropic_api.requests[-1].prompts[-1].splitlines()[0]


async def test_a_bridge_that_sleeps_in_between_is_woken_again(
    cluster: Cluster, runner: LiveRunner, anthropic_api: FakeAnthropic
) -> None:
    await cluster.says("Ready", "Serving", "The runner serves.", pod="uid-1")
    first = await cluster.run("chat", NAME, "-m", "one")
    assert first.code == 0, first.err
    await cluster.sleeps()
    asking = await cluster.start("chat", NAME, "-m", "two")
    await cluster.wished(1)
    await cluster.sleeps()  # somebody takes the wish back before the operator has seen it
    await cluster.wished(1)
    await cluster.says("Ready", "Serving", "The runner serves.", pod="uid-2")
    again = await finished(asking)
    assert again.code == 0, again.err
    assert [prompt.splitlines()[-1] for prompt in anthropic_api.requests[-1].prompts] == [
        "one",
        "two",
    ]


async def test_a_pod_that_is_replaced_in_mid_answer_loses_nothing(
    cluster: Cluster, runner: LiveRunner, anthropic_api: FakeAnthropic
) -> None:
    gate = Gate()
    anthropic_api.script(Text(["one ", gate, "two"]))
    await cluster.says("Ready", "Serving", "The runner serves.", pod="uid-1")
    asking = await cluster.start("chat", NAME, "-m", "count")
    await gate.reached()
    await cluster.says("Waking", "Starting", "The runner starts.")
    await saying(asking, "gets another pod")
    await gate.open()
    await cluster.says("Ready", "Serving", "The runner serves.", pod="uid-2")
    ran = await finished(asking)
    assert (ran.code, ran.out) == (0, "one two\n"), ran.err


async def test_what_keeps_a_bridge_asleep_is_told_at_once(cluster: Cluster) -> None:
    await cluster.admin.merge(f"{cluster.path}/{NAME}", {"spec": {"suspend": True}})
    suspended = await cluster.run("chat", NAME, "-m", "hello")
    assert (suspended.code, suspended.out) == (2, "")
    assert "payments is suspended; it goes on once spec.suspend is false." in suspended.err
    unknown = await cluster.run("chat", "nobody", "-m", "hello")
    assert unknown.code == 2
    assert unknown.err == 'repobridges.repobridge.dev "nobody" not found\n'


async def test_a_wake_that_fails_ends_the_question_with_the_reason(cluster: Cluster) -> None:
    asking = await cluster.start("chat", NAME, "-m", "hello")
    await cluster.wished(1)
    await cluster.says("Failed", "SecretMissing", 'Secret "anthropic" is missing; create it.')
    ran = await finished(asking)
    assert (ran.code, ran.out) == (2, "")
    assert 'SecretMissing: Secret "anthropic" is missing; create it.' in ran.err


async def test_what_was_wrong_before_the_question_may_be_mended_meanwhile(
    cluster: Cluster, runner: LiveRunner
) -> None:
    await cluster.says("Failed", "SecretMissing", 'Secret "anthropic" is missing; create it.')
    waking = await cluster.start("wake", NAME)
    await saying(
        waking, 'Secret "anthropic" is missing; create it.\nWaiting for that to be mended.'
    )
    await cluster.wished(1)
    # What a busy node has for a moment is no failure either.
    await cluster.says("Failed", "VolumeMountFailed", "The node can't mount the workspace.")
    await saying(waking, "VolumeMountFailed: The node can't mount the workspace.")
    await cluster.says("Ready", "Serving", "The runner serves.", pod="uid-1")
    woken = await finished(waking)
    assert (woken.code, woken.err.splitlines()[-1]) == (0, "payments is awake.")


async def test_a_volume_that_is_full_cuts_no_answer_and_the_runner_speaks_for_itself(
    cluster: Cluster, runner: LiveRunner, anthropic_api: FakeAnthropic
) -> None:
    gate = Gate()
    anthropic_api.when("count", Text(["one ", gate, "two"]))
    await cluster.says("Ready", "Serving", "The runner serves.", pod="uid-1")
    asking = await cluster.start("chat", NAME, "-m", "count the birds")
    await gate.reached()
    await cluster.says("Failed", "WorkspaceFull", "The workspace's volume is full.", pod="uid-1")
    later = await cluster.start("chat", NAME, "-m", "hello")
    await saying(later, "WorkspaceFull: The workspace's volume is full.")
    await gate.open()
    ran = await finished(asking)
    assert (ran.code, ran.out) == (0, "one two\n"), ran.err
    assert (await finished(later)).code == 0


async def test_what_stays_wrong_ends_the_wait(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in cluster.environment.items():
        monkeypatch.setenv(name, value)
    await cluster.says("Failed", "SecretMissing", 'Secret "anthropic" is missing; create it.')
    kubectl = Kubectl(namespace=cluster.namespace)
    bridge = ClusterBridge(kubectl, await observed.get(kubectl, NAME), mending_seconds=0.1)
    with pytest.raises(Refusal) as refused:
        await bridge.awake()
    assert (refused.value.reason, refused.value.message) == (
        "WAKE_FAILED",
        'Secret "anthropic" is missing; create it.',
    )


async def test_a_drain_that_no_operator_ends_is_waited_for_no_longer_than_it_can_last(
    cluster: Cluster, runner: LiveRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in cluster.environment.items():
        monkeypatch.setenv(name, value)
    # The operator said so and was killed: it drained for a while, and nobody says that it is over.
    await cluster.says("Draining", "Draining", "The bridge goes to sleep.", pod="uid-1")
    kubectl = Kubectl(namespace=cluster.namespace)
    bridge = ClusterBridge(kubectl, await observed.get(kubectl, NAME), draining_seconds=0.1)
    with bridge.board.listening() as notices:
        running = asyncio.create_task(bridge.run())
        async with asyncio.timeout(60):
            link = await bridge.awake()
            assert (await link.client.activity()).state is RunnerState.SERVING
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        told = [notices.get_nowait().text for _ in range(notices.qsize())]
    assert told == [
        "payments is awake.",
        "payments is on its way to sleep, and is asked to stay.",
    ]
    await cluster.wished(1)


async def test_who_may_not_exec_is_told_so(
    admin: Rest, namespace: str, make_limited_user: MakeUser, tmp_path: Path
) -> None:
    cluster = await make_cluster(admin, namespace, make_limited_user, tmp_path, RIGHTS)
    await cluster.says("Ready", "Serving", "The runner serves.", pod="uid-1")
    ran = await cluster.run("chat", NAME, "-m", "hello")
    assert ran.code != 0
    assert "kubectl exec into pod rb-payments-0 is refused" in ran.err
    assert "is forbidden" in ran.err


async def test_wake_sleep_and_sessions(
    cluster: Cluster, runner: LiveRunner, anthropic_api: FakeAnthropic
) -> None:
    asleep = await cluster.run("sessions", NAME)
    assert (asleep.code, asleep.err) == (
        1,
        "payments sleeps; to wake it: kubectl bridge wake payments\n",
    )
    waking = await cluster.start("wake", NAME)
    await cluster.wished(1)
    await cluster.says("Ready", "Serving", "The runner serves.", pod="uid-1")
    woken = await finished(waking)
    assert (woken.code, woken.err.splitlines()[-1]) == (0, "payments is awake.")
    await runner.turn("hello")
    shown = await cluster.run("sessions", NAME)
    header, line = shown.out.splitlines()
    assert header.split()[:2] == ["CONVERSATION", "STATE"]
    assert line.split()[:2] == ["main", "Ready"]
    falling = await cluster.start("sleep", NAME, "--wait")
    await cluster.wished(0)
    await cluster.says("Asleep", "Asleep", "The bridge sleeps.")
    slept = await finished(falling)
    assert slept.out.splitlines() == [
        "payments sleeps as soon as its turn has ended.",
        "payments sleeps.",
    ]


async def test_looking_at_sessions_changes_no_wish(cluster: Cluster, runner: LiveRunner) -> None:
    await cluster.says("Draining", "Draining", "The bridge goes to sleep.", pod="uid-1")
    await runner.turn("hello")
    shown = await cluster.run("sessions", NAME)
    assert (shown.code, shown.out.splitlines()[1].split()[:2]) == (0, ["main", "Ready"]), shown.err
    await cluster.says("Failed", "RunnerSilent", "The runner does not answer.", pod="uid-1")
    failed = await cluster.run("sessions", NAME)
    assert (failed.code, failed.err) == (
        1,
        "payments does not serve: The runner does not answer.\n",
    )
    bridge = await cluster.admin.get(f"{cluster.path}/{NAME}")
    assert bridge["spec"].get("replicas", 0) == 0


async def test_without_kubectl_a_sentence_says_so(cluster: Cluster) -> None:
    cluster.environment["PATH"] = os.devnull
    ran = await cluster.run("wake", NAME)
    assert (ran.code, ran.err) == (
        1,
        "kubectl is not installed; see https://kubernetes.io/docs/tasks/tools/\n",
    )
