"""Attach: the live terminal of a session, for several people at once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from repobridge.errors import Refusal, Status
from repobridge.session import codec
from repobridge.session.events import Actor, TerminalChanged
from repobridge.session.v1 import session_pb2 as pb
from repobridge_runner import checks
from repobridge_runner.agents.claude import ClaudeAgent
from repobridge_runner.runner import Runner
from repobridge_runner.session import Session
from repobridge_runner.terminal import TerminalClosed, TerminalFull, WindowSize
from repobridge_runner.viewer import Dropped

_LARGEST = 500


async def attach(
    runner: Runner, requests: AsyncIterator[pb.AttachRequest]
) -> AsyncIterator[pb.AttachResponse]:
    """Shows a session's terminal and, unless read-only, passes input on; raises Refusal."""
    first = await anext(aiter(requests), None)
    if first is None or first.WhichOneof("part") != "header":
        raise Refusal(
            Status.INVALID_ARGUMENT, "NO_HEADER", "The first message must be the header.", {}
        )
    header = first.header
    session, agent = await _find(runner, header)
    actor = codec.from_pb(Actor, header.actor)
    session.attached += 1
    await session.tell(TerminalChanged(session.attached, actor, header.read_only, joined=True))
    typing = asyncio.create_task(_type(session, agent, requests, read_only=header.read_only))
    try:
        with agent.terminal.viewer() as viewer:
            _repaint(agent, header.size)
            async for data in viewer:
                if isinstance(data, Dropped):
                    yield pb.AttachResponse(dropped_bytes=data.bytes)
                    _repaint(agent, pb.WindowSize())
                else:
                    yield pb.AttachResponse(output=data)
        yield pb.AttachResponse(ended="The agent's process has ended.")
    finally:
        typing.cancel()
        session.attached -= 1
        gone = TerminalChanged(session.attached, actor, header.read_only, joined=False)
        await asyncio.shield(asyncio.ensure_future(session.tell(gone)))


async def _find(runner: Runner, header: pb.AttachHeader) -> tuple[Session, ClaudeAgent]:
    conversation_id = checks.conversation(header.conversation_id)
    session = runner.ensure(conversation_id) if header.start else runner.find(conversation_id)
    if header.start and session.agent is None:
        await session.wake()
    if session.agent is None:
        raise Refusal(
            Status.FAILED_PRECONDITION,
            "NOT_RUNNING",
            f"No agent runs in {conversation_id!r} now; a message starts it.",
            {},
        )
    return session, session.agent


async def _type(
    session: Session,
    agent: ClaudeAgent,
    requests: AsyncIterator[pb.AttachRequest],
    *,
    read_only: bool,
) -> None:
    try:
        async for request in requests:
            if request.WhichOneof("part") == "resize":
                _resize(agent, request.resize)
            elif request.input and not read_only:
                session.note_typed(request.input)
                agent.terminal.write(request.input)
    except (TerminalClosed, TerminalFull):
        return


def _resize(agent: ClaudeAgent, size: pb.WindowSize) -> None:
    if 0 < size.columns <= _LARGEST and 0 < size.rows <= _LARGEST:
        agent.resize(WindowSize(size.columns, size.rows))


def _repaint(agent: ClaudeAgent, size: pb.WindowSize) -> None:
    """The CLI paints everything anew when its size changes: so it changes, there and back."""
    _resize(agent, size)
    now = agent.size
    agent.terminal.resize(WindowSize(now.columns, max(1, now.rows - 1)))
    agent.terminal.resize(now)
