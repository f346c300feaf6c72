"""One wake, as a gateway lives through it: the wish, the address, the call, the agent's prompt."""

from __future__ import annotations

import asyncio
import socket
import time
import uuid
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import grpc

from benchmarks.node import CREDENTIALS, Node
from benchmarks.process_start import began_at, first_process
from benchmarks.sightings import GONE, Facts, sightings
from repobridge.session import codec
from repobridge.session.events import SessionChanged, SessionState, TurnEnded, TurnOutcome
from repobridge.session.v1 import session_pb2 as pb
from repobridge.session.v1.session_pb2_grpc import SessionServiceStub
from repobridge.tls import channel_options
from repobridge.tunnel import serve_tunnel
from repobridge_gateway.session_client import CHANNEL_OPTIONS
from repobridge_operator.resources import naming
from tests.apiserver.rest import Object

if TYPE_CHECKING:  # the stub file's own name for the asynchronous calls
    from repobridge.session.v1.session_pb2_grpc import SessionServiceAsyncStub

_PATIENCE_SECONDS = 120.0
_READ_BYTES = 1 << 16
_ANN = pb.Actor(id="uid:1", display_name="Ann", source="terminal")
_MADE, _PLACED, _TOLD, _ENDPOINT, _ASLEEP = "made", "placed", "told", "endpoint", "asleep"


@dataclass(frozen=True, slots=True, kw_only=True)
class Wake:
    """When each step of a wake was done, in seconds after the wish was sent."""

    made: float
    """The operator made the pod."""
    placed: float
    """The pod has a node."""
    began: float
    """The runner's process was started."""
    told: float
    """The kubelet told the pod's address, and that its container runs."""
    endpoint: float
    """The address stands in the bridge's status."""
    serving: float
    """The first call was answered."""
    taken: float
    """A message was taken."""
    ready: float
    """The agent stands at its prompt."""


async def make_asleep(node: Node, name: str, *, cpu: str) -> Object:
    """Makes a bridge that sleeps, with its volume and a session to resume.

    `cpu` is what its pod reserves. Returns the resources that its pod's container had.
    """
    async with sightings(node.api, {node.bridges: {_ASLEEP: is_asleep}}) as seen:
        await node.product.apply(
            name,
            agent={"credentialsSecretRef": {"name": CREDENTIALS}},
            workspace={"size": "1Gi"},
            resources={"requests": {"cpu": cpu}},
        )
        await seen.first(_ASLEEP, name)
    await wake(node, name)
    (container,) = (await node.api.get(f"{node.pods}/{naming.pod_name(name)}"))["spec"][
        "containers"
    ]
    await put_to_sleep(node, name)
    resources: Object = container["resources"]
    return resources


async def wake(node: Node, name: str) -> Wake:
    """Wakes a bridge and gives it a message; returns when that is answered."""
    pod = naming.pod_name(name)
    watched: Mapping[str, Facts] = {
        node.pods: {_MADE: lambda pod: True, _PLACED: is_placed, _TOLD: is_told},
        node.bridges: {_ENDPOINT: _has_endpoint},
    }
    async with sightings(node.api, watched) as seen, asyncio.timeout(_PATIENCE_SECONDS):
        started = time.perf_counter()
        await _wish(node, name, 1)
        endpoint = await seen.first(_ENDPOINT, name)
        bridge = await node.api.get(f"{node.bridges}/{name}")
        async with _dialled(node, bridge) as stub:
            serving, taken, ready = await _answered(stub)
        moments = {fact: await seen.first(fact, pod) for fact in (_MADE, _PLACED, _TOLD)}
    moments |= {"endpoint": endpoint, "serving": serving, "taken": taken, "ready": ready}
    return Wake(
        began=began_at(first_process(pod)) - started,
        **{name: at - started for name, at in moments.items()},
    )


async def put_to_sleep(node: Node, name: str) -> None:
    """Wishes a bridge asleep, and returns when it sleeps and its pod is gone."""
    watched = {node.pods: {}, node.bridges: {_ASLEEP: is_asleep}}
    async with sightings(node.api, watched) as seen:
        await _wish(node, name, 0)
        await seen.first(GONE, naming.pod_name(name))
        await seen.first(_ASLEEP, name)


async def _wish(node: Node, name: str, replicas: int) -> None:
    await node.api.merge(f"{node.bridges}/{name}/scale", {"spec": {"replicas": replicas}})


async def _answered(stub: SessionServiceAsyncStub) -> tuple[float, float, float]:
    """When the runner served, took a message, and had its agent at the prompt."""
    activity = await stub.Activity(pb.ActivityRequest(), wait_for_ready=True)
    serving = time.perf_counter()
    after = pb.Cursor(log_id=activity.log_id, sequence=activity.last_sequence)
    told = stub.Subscribe(pb.SubscribeRequest(after=after))
    # The runner started the agent before anyone called: it may stand at its prompt already.
    sessions = (await stub.ListSessions(pb.ListSessionsRequest())).sessions
    is_up = any(each.state == pb.SESSION_STATE_READY for each in sessions)
    ready = time.perf_counter() if is_up else 0.0
    await stub.Submit(
        pb.SubmitRequest(
            conversation_id="main",
            message_id=uuid.uuid4().hex,
            text="Say one line.",
            author=_ANN,
        )
    )
    taken = time.perf_counter()
    async for message in told:
        event = codec.event_from_pb(message)
        body = event.body if event is not None else None
        if isinstance(body, SessionChanged) and body.state is SessionState.READY and not ready:
            ready = time.perf_counter()
        if isinstance(body, TurnEnded):
            assert body.outcome is TurnOutcome.COMPLETED, body
            break
    return serving, taken, ready


@asynccontextmanager
async def _dialled(node: Node, bridge: Object) -> AsyncIterator[SessionServiceAsyncStub]:
    """The calls to a bridge's runner, over mutual TLS; dialled from within the node's network."""
    endpoint = bridge["status"]["endpoint"]

    async def dial() -> _Connection:
        connect = node.cluster.connect
        return _Connection(await asyncio.to_thread(connect, endpoint["address"], endpoint["port"]))

    tunnel = await serve_tunnel(dial)
    options = (*CHANNEL_OPTIONS, *channel_options(bridge["metadata"]["uid"]))
    try:
        async with grpc.aio.secure_channel(tunnel.target, node.gateway, options) as channel:
            yield SessionServiceStub(channel)
    finally:
        await tunnel.close()


class _Connection:
    def __init__(self, connected: socket.socket) -> None:
        connected.setblocking(False)
        self._socket = connected
        self._loop = asyncio.get_running_loop()

    async def read(self) -> bytes:
        return await self._loop.sock_recv(self._socket, _READ_BYTES)

    async def write(self, data: bytes) -> None:
        await self._loop.sock_sendall(self._socket, data)

    async def close(self) -> None:
        self._socket.close()


def is_placed(pod: Object) -> bool:
    """Whether the pod has a node."""
    return bool(pod["spec"].get("nodeName"))


def is_told(pod: Object) -> bool:
    """Whether the kubelet has told where the pod is, and that its container runs."""
    status = pod["status"]
    containers = status.get("containerStatuses") or ()
    return bool(status.get("podIP")) and any("running" in each["state"] for each in containers)


def is_asleep(bridge: Object) -> bool:
    """Whether the bridge sleeps."""
    return bool(bridge.get("status", {}).get("phase") == "Asleep")


def _has_endpoint(bridge: Object) -> bool:
    return "endpoint" in bridge.get("status", {})
