"""Where a session runs that a command is for: behind `serve` on this machine, or in a cluster."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

import grpc

from repobridge.session.events import Actor
from repobridge_cli.cluster.bridge import ClusterBridge
from repobridge_cli.cluster.fleet import ClusterFleet, opened_bridge, this_user
from repobridge_cli.cluster.kubectl import Kubectl
from repobridge_cli.local_client import RemotePeer, connected, known
from repobridge_cli.person import this_person
from repobridge_gateway.conversation import Peer
from repobridge_gateway.peer import FleetPeer
from repobridge_gateway.router import Router


@dataclass(frozen=True, slots=True)
class Place:
    """A conversation of a bridge, and the way to it."""

    name: str
    conversation_id: str
    socket: str = ""
    """Where `serve` listens; empty: the usual place."""
    cluster: Kubectl | None = None
    """The cluster that has the bridge; None: `serve`."""


@asynccontextmanager
async def opened_peer(place: Place) -> AsyncIterator[tuple[Peer, Actor]]:
    """The session to talk with, and who we are there; raises NotServing or ClusterError."""
    if place.cluster is None:
        me = this_person()
        async with connected(place.socket) as client:
            await known(client, place.name)
            yield RemotePeer(client, place.name, place.conversation_id, me), me
    else:
        me = await this_user(place.cluster)
        async with opened_bridge(place.cluster, place.name) as bridge:
            router = Router(ClusterFleet(bridge))
            yield FleetPeer(bridge, router, me=me, conversation_id=place.conversation_id), me


@asynccontextmanager
async def opened_runner(
    place: Place, tell: Callable[[str], None]
) -> AsyncIterator[tuple[grpc.aio.Channel, Actor]]:
    """A channel to the runner, woken if need be, and who we are; says how the waking goes."""
    if place.cluster is None:
        async with connected(place.socket) as client:
            await known(client, place.name)
            async for progress in client.wake(place.name):
                tell(progress)
            yield await client.channel(place.name), this_person()
    else:
        me = await this_user(place.cluster)
        async with opened_bridge(place.cluster, place.name) as bridge:
            async with told(bridge, tell):
                link = await bridge.awake()
            yield link.channel, me


@asynccontextmanager
async def told(bridge: ClusterBridge, tell: Callable[[str], None]) -> AsyncIterator[None]:
    """Says what is posted about a bridge meanwhile."""
    with bridge.board.listening() as notices:

        async def listen() -> None:
            while True:
                tell((await notices.get()).text)

        listening = asyncio.create_task(listen())
        try:
            yield
        finally:
            listening.cancel()
            await asyncio.gather(listening, return_exceptions=True)
            while not notices.empty():
                tell(notices.get_nowait().text)
