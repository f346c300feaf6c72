"""The one bridge that a command talks with, as a fleet that the router can be given."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress

from repobridge.errors import Refusal, Status
from repobridge.session.events import Actor
from repobridge_cli.cluster import observed
from repobridge_cli.cluster.bridge import ClusterBridge
from repobridge_cli.cluster.kubectl import Kubectl
from repobridge_cli.person import this_person
from repobridge_gateway.fleet.observed import ClusterError


class ClusterFleet:
    """One RepoBridge of one namespace."""

    def __init__(self, bridge: ClusterBridge) -> None:
        self._bridge = bridge

    @property
    def bridges(self) -> Mapping[str, ClusterBridge]:
        """Every bridge, by its name."""
        return {self._bridge.name: self._bridge}

    def bridge(self, name: str) -> ClusterBridge:
        """A bridge; a Refusal where it is another one."""
        if name != self._bridge.name:
            text = f'This is a conversation with "{self._bridge.name}" alone.'
            raise Refusal(Status.NOT_FOUND, "UNKNOWN_BRIDGE", text)
        return self._bridge


@asynccontextmanager
async def opened_bridge(kubectl: Kubectl, name: str) -> AsyncIterator[ClusterBridge]:
    """A bridge that is kept current; raises ClusterError where there is none, or at its end."""
    bridge = ClusterBridge(kubectl, await observed.get(kubectl, name))
    running = asyncio.create_task(bridge.run())
    try:
        yield bridge
        if running.done():
            running.result()
    finally:
        running.cancel()
        with suppress(asyncio.CancelledError, ClusterError):
            await running


async def this_user(kubectl: Kubectl) -> Actor:
    """Who the cluster takes us for; the user of this process where it does not say."""
    try:
        answer = json.loads(await kubectl.run("auth", "whoami", "-o", "json"))
        name = str(answer["status"]["userInfo"]["username"])
    except (ClusterError, ValueError, KeyError):
        return this_person()
    return Actor(f"kubernetes:{name}", name.rpartition(":")[2] or name, "terminal")
