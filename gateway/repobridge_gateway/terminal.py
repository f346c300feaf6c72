"""The terminal provider: the serving terminal talks to one repo at a time.

As in llm-bridge, the first repo is selected at the start and `/select NAME` changes it; terminal
repos come first here, so that a file with channels as well does what its author meant.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

from repobridge.errors import Refusal, Status
from repobridge.session.events import MAIN_CONVERSATION, Actor
from repobridge.telemetry import Logger
from repobridge_gateway.console import Console
from repobridge_gateway.conversation import Conversation, Selected
from repobridge_gateway.fleet.bridge import LocalBridge
from repobridge_gateway.fleet.local import LocalFleet
from repobridge_gateway.follow import Item, follow
from repobridge_gateway.lines import Line, Tone
from repobridge_gateway.router import Incoming, Routed, Router
from repobridge_gateway.session_client import SessionClient
from repobridge_gateway.session_values import Decision

_log = Logger(__name__)


class LocalPeer:
    """A session of our own fleet, without a wire between."""

    def __init__(self, bridge: LocalBridge, router: Router, me: Actor) -> None:
        self._bridge = bridge
        self._router = router
        self._me = me

    def follow(self) -> AsyncIterator[Item]:
        """What happens from now on."""
        return follow(self._bridge, MAIN_CONVERSATION, after=None)

    async def submit(self, message_id: str, text: str) -> Routed:
        """Sends a message through the router."""
        return await self._router.route(
            Incoming(
                bridge=self._bridge.spec.name, message_id=message_id, text=text, author=self._me
            )
        )

    async def decide(self, decision: Decision) -> None:
        """Answers a request."""
        await self._client().decide(decision)

    async def interrupt(self) -> bool:
        """Ends the running turn."""
        return (await self._client().interrupt(MAIN_CONVERSATION, self._me)).changed

    async def fetch(self, blob_id: str) -> bytes:
        """The content of a blob."""
        return await self._client().download(blob_id)

    def _client(self) -> SessionClient:
        link = self._bridge.status.value.link
        if link is None:
            raise Refusal(Status.FAILED_PRECONDITION, "NOT_RUNNING", "The session is asleep.")
        return link.client


async def run_terminal(
    console: Console, fleet: LocalFleet, router: Router, *, me: Actor, downloads: Path
) -> None:
    """Talks to the selected repo until the person leaves."""
    names = sorted(fleet.bridges, key=lambda n: fleet.bridges[n].spec.provider != "terminal")
    selected = names[0]
    _log.info("terminal provider started", repo=selected)
    console.print([_greeting(selected, len(names))])
    while True:
        peer = LocalPeer(fleet.bridge(selected), router, me)
        conversation = Conversation(
            peer, console, me=me, downloads=downloads, leaving="ends serve, and every session"
        )
        try:
            await conversation.run()
        except Selected as wanted:
            if wanted.name in fleet.bridges:
                selected = wanted.name
                console.print([Line(f"Selected repo: {selected}", Tone.FAINT)])
                continue
            console.print(_how_to_select(wanted.name, names, selected))
            continue
        return


def _greeting(selected: str, count: int) -> Line:
    more = f" · /select NAME for another of {count} repos" if count > 1 else ""
    return Line(f"Talking to {selected} · /help · Ctrl-C twice ends serve{more}", Tone.FAINT)


def _how_to_select(wanted: str, names: list[str], selected: str) -> list[Line]:
    lines = [Line(f"Unknown repo: {wanted}", Tone.ERROR)] if wanted else []
    return [
        *lines,
        Line("Usage: /select <repo-name>"),
        Line(f"Available repos: {', '.join(names)}"),
        Line(f"Currently selected: {selected}"),
    ]
