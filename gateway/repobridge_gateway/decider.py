"""Carries out what somebody chose: with the agent's runner, or in the inbox.

A click is in the store before it comes here, and leaves it only once it is carried out or can't
be: whatever fails in between is tried again, by this gateway or the next.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from repobridge.errors import Refusal, Status
from repobridge.telemetry import Logger
from repobridge_gateway.channels import Channels, Served, served_by
from repobridge_gateway.chat import ChatMessage, Place
from repobridge_gateway.clicks import Asked, Click
from repobridge_gateway.fleet.status import BridgePhase
from repobridge_gateway.render.custom_id import Verb
from repobridge_gateway.requested import LOST, TURN, turn_of
from repobridge_gateway.store.port import Store
from repobridge_gateway.verdicts import actor_of, decision_of, from_json

GO_ON = "Please go on where you left off."
"""What the agent reads when somebody lets a lost turn continue."""
_AGAIN_SECONDS = 0.5
_AGAIN_AT_MOST_SECONDS = 30.0
_PASSING = frozenset({Status.UNAVAILABLE, Status.RESOURCE_EXHAUSTED})
_OVER = frozenset({"UNKNOWN_REQUEST", "NOT_RUNNING", "UNKNOWN_CONVERSATION"})
_NOBODY_WAITS = "The agent does not wait for that any more."
_log = Logger(__name__)
Say = Callable[[str], Awaitable[None]]


class Decider:
    """Brings decisions to where they take effect."""

    def __init__(self, *, store: Store, channels: Channels, work: Callable[[str], None]) -> None:
        """`work` hears of a bridge whose inbox has something to hand over."""
        self._store = store
        self._channels = channels
        self._work = work

    async def carry_out(self, click: Click, asked: Asked, say: Say) -> None:
        """Decides; `say` tells who clicked what they have to know, and may do nothing."""
        pause = _AGAIN_SECONDS
        while True:
            try:
                await self._once(click, asked, say)
                return
            except Refusal as refusal:
                if refusal.status not in _PASSING:
                    _log.error("not decided", request=asked.request_id, error=str(refusal))
                    await self._release(click, refusal, say)
                    return
                _log.warning("not decided yet", request=asked.request_id, error=str(refusal))
                if pause == _AGAIN_SECONDS:
                    await say("The agent can't be reached right now; your choice is kept for it.")
            await asyncio.sleep(pause)
            pause = min(2 * pause, _AGAIN_AT_MOST_SECONDS)
            if await self._is_over(asked):
                return

    async def _is_over(self, asked: Asked) -> bool:
        try:
            return await self._store.clicks.asked(asked.ulid) is None
        except Refusal:
            return False

    async def _once(self, click: Click, asked: Asked, say: Say) -> None:
        served = served_by(self._channels, asked.bridge)
        if served is None:
            await self._store.clicks.end(asked.ulid)
            await say("This channel has no bridge any more.")
        elif asked.kind == TURN:
            await self._stop(served, click, asked, say)
        elif asked.kind == LOST:
            await self._lost(served, click, asked)
        else:
            await self._decide(served, click, asked, say)

    async def _decide(self, served: Served, click: Click, asked: Asked, say: Say) -> None:
        link = await served.bridge.awake()
        try:
            await link.client.decide(decision_of(click, asked))
        except Refusal as refusal:
            if refusal.status in _PASSING:
                raise
            await self._not_decided(click, asked, refusal, say)
            return
        await self._store.clicks.decided(click.interaction_id)
        _log.info("decided", request=asked.request_id, user=click.person.user_id)

    async def _not_decided(self, click: Click, asked: Asked, refusal: Refusal, say: Say) -> None:
        if refusal.reason in _OVER:
            await self._store.clicks.end(asked.ulid)
            await say(_NOBODY_WAITS)
        elif refusal.reason == "ALREADY_DECIDED":
            await self._store.clicks.decided(click.interaction_id)
            # Our own decision, of which only the answer was lost, is told by its message.
            if refusal.params.get("by") != click.person.display_name:
                await say(refusal.message)
        elif refusal.reason == "REQUEST_EXPIRED":
            await self._store.clicks.decided(click.interaction_id)
            await say(refusal.message)
        else:
            await self._release(click, refusal, say)

    async def _release(self, click: Click, refusal: Refusal, say: Say) -> None:
        """Somebody else may decide: this could not be done."""
        await self._store.clicks.released(click.interaction_id)
        await say(refusal.message)

    async def _stop(self, served: Served, click: Click, asked: Asked, say: Say) -> None:
        status = served.bridge.status.value
        if status.link is None and status.phase is BridgePhase.WAKING:
            # A runner that comes back goes on with the turn that it was in.
            raise Refusal(Status.UNAVAILABLE, "WAKING", "The agent's runner is starting.")
        turn_id, _ = turn_of(asked)
        is_open = False
        if status.link is not None:
            session = (await status.link.client.sessions()).of(asked.conversation)
            is_open = session is not None and session.turn_id == turn_id
        if status.link is None or not is_open:
            await self._store.clicks.decided(click.interaction_id)
            await say("Nothing of that runs any more.")
            return
        await status.link.client.interrupt(asked.conversation, actor_of(click.person))
        await self._store.clicks.decided(click.interaction_id)

    async def _lost(self, served: Served, click: Click, asked: Asked) -> None:
        choice = from_json(click.verdict)
        if choice.verb is Verb.CONTINUE:
            is_thread = asked.channel_id != served.channel_id
            place = Place(
                guild_id=choice.guild_id,
                channel_id=asked.channel_id,
                parent_id=served.channel_id if is_thread else "",
            )
            # Under the id of the message with the buttons: it is run once, and answers there.
            message = ChatMessage(
                message_id=asked.message_id or choice.message_id,
                place=place,
                author=click.person,
                content=GO_ON,
            )
            await self._store.inbox.receive(
                message, bridge=asked.bridge, conversation=asked.conversation
            )
            self._work(asked.bridge)
        await self._store.clicks.end(asked.ulid)
