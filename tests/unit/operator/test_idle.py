"""The task that looks after the runners, over real gRPC: each in its time, none for another one."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.message import Message
from prometheus_client import CollectorRegistry

from repobridge.idle import IdlePolicy
from repobridge.session import codec
from repobridge.session.v1 import session_pb2 as pb
from repobridge_operator.idle import Idle, RunnerReport
from repobridge_operator.metrics_sleep import SleepMetrics
from repobridge_operator.observed import BridgeKey
from repobridge_operator.runners import Place, Runners
from repobridge_operator.sleep_values import Facts, Ground, Lower, Lowering, Now, Permission, Want

PATIENCE_SECONDS = 90.0
KEY = BridgeKey("team", "payments")
STUCK = "10.0.0.9"
"""The address at which nobody answers."""
LATE = "10.0.0.8"
"""The address at which nobody listens at first."""


class Server:
    """Every runner at once: idle ones, that agree to each drain; and one that never answers."""

    def __init__(self) -> None:
        self.asked = 0
        self.last_activity = time.time()
        self.stuck = asyncio.Event()

    async def activity(self, request: pb.ActivityRequest, context: Any) -> pb.ActivityResponse:
        self.asked += 1
        return pb.ActivityResponse(
            last_activity=codec.timestamp(self.last_activity),
            state=pb.RUNNER_STATE_SERVING,
            sessions=3,
            live_sessions=2,
        )

    async def drain(self, request: pb.DrainRequest, context: Any) -> pb.DrainResponse:
        until = codec.timestamp(time.time() + request.ttl_seconds)
        return pb.DrainResponse(drained=True, expires_at=until)

    async def resume(self, request: pb.ResumeRequest, context: Any) -> pb.ResumeResponse:
        return pb.ResumeResponse(resumed=True)

    async def hang(self, request: pb.ActivityRequest, context: Any) -> pb.ActivityResponse:
        self.stuck.set()
        await asyncio.Event().wait()
        return pb.ActivityResponse()


def _bytes(message: Message) -> bytes:
    return message.SerializeToString()


def _handlers(**methods: tuple[Callable[..., Any], type[Message]]) -> grpc.GenericRpcHandler:
    made: dict[str, grpc.RpcMethodHandler[Any, Any]] = {
        name: grpc.unary_unary_rpc_method_handler(call, request.FromString, _bytes)
        for name, (call, request) in methods.items()
    }
    return grpc.method_handlers_generic_handler("repobridge.session.v1.SessionService", made)


class SocketDialler:
    """Dials the good server, or the stuck one."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def identity(self) -> object:
        return self

    def dial(self, place: Place) -> grpc.aio.Channel:
        name = {STUCK: "stuck", LATE: "late"}.get(place.address, "good")
        # Who was refused once does not try again on the same channel.
        options = (
            ("grpc.use_local_subchannel_pool", 1),
            *((f"grpc.{each}_reconnect_backoff_ms", 600_000) for each in ("initial", "min", "max")),
        )
        return grpc.aio.insecure_channel(f"unix:{self._directory}/{name}", options)


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Server]:
    served = Server()
    good, stuck = grpc.aio.server(), grpc.aio.server()
    good.add_generic_rpc_handlers(
        (
            _handlers(
                Activity=(served.activity, pb.ActivityRequest),
                Drain=(served.drain, pb.DrainRequest),
                Resume=(served.resume, pb.ResumeRequest),
            ),
        )
    )
    stuck.add_generic_rpc_handlers((_handlers(Activity=(served.hang, pb.ActivityRequest)),))
    good.add_insecure_port(f"unix:{tmp_path}/good")
    stuck.add_insecure_port(f"unix:{tmp_path}/stuck")
    await good.start()
    await stuck.start()
    yield served
    await good.stop(None)
    await stuck.stop(None)


class Operated:
    """The task, and what it told."""

    def __init__(self, directory: Path) -> None:
        self.registry = CollectorRegistry()
        self.runners = Runners(SocketDialler(directory))
        self.lowering: Callable[[], Lowering] = lambda: Lowering.DONE
        self.lowered: list[BridgeKey] = []
        self.told: set[BridgeKey] = set()
        self.news = asyncio.Event()
        self.idle = Idle(
            runners=self.runners,
            lower=self._lower,
            changed=self._changed,
            metrics=SleepMetrics(self.registry),
            clock=lambda: Now(time.monotonic(), time.time()),
            chance=lambda: 1.0,
        )

    async def _lower(self, key: BridgeKey, bridge_uid: str, lower: Lower) -> Lowering:
        self.lowered.append(key)
        self.news.set()
        return self.lowering()

    def _changed(self, key: BridgeKey) -> None:
        self.told.add(key)
        self.news.set()

    async def until(self, holds: Callable[[], bool]) -> None:
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not holds():
                self.news.clear()
                await self.news.wait()

    def sample(self, name: str, **labels: str) -> float:
        return self.registry.get_sample_value(name, labels) or 0.0


@asynccontextmanager
async def running(operated: Operated) -> AsyncIterator[Idle]:
    task = asyncio.create_task(operated.idle.run())
    try:
        yield operated.idle
        assert not task.done()
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@pytest.fixture
async def operated(server: Server, tmp_path: Path) -> AsyncIterator[Operated]:
    made = Operated(tmp_path)
    async with running(made):
        yield made


def facts(pod_uid: str = "p", **others: Any) -> Facts:
    found = Facts(
        want=Want.AWAKE,
        bridge_uid="b",
        pod_uid=pod_uid,
        address="10.0.0.7",
        is_running=True,
        awake_since=time.time() - 3600.0,
        resource_version="1",
        generation=1,
        policy=IdlePolicy(idle_seconds=600.0),
        drain_timeout_seconds=300.0,
    )
    return replace(found, **others)


async def test_many_runners_are_asked_and_none_keeps_a_connection_while_it_rests(
    operated: Operated, server: Server
) -> None:
    keys = [BridgeKey("team", f"b{number}") for number in range(200)]
    for number, key in enumerate(keys):
        operated.idle.observe(key, facts(f"p{number}"))
    await operated.until(lambda: len(operated.told) == 200)
    report = operated.idle.report(keys[7], "p7")
    assert report.activity is not None
    assert (report.activity.sessions, report.activity.live_sessions) == (3, 2)
    assert server.asked == 200
    assert len(operated.runners) == 0
    assert operated.sample("repobridge_operator_watched_runners") == 200
    actions = operated.sample(
        "repobridge_operator_sleep_actions_total", action="activity", outcome="ok"
    )
    assert actions == 200


async def test_a_runner_that_hangs_holds_up_no_other(operated: Operated, server: Server) -> None:
    stuck = BridgeKey("team", "stuck")
    operated.idle.observe(stuck, facts("s", address=STUCK))
    await asyncio.wait_for(server.stuck.wait(), PATIENCE_SECONDS)
    operated.idle.observe(KEY, facts())
    await operated.until(lambda: KEY in operated.told)
    assert operated.idle.report(stuck, "s") == RunnerReport()
    operated.idle.observe(stuck, None)
    assert len(operated.runners) == 0


async def test_a_mistake_of_our_own_with_one_bridge_leaves_the_others(
    operated: Operated, server: Server
) -> None:
    def mistaken() -> Lowering:
        raise RuntimeError("a mistake")

    operated.lowering = mistaken
    server.last_activity = time.time() - 3600.0
    operated.idle.observe(KEY, facts())
    await operated.until(lambda: operated.lowered == [KEY])
    server.last_activity = time.time()
    other = BridgeKey("team", "other")
    operated.idle.observe(other, facts("o"))
    await operated.until(lambda: other in operated.told)


async def test_another_pod_of_a_bridge_begins_anew(operated: Operated, server: Server) -> None:
    operated.idle.observe(KEY, facts("p1", want=Want.ASLEEP))
    await operated.until(lambda: operated.idle.permission(KEY, "p1") is not None)
    assert operated.idle.permission(KEY, "p1") == Permission("p1", Ground.DRAINED)
    assert operated.idle.permission(KEY, "p2") is None
    operated.idle.observe(KEY, facts("p2"))
    assert operated.idle.permission(KEY, "p1") is None
    assert operated.idle.permission(KEY, "p2") is None
    assert operated.idle.report(KEY, "p1") == RunnerReport()
    operated.idle.observe(KEY, None)
    assert operated.idle.report(KEY, "p2") == RunnerReport()
    permitted = operated.sample("repobridge_operator_sleep_permissions_total", ground="Drained")
    assert (permitted, operated.sample("repobridge_operator_watched_runners")) == (1, 0)


async def test_a_pod_that_is_told_of_again_and_again_is_asked_no_more_often(
    operated: Operated, server: Server
) -> None:
    operated.idle.observe(KEY, facts())
    await operated.until(lambda: KEY in operated.told)
    for version in range(1000):
        operated.idle.observe(KEY, facts(resource_version=str(version)))
    other = BridgeKey("team", "other")
    operated.idle.observe(other, facts("o"))
    await operated.until(lambda: other in operated.told)
    assert server.asked == 2


async def test_a_pod_whose_address_nobody_knows_yet_is_asked_as_soon_as_it_is_known(
    operated: Operated, server: Server
) -> None:
    operated.idle.observe(KEY, facts(address=""))
    operated.idle.observe(KEY, facts())
    await operated.until(lambda: KEY in operated.told)
    assert server.asked == 1


async def test_a_runner_that_was_called_too_early_is_asked_once_it_is_said_to_have_started(
    operated: Operated, server: Server, tmp_path: Path
) -> None:
    operated.idle.observe(KEY, facts(address=LATE, is_starting_up=True))
    await operated.until(lambda: bool(operated.idle.report(KEY, "p").silence))

    def failed() -> float:
        name = "repobridge_operator_sleep_actions_total"
        return operated.sample(name, action="activity", outcome="unreached")

    refused = failed()
    (tmp_path / "late").symlink_to("good")
    operated.idle.observe(KEY, facts(address=LATE))
    await operated.until(lambda: operated.idle.report(KEY, "p").activity is not None)
    assert operated.idle.report(KEY, "p").silence == ""
    assert failed() == refused > 0
