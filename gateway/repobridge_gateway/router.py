"""Brings a person's message to the session that it is for, whatever state its bridge is in.

Knows nothing of where messages come from. A message that meets a runner on its way out waits for
the next wake and is handed over under the same id, so that it is run once.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

from repobridge.errors import Refusal, Status
from repobridge.session.events import MAIN_CONVERSATION, Actor, MessageStatus
from repobridge.telemetry import Logger
from repobridge_gateway import commands
from repobridge_gateway.commands import Command, Reply, ToGateway
from repobridge_gateway.fleet.port import Bridge, Fleet
from repobridge_gateway.fleet.status import BridgePhase, RunnerLink
from repobridge_gateway.notices import GatewayNotice, NoticeCode
from repobridge_gateway.session_client import SessionClient
from repobridge_gateway.session_values import Submission

MOST_WAITING = 20
"""Messages that may wait here for one bridge to wake."""
_HANDOVER_SECONDS = 60.0
_RETRY_SECONDS = 1.0
Charge = Callable[[Bridge, str], Awaitable[None]]
"""Charges a bridge's message by its id; raises a Refusal where there is no room for it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Incoming:
    """A message as it came in."""

    bridge: str
    message_id: str
    text: str
    author: Actor
    conversation_id: str = MAIN_CONVERSATION


@dataclass(frozen=True, slots=True, kw_only=True)
class Routed:
    """What became of a message: its state in the runner, or our own answer."""

    status: MessageStatus | None = None
    reply: str = ""


class Router:
    """Routes messages to the bridges of a fleet."""

    def __init__(self, fleet: Fleet, *, charge: Charge | None = None) -> None:
        """`charge` takes what a message to an agent takes; without it no limits hold."""
        self._fleet = fleet
        self._charge = charge
        self._waiting: dict[str, int] = {}
        self._turnstiles: dict[tuple[str, str], asyncio.Lock] = {}
        self._log = Logger(__name__)

    async def route(self, message: Incoming) -> Routed:
        """Carries a message out or makes it durable in its runner; raises a Refusal."""
        bridge = self._fleet.bridge(message.bridge)
        parsed = commands.parse(message.text)
        if isinstance(parsed, Reply):
            return Routed(reply=parsed.text)
        if isinstance(parsed, ToGateway):
            return Routed(reply=await self._command(bridge, message, parsed.command))
        if not message.text.strip():
            raise Refusal(Status.INVALID_ARGUMENT, "EMPTY_MESSAGE", "The message is empty.")
        if self._charge is not None:
            await self._charge(bridge, message.message_id)
        submission = Submission(
            conversation_id=message.conversation_id,
            message_id=message.message_id,
            kind=parsed.kind,
            text=parsed.text,
            author=message.author,
        )
        async with self._in_order(bridge, message.conversation_id):
            # Before it is handed over: who follows sees the question before the turn that it opens.
            bridge.board.post(
                GatewayNotice(
                    code=NoticeCode.ASKED,
                    text=message.text,
                    conversation_id=message.conversation_id,
                    message_id=message.message_id,
                    author=message.author,
                )
            )
            status = await self._hand_over(bridge, submission)
        bridge.accepted(message.message_id)
        return Routed(status=status)

    @asynccontextmanager
    async def _in_order(self, bridge: Bridge, conversation_id: str) -> AsyncIterator[None]:
        """First come, first served, also while the bridge wakes; a bounded number may wait."""
        name = bridge.name
        waiting = self._waiting.get(name, 0)
        if waiting >= MOST_WAITING:
            raise Refusal(
                Status.RESOURCE_EXHAUSTED,
                "QUEUE_FULL",
                f"{waiting} messages already wait for {name} to wake; try again in a moment.",
            )
        self._waiting[name] = waiting + 1
        try:
            async with self._turnstiles.setdefault((name, conversation_id), asyncio.Lock()):
                yield
        finally:
            self._waiting[name] -= 1

    async def _hand_over(self, bridge: Bridge, submission: Submission) -> MessageStatus:
        deadline = time.monotonic() + _HANDOVER_SECONDS
        while True:
            link = await bridge.awake()
            try:
                return (await link.client.submit(submission)).status
            except Refusal as refusal:
                passing = refusal.status is Status.UNAVAILABLE and time.monotonic() < deadline
                if not passing:
                    self._log.error("send to llm failed", repo=bridge.name, error=str(refusal))
                    raise
            # Draining, stopping or gone: the same message, under the same id, at the next wake.
            await _gone(bridge, link)

    async def _command(self, bridge: Bridge, message: Incoming, command: Command) -> str:
        conversation, actor = message.conversation_id, message.author
        if command is Command.HELP:
            return commands.HELP
        if command is Command.LIST_REPOS:
            return self._list()
        status = bridge.status.value
        try:
            if command is Command.CLEAR:
                await (await bridge.awake()).client.clear(conversation, actor)
                return "Cleared: the next message begins an empty session."
            if status.link is None or status.phase is not BridgePhase.READY:
                return _not_running(bridge, command)
            return await _act(command, bridge, status.link.client, message)
        except Refusal as refusal:
            if refusal.reason in {"NOT_RUNNING", "UNKNOWN_CONVERSATION"}:
                return _not_running(bridge, command)
            raise

    def _list(self) -> str:
        lines = (
            f"  {name}  {bridge.place}  ({bridge.status.value.phase.name.lower()})"
            for name, bridge in self._fleet.bridges.items()
        )
        return "\n".join(["Repos:", *lines])


async def _gone(bridge: Bridge, link: RunnerLink) -> None:
    """Waits until a runner is no longer the one to talk to, but not for long."""
    with suppress(TimeoutError):
        async with asyncio.timeout(_RETRY_SECONDS):
            await bridge.status.until(
                lambda s: s.link is not link or s.phase is not BridgePhase.READY
            )


async def _act(command: Command, bridge: Bridge, client: SessionClient, message: Incoming) -> str:
    if command is Command.CANCEL:
        done = await client.interrupt(message.conversation_id, message.author)
        return "Sent interrupt signal" if done.changed else "Nothing is running"
    if command is Command.RESTART:
        await client.restart(message.conversation_id, message.author)
        return "Restarted; the session remembers the conversation."
    return commands.status_text(
        name=bridge.name,
        llm=bridge.llm,
        sessions=await client.sessions(),
        conversation_id=message.conversation_id,
    )


def _not_running(bridge: Bridge, command: Command) -> str:
    status = bridge.status.value
    if command is Command.STATUS:
        words = {
            BridgePhase.WAKING: "waking",
            BridgePhase.DRAINING: "stopping",
            BridgePhase.FAILED: "failed",
        }
        state = words.get(status.phase, "not running")
        return "\n".join([f"LLM: {state} (repo: {bridge.name})", *filter(None, [status.reason])])
    if command is Command.RESTART:
        return "LLM not running; it starts with the next message."
    return "LLM not running"
