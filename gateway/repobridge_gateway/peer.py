"""A session of a fleet of ours, to talk with."""

from __future__ import annotations

from collections.abc import AsyncIterator

from repobridge.errors import Refusal, Status
from repobridge.session.events import MAIN_CONVERSATION, Actor
from repobridge_gateway.fleet.port import Bridge
from repobridge_gateway.follow import Item, follow
from repobridge_gateway.router import Incoming, Routed, Router
from repobridge_gateway.session_client import SessionClient
from repobridge_gateway.session_values import Decision


class FleetPeer:
    """A session of our own fleet, without a wire between."""

    def __init__(
        self,
        bridge: Bridge,
        router: Router,
        *,
        me: Actor,
        conversation_id: str = MAIN_CONVERSATION,
    ) -> None:
        self._bridge = bridge
        self._router = router
        self._me = me
        self._conversation = conversation_id

    def follow(self) -> AsyncIterator[Item]:
        """What happens from now on."""
        return follow(self._bridge, self._conversation, after=None)

    async def submit(self, message_id: str, text: str) -> Routed:
        """Sends a message through the router."""
        return await self._router.route(
            Incoming(bridge=self._bridge.name, message_id=message_id, text=text, author=self._me)
        )

    async def decide(self, decision: Decision) -> None:
        """Answers a request."""
        await self._client().decide(decision)

    async def interrupt(self) -> bool:
        """Ends the running turn."""
        return (await self._client().interrupt(self._conversation, self._me)).changed

    async def fetch(self, blob_id: str) -> bytes:
        """The content of a blob."""
        return await self._client().download(blob_id)

    def _client(self) -> SessionClient:
        link = self._bridge.status.value.link
        if link is None:
            raise Refusal(Status.FAILED_PRECONDITION, "NOT_RUNNING", "The session is asleep.")
        return link.client
