"""`repobridge.local.v1` as a client in any language meets it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest

from repobridge.local.v1 import local_pb2 as pb
from repobridge.local.v1.local_pb2_grpc import LocalServiceStub
from repobridge.session.refusals import from_rpc_error
from repobridge.session.v1 import session_pb2
from tests.fakes.anthropic import FakeAnthropic
from tests.live_serve import WAIT_SECONDS, LiveServe, live_serve


@pytest.fixture
async def serve(
    tmp_path: Path, repository: Path, claude_path: Path, anthropic_api: FakeAnthropic
) -> AsyncIterator[LiveServe]:
    async with live_serve(tmp_path, repository, claude=claude_path, api=anthropic_api) as live:
        yield live


@pytest.fixture
async def channel(serve: LiveServe) -> AsyncIterator[grpc.aio.Channel]:
    socket = serve.environment["XDG_RUNTIME_DIR"] + "/repobridge/serve.sock"
    async with grpc.aio.insecure_channel(f"unix:{socket}") as channel:
        yield channel


def message(text: str, message_id: str = "m1", name: str = "demo") -> pb.SubmitRequest:
    author = session_pb2.Actor(id="uid:1", display_name="Ada", source="test")
    return pb.SubmitRequest(name=name, message_id=message_id, text=text, author=author)


async def refused(call: Any) -> tuple[str, str]:
    """The status and the reason with which a call fails."""
    with pytest.raises(grpc.aio.AioRpcError) as failed:
        await (anext(aiter(call)) if hasattr(call, "__aiter__") else call)
    refusal = from_rpc_error(failed.value)
    return refusal.status.value, refusal.reason


async def told(
    channel: grpc.aio.Channel, request: pb.FollowRequest, *, until: str
) -> list[pb.FollowEvent]:
    """Follows until an event or a notice of a kind has come."""
    found: list[pb.FollowEvent] = []
    async with asyncio.timeout(WAIT_SECONDS):
        async for item in LocalServiceStub(channel).Follow(request):
            found.append(item)
            kind = item.WhichOneof("kind")
            inner = item.event.WhichOneof("kind") if kind == "event" else kind
            if until in {inner, item.notice.code}:
                break
    return found


async def test_bridges_are_listed_and_woken_with_what_happens(
    serve: LiveServe, channel: grpc.aio.Channel, repository: Path
) -> None:
    stub = LocalServiceStub(channel)
    (bridge,) = (await stub.List(pb.ListRequest())).bridges
    uid = (serve.bridge_dir / "uid").read_text().strip()
    assert bridge == pb.Bridge(
        name="demo",
        uid=uid,
        provider="terminal",
        working_dir=str(repository),
        phase=pb.BRIDGE_PHASE_ASLEEP,
    )
    phases = [progress.phase async for progress in stub.Wake(pb.WakeRequest(name="demo"))]
    assert (phases[-1], set(phases) <= {1, 2, 3}) == (pb.BRIDGE_PHASE_READY, True)
    (bridge,) = (await stub.List(pb.ListRequest())).bridges
    assert bridge.phase == pb.BRIDGE_PHASE_READY


async def test_what_can_not_be_is_a_status_with_details(channel: grpc.aio.Channel) -> None:
    stub = LocalServiceStub(channel)
    unknown = ("NOT_FOUND", "UNKNOWN_BRIDGE")
    assert await refused(stub.Submit(message("hello", name="nowhere"))) == unknown
    assert await refused(stub.Wake(pb.WakeRequest(name="nowhere"))) == unknown
    assert await refused(stub.Follow(pb.FollowRequest(name="nowhere"))) == unknown
    dial = stub.Dial(iter([pb.DialRequest(name="nowhere")]))
    assert await refused(dial) == unknown
    assert await refused(stub.Submit(message("hello", message_id=""))) == (
        "INVALID_ARGUMENT",
        "MISSING_MESSAGE_ID",
    )
    assert await refused(stub.Submit(message("  \n"))) == ("INVALID_ARGUMENT", "EMPTY_MESSAGE")
    assert await refused(stub.Submit(message("::login"))) == (
        "INVALID_ARGUMENT",
        "COMMAND_NOT_ALLOWED",
    )
    foreign = pb.FollowRequest(name="demo", after=session_pb2.Cursor(log_id="another", sequence=3))
    assert await refused(stub.Follow(foreign)) == ("FAILED_PRECONDITION", "FOREIGN_LOG")
    # Nothing of that has harmed it.
    assert (await stub.Submit(message("/status"))).reply.startswith("LLM: ")


async def test_a_message_is_idempotent_and_followed_from_any_place(
    channel: grpc.aio.Channel, anthropic_api: FakeAnthropic
) -> None:
    stub = LocalServiceStub(channel)
    first = await stub.Submit(message("hello"))
    again = await stub.Submit(message("hello"))
    assert first.status.message_id == again.status.message_id == "m1"
    whole = await told(channel, pb.FollowRequest(name="demo"), until="turn_ended")
    events = [item.event for item in whole if item.WhichOneof("kind") == "event"]
    assert [event.sequence for event in events] == list(range(1, len(events) + 1))
    assert events[-1].turn_ended.outcome == session_pb2.TURN_OUTCOME_COMPLETED
    middle = session_pb2.Cursor(log_id=events[0].log_id, sequence=events[2].sequence)
    rest = await told(channel, pb.FollowRequest(name="demo", after=middle), until="turn_ended")
    assert [i.event for i in rest if i.WhichOneof("kind") == "event"] == events[3:]
    assert len(anthropic_api.requests) == 1


async def test_from_now_on_is_live_at_once_and_tells_who_asked(
    channel: grpc.aio.Channel,
) -> None:
    request = pb.FollowRequest(name="demo", from_now=True)
    following = asyncio.create_task(told(channel, request, until="turn_ended"))
    await told(channel, request, until="live")
    await LocalServiceStub(channel).Submit(message("hello there"))
    items = await following
    assert items[0].WhichOneof("kind") == "live"
    asked = next(item.notice for item in items if item.notice.code == "Asked")
    assert (asked.text, asked.message_id, asked.author.display_name) == (
        "hello there",
        "m1",
        "Ada",
    )
