"""Carries out what was planned for a bridge, one call after the other, and says what came of it.

What the API server refuses ends neither the look nor the other actions: it is told in the status.
What is not answered ends the look, and the queue brings the bridge again. Objects of our names that
are somebody else's are never touched.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from repobridge.crd import RepoBridge
from repobridge.telemetry import Logger
from repobridge_operator.authority import Authority, Holder
from repobridge_operator.cluster import (
    Cluster,
    Conflict,
    NotFound,
    Object,
    Refused,
    Resource,
    Unavailable,
)
from repobridge_operator.keeper import Keeper
from repobridge_operator.observed import BridgeKey, BridgeView, Observed
from repobridge_operator.plan import Action, Apply, CreatePod, DeletePod, Ending, Grow, Issue
from repobridge_operator.refusals import ApiRefusal
from repobridge_operator.resources import identity, naming
from repobridge_operator.resources.identity import issue_for_bridge, make_bridge_secret
from repobridge_operator.resources.storage import claim_is_foreign

_REREAD_SECONDS = 3600.0
_REREAD_BEFORE_POD_SECONDS = 60.0

_log = Logger("repobridge.operator")


@dataclass(frozen=True, slots=True, kw_only=True)
class Carried:
    """What came of a bridge's actions."""

    is_changed: bool = False
    is_pod_made: bool = False
    refusal: ApiRefusal | None = None
    """What the API server refused last."""
    not_grown: ApiRefusal | None = None
    """Why the API server did not let the claim grow."""
    taken: str = ""
    """An object that has our name and is somebody else's."""
    again_at: datetime | None = None

    @property
    def is_hindered(self) -> bool:
        """Something that a pod needs is not there."""
        return self.refusal is not None or bool(self.taken)


class CarryOut:
    """Makes, changes and deletes the objects of bridges, and remembers their Secrets' metadata."""

    def __init__(
        self,
        *,
        cluster: Cluster,
        observed: Observed,
        keeper: Keeper,
        told: Callable[[Resource, Object, bool], None],
        now: Callable[[], datetime],
        clock: Callable[[], float],
    ) -> None:
        self._cluster = cluster
        self._observed = observed
        self._keeper = keeper
        self._told = told
        self._now = now
        self._clock = clock
        self._read_at: dict[BridgeKey, float] = {}
        self._deaths: dict[str, int] = {}

    @property
    def authority(self) -> Authority:
        """The CA that signs."""
        return self._keeper.authority

    def deaths(self, bridge_uid: str) -> int:
        """How many pods of a bridge died young in a row, up to the one that was deleted last."""
        return self._deaths.get(bridge_uid, 0)

    def holders(self) -> tuple[Holder, ...] | None:
        """What the bridges' Secrets say of themselves; None while some were not read yet."""
        keys = self._observed.keys()
        if any(key not in self._read_at for key in keys):
            return None
        return identity.holders_of(self._secret_of(key) for key in keys)

    def forget(self, key: BridgeKey) -> None:
        """Forgets a bridge that is gone."""
        self._read_at.pop(key, None)
        secret = self._secret_of(key)
        if secret is not None:
            self._observed.remove(Resource.SECRET, secret)

    async def secret(self, view: BridgeView) -> Object | None:
        """The metadata of a bridge's Secret; read again now and then, and before a pod is made."""
        age = self._clock() - self._read_at.get(view.key, float("-inf"))
        present, uid = self._secret_of(view.key), view.bridge["metadata"]["uid"]
        longest = _REREAD_SECONDS if view.pod is not None else _REREAD_BEFORE_POD_SECONDS
        if present is not None and not naming.belongs_to(uid, present):
            longest = 0.0  # somebody else's may be gone by now, and no watch tells
        if age > longest:
            await self._read_secret(view.key)
        return self._secret_of(view.key)

    async def all(self, actions: tuple[Action, ...], bridge: RepoBridge) -> Carried:
        """Carries out a plan; raises ClusterError where it has to be tried again as a whole."""
        carried = Carried(taken=self._taken_claim(bridge))
        for action in actions:
            if isinstance(action, CreatePod) and carried.is_hindered:
                continue
            try:
                taken = await self._one(action, bridge)
            except Refused as error:
                refusal = _refusal(action, bridge, error)
                _log.warning("refused", bridge=_name(bridge), kind=refusal.kind, error=str(error))
                if isinstance(action, Grow):
                    carried = replace(carried, not_grown=refusal)
                else:
                    carried = replace(carried, refusal=refusal)
            else:
                made = carried.is_pod_made or (isinstance(action, CreatePod) and not taken)
                taken = carried.taken or taken
                carried = replace(carried, is_changed=True, is_pod_made=made, taken=taken)
        return carried

    async def _one(self, action: Action, bridge: RepoBridge) -> str:
        """Carries out one action; the object that is somebody else's, if that kept it from it."""
        match action:
            case Apply(resource=resource, manifest=manifest):
                return await self._apply(resource, manifest, bridge)
            case Grow(manifest=manifest):
                return await self._apply(Resource.CLAIM, manifest, bridge)
            case Issue(stale=stale):
                _log.debug("new certificate", bridge=_name(bridge), stale=stale)
                return await self._apply(Resource.SECRET, self._secret_manifest(bridge), bridge)
            case CreatePod(manifest=manifest):
                return await self._create_pod(manifest, bridge)
            case DeletePod():
                await self._delete_pod(action, bridge)
                return ""

    async def _apply(
        self, resource: Resource, manifest: Mapping[str, Any], bridge: RepoBridge
    ) -> str:
        metadata = manifest["metadata"]
        namespace, name = metadata["namespace"], metadata["name"]
        present = self._observed.get(resource, namespace, name)
        if present is None:
            present = await self._found(resource, namespace, name)
        if present is not None and not naming.belongs_to(bridge.metadata.uid, present):
            return f"{resource.kind} {name}"
        if present is not None:
            # Not onto an object that was made anew since.
            metadata = {**metadata, "uid": present["metadata"]["uid"]}
        try:
            written = await self._cluster.apply(resource, {**manifest, "metadata": metadata})
        except Conflict as error:
            await self._look_again(resource, namespace, name, present)
            raise Unavailable(str(error)) from error
        self._remember(resource, written, bridge)
        return ""

    def _remember(self, resource: Resource, written: Object, bridge: RepoBridge) -> None:
        if resource is Resource.SECRET:
            # What is in it is not kept.
            self._observed.put(resource, {"metadata": written["metadata"]})
            self._read_at[_key(bridge)] = self._clock()
            self._keeper.stir()
        else:
            self._told(resource, written, False)
        _log.info("applied", bridge=_name(bridge), kind=resource.kind)

    async def _create_pod(self, manifest: Mapping[str, Any], bridge: RepoBridge) -> str:
        metadata = manifest["metadata"]
        try:
            made = await self._cluster.create(Resource.POD, manifest)
        except Conflict as error:
            if not error.exists:
                raise Unavailable(str(error)) from error
            found = await self._found(Resource.POD, metadata["namespace"], metadata["name"])
            if found is None:
                raise Unavailable(str(error)) from error
            if not naming.belongs_to(bridge.metadata.uid, found):
                return f"Pod {metadata['name']}"
            # Ours: the watch is late. What it holds comes with it, or with the next look.
            self._told(
                Resource.POD,
                await self._cluster.get(Resource.POD, metadata["namespace"], metadata["name"]),
                False,
            )
            return ""
        self._deaths.pop(bridge.metadata.uid, None)
        self._told(Resource.POD, made, False)
        _log.info("pod made", bridge=_name(bridge), pod_uid=made["metadata"]["uid"])
        return ""

    async def _delete_pod(self, action: DeletePod, bridge: RepoBridge) -> None:
        namespace, name = bridge.metadata.namespace, naming.pod_name(bridge.metadata.name)
        present = self._observed.get(Resource.POD, namespace, name)
        try:
            answer = await self._cluster.delete(
                Resource.POD,
                namespace,
                name,
                uid=action.uid,
                resource_version=action.resource_version,
            )
        except NotFound:
            if present is not None and present["metadata"]["uid"] == action.uid:
                self._told(Resource.POD, present, True)
            return
        except Conflict as error:
            raise Unavailable(str(error)) from error  # it changed: look at it again first
        if action.ending is Ending.FINISHED:
            self._deaths[bridge.metadata.uid] = action.deaths
        if answer.get("kind") == "Pod":
            self._told(Resource.POD, answer, False)
        _log.info("pod deleted", bridge=_name(bridge), ending=action.ending, pod_uid=action.uid)

    async def _found(self, resource: Resource, namespace: str, name: str) -> Object | None:
        try:
            return await self._cluster.metadata(resource, namespace, name)
        except NotFound:
            return None

    async def _look_again(
        self, resource: Resource, namespace: str, name: str, present: Object | None
    ) -> None:
        """After a conflict: what we took for the object may be gone, or another by now."""
        found = await self._found(resource, namespace, name)
        if present is not None and (
            found is None or found["metadata"]["uid"] != present["metadata"]["uid"]
        ):
            self._told(resource, present, True)

    async def _read_secret(self, key: BridgeKey) -> None:
        name = naming.tls_secret_name(key.name)
        found = await self._found(Resource.SECRET, key.namespace, name)
        before = self._secret_of(key)
        if found is not None:
            self._observed.put(Resource.SECRET, found)
        elif before is not None:
            self._observed.remove(Resource.SECRET, before)
        self._read_at[key] = self._clock()

    def _secret_of(self, key: BridgeKey) -> Object | None:
        return self._observed.get(Resource.SECRET, key.namespace, naming.tls_secret_name(key.name))

    def _secret_manifest(self, bridge: RepoBridge) -> dict[str, Any]:
        authority, metadata = self.authority, bridge.metadata
        material = issue_for_bridge(authority, metadata.uid, now=self._now())
        return make_bridge_secret(
            material,
            authority,
            namespace=metadata.namespace,
            bridge=metadata.name,
            uid=metadata.uid,
        )

    def _taken_claim(self, bridge: RepoBridge) -> str:
        if bridge.spec.workspace.existing_claim is not None:
            return ""
        name = naming.claim_name(bridge.metadata.name)
        present = self._observed.get(Resource.CLAIM, bridge.metadata.namespace, name)
        if present is None or not claim_is_foreign(bridge, present):
            return ""
        return f"{Resource.CLAIM.kind} {name}"


def _refusal(action: Action, bridge: RepoBridge, error: Refused) -> ApiRefusal:
    match action:
        case Apply(resource=resource, manifest=manifest):
            kind, name = resource.kind, str(_metadata(manifest)["name"])
        case Grow(manifest=manifest):
            kind, name = Resource.CLAIM.kind, str(_metadata(manifest)["name"])
        case Issue():
            kind, name = Resource.SECRET.kind, naming.tls_secret_name(bridge.metadata.name)
        case CreatePod() | DeletePod():
            kind, name = Resource.POD.kind, naming.pod_name(bridge.metadata.name)
    return ApiRefusal(kind=kind, name=name, message=error.message, causes=error.causes)


def _metadata(manifest: Mapping[str, Any]) -> Mapping[str, Any]:
    found: Mapping[str, Any] = manifest["metadata"]
    return found


def _key(bridge: RepoBridge) -> BridgeKey:
    return BridgeKey(bridge.metadata.namespace, bridge.metadata.name)


def _name(bridge: RepoBridge) -> str:
    return str(_key(bridge))
