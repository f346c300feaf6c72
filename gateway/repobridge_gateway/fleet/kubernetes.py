"""The fleet of a cluster: every RepoBridge that holds a channel, as its watch tells of it.

A bridge is here as long as its channel is its own. Nothing is remembered that the cluster does not
say again: a gateway that starts anew serves the same.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass

from repobridge import crd
from repobridge.claims import Tenancy
from repobridge.crd import RepoBridge, SpecError
from repobridge.errors import Refusal, Status
from repobridge.telemetry import Logger
from repobridge_gateway.authority import Authority
from repobridge_gateway.channels import Served
from repobridge_gateway.fleet.bridge_api import (
    BridgeApi,
    Change,
    Changed,
    Everything,
    Lost,
    Object,
    Removed,
)
from repobridge_gateway.fleet.observed import ClusterError, Observed, read
from repobridge_gateway.fleet.remote import RemoteBridge
from repobridge_gateway.fleet.servable import servable, served
from repobridge_gateway.fleet.tls_reach import Identity, TlsReach
from repobridge_gateway.watched import Watched

REACHING_SECONDS = 30.0
"""How long a pod that has an address may be silent before people are told."""
_AGAIN_SECONDS = 2.0
EVERY_NAMESPACE = None
_log = Logger(__name__)


@dataclass(frozen=True, slots=True)
class _Known:
    namespace: str | None
    """Whose follower told of it: `EVERY_NAMESPACE`, or its own."""
    resource: RepoBridge
    observed: Observed


@dataclass(frozen=True, slots=True)
class _Kept:
    bridge: RemoteBridge
    task: asyncio.Task[None]


class KubernetesFleet:
    """The bridges of some namespaces, or of all; also the channels that they serve."""

    def __init__(
        self,
        api: BridgeApi,
        identity: Identity,
        *,
        namespaces: Sequence[str] = (),
        tenancy: Tenancy = (),
        authority: Authority | None = None,
        reaching_seconds: float = REACHING_SECONDS,
    ) -> None:
        """Without namespaces, all of them. Without an `authority`, nobody may do anything where a
        bridge has no rules of its own.
        """
        self.served: Watched[Mapping[str, Served]] = Watched({})
        self.unplaced: Watched[frozenset[str]] = Watched(frozenset())
        """Channels that wait for somebody to say with `placed` which guild they are in."""
        self._api = api
        self._identity = identity
        self._followed: tuple[str | None, ...] = tuple(namespaces) or (EVERY_NAMESPACE,)
        self._tenancy = tenancy
        self._authority = authority or Authority()
        self._reaching_seconds = reaching_seconds
        self._known: dict[str, _Known] = {}
        self._kept: dict[str, _Kept] = {}
        self._guilds: dict[str, str] = {}
        self._current: set[str | None] = set()
        self._listed: set[str | None] = set()

    @property
    def bridges(self) -> Mapping[str, RemoteBridge]:
        """Every bridge that is served, by NAMESPACE/NAME."""
        return {
            f"{known.resource.metadata.namespace}/{kept.bridge.name}": kept.bridge
            for uid, kept in self._kept.items()
            if (known := self._known.get(uid)) is not None
        }

    def bridge(self, name: str) -> RemoteBridge:
        """A bridge; a Refusal that lists the known ones where there is none of that name."""
        known = self.bridges
        if name not in known:
            text = f'There is no bridge "{name}"; there are: {", ".join(sorted(known))}.'
            raise Refusal(Status.NOT_FOUND, "UNKNOWN_BRIDGE", text)
        return known[name]

    @property
    def is_current(self) -> bool:
        """Whether everything was listed, and every watch is alive."""
        return self._current.issuperset(self._followed)

    def placed(self, channel_id: str, guild_id: str) -> None:
        """Discord has told which guild a channel is in."""
        if self._guilds.get(channel_id) != guild_id:
            self._guilds[channel_id] = guild_id
            self._serve()

    def obey(self, tenancy: Tenancy) -> None:
        """Has other rules of tenancy hold from now on."""
        if tenancy != self._tenancy:
            self._tenancy = tenancy
            self._serve()

    async def run(self) -> None:
        """Follows the cluster until it is cancelled."""
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._identity.run(), name="certificate")
                for namespace in self._followed:
                    group.create_task(self._follow(namespace), name=f"watch of {namespace}")
        finally:
            await self._end_all()

    async def _follow(self, namespace: str | None) -> None:
        async with aclosing(self._api.follow(namespace)) as changes:
            async for change in changes:
                self._take(namespace, change)

    def _take(self, namespace: str | None, change: Change) -> None:
        """Takes in what a follower tells."""
        if isinstance(change, Lost):
            self._current.discard(namespace)
            return
        self._current.add(namespace)
        match change:
            case Everything(objects):
                self._listed.add(namespace)
                there = {uid for each in objects if (uid := self._learn(namespace, each))}
                for uid, known in tuple(self._known.items()):
                    if known.namespace == namespace and uid not in there:
                        del self._known[uid]
            case Changed(obj):
                self._learn(namespace, obj)
            case Removed(uid):
                self._known.pop(uid, None)
        self._serve()

    def _learn(self, namespace: str | None, obj: Object) -> str:
        """The UID of what is known now; empty where the object can't be understood."""
        metadata = obj.get("metadata") or {}
        uid = str(metadata.get("uid") or "")
        try:
            resource, seen = crd.parse(obj), read(obj)
        except SpecError as error:
            where = f"{metadata.get('namespace')}/{metadata.get('name')}"
            _log.warning("repobridge not understood", bridge=where, error=str(error))
            self._known.pop(uid, None)
            return ""
        self._known[uid] = _Known(namespace, resource, seen)
        return uid

    # -------------------------------------------------------------- serving

    def _serve(self) -> None:
        """Serves what may be served, once all there is was seen."""
        if not self._listed.issuperset(self._followed):
            return
        found = servable(
            (each.resource for each in self._known.values()),
            tenancy=self._tenancy,
            guilds=self._guilds,
        )
        wanted = {each.metadata.uid: each for each in found.by_channel.values()}
        for uid in self._kept.keys() - wanted.keys():
            self._end(uid)
        for uid in wanted:
            self._tell(uid)
        now = {
            channel_id: served(
                each, self._kept[each.metadata.uid].bridge, authority=self._authority
            )
            for channel_id, each in found.by_channel.items()
        }
        if now != self.served.value:
            self.served.set(now)
        if found.unplaced != self.unplaced.value:
            self.unplaced.set(found.unplaced)

    def _tell(self, uid: str) -> None:
        """Brings a bridge what is known of it, and into being where it is new."""
        known = self._known[uid]
        kept = self._kept.get(uid)
        if kept is None:
            namespace = known.resource.metadata.namespace
            reach = TlsReach(self._api, self._identity, namespace=namespace, uid=uid)
            bridge = RemoteBridge(reach, known.observed, reaching_seconds=self._reaching_seconds)
            task = asyncio.create_task(_lasting(bridge), name=f"bridge {namespace}/{bridge.name}")
            kept = self._kept[uid] = _Kept(bridge, task)
        elif kept.bridge.object.value is known.observed:
            return
        kept.bridge.see(known.observed)

    def _end(self, uid: str) -> None:
        kept = self._kept.pop(uid)
        kept.task.cancel()
        kept.bridge.failed(f"{kept.bridge.name} does not serve this channel any more.", closed=True)

    async def _end_all(self) -> None:
        tasks = [kept.task for kept in self._kept.values()]
        for uid in tuple(self._kept):
            self._end(uid)
        await asyncio.gather(*tasks, return_exceptions=True)


async def _lasting(bridge: RemoteBridge) -> None:
    """One bridge's failure ends no other's work, and not its own either."""
    while True:
        try:
            await bridge.run()
        except ClusterError as error:
            _log.warning("bridge not reached", bridge=bridge.name, error=str(error))
            bridge.failed(str(error))
        except Exception as error:
            _log.error("bridge broke", cause=error, bridge=bridge.name)
        await asyncio.sleep(_AGAIN_SECONDS)
