"""What the operator knows of the cluster without asking: the last seen state of each object.

Watches and our own writes' answers both put objects here, in any order; of two states of one object
the newer stays. Objects are kept as text, a tenth of what they take as objects of Python's: most
belong to bridges that sleep.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from repobridge_operator.cluster import Object, Resource
from repobridge_operator.resources import naming


class BridgeKey(NamedTuple):
    """Which bridge."""

    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class BridgeView:
    """A bridge and its objects, as last seen."""

    key: BridgeKey
    bridge: Object
    pod: Object | None
    claim: Object | None
    policy: Object | None


@dataclass(frozen=True, slots=True)
class _Kept:
    """An object as text, and what is asked of it most."""

    uid: str
    version: str
    phase: str
    text: bytes


_GONE_KEPT = 20_000
_LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"


class Observed:
    """The last seen state of every bridge, and of every object that carries our labels.

    The answer to a write may come after the watch told that its object is gone: what went never
    comes back under its UID.
    """

    def __init__(self) -> None:
        self._gone: dict[str, None] = {}
        self._objects: dict[Resource, dict[BridgeKey, _Kept]] = {each: {} for each in Resource}
        self._keys: dict[str, BridgeKey] = {}

    def __len__(self) -> int:
        return len(self._objects[Resource.BRIDGE])

    def keys(self) -> tuple[BridgeKey, ...]:
        """Every bridge."""
        return tuple(self._objects[Resource.BRIDGE])

    def phases(self) -> Counter[str]:
        """How many bridges say that they are in each phase; any thread may ask."""
        return Counter(each.phase for each in tuple(self._objects[Resource.BRIDGE].values()))

    def view(self, key: BridgeKey) -> BridgeView | None:
        """A bridge with its objects; None when there is no such bridge."""
        bridge = self.get(Resource.BRIDGE, key.namespace, key.name)
        if bridge is None:
            return None
        return BridgeView(
            key=key,
            bridge=bridge,
            pod=self.get(Resource.POD, key.namespace, naming.pod_name(key.name)),
            claim=self.get(Resource.CLAIM, key.namespace, naming.claim_name(key.name)),
            policy=self.get(Resource.POLICY, key.namespace, naming.policy_name(key.name)),
        )

    def get(self, resource: Resource, namespace: str, name: str) -> Object | None:
        """One object, if it was seen."""
        kept = self._objects[resource].get(BridgeKey(namespace, name))
        return None if kept is None else _object(kept)

    def put(self, resource: Resource, found: Object) -> BridgeKey | None:
        """Keeps a state of an object; the bridge to look at, None when nothing is new."""
        place, metadata = _place(found), found["metadata"]
        present = self._objects[resource].get(place)
        if metadata["uid"] in self._gone:
            return None
        if present is not None and not _is_newer(str(metadata["resourceVersion"]), present.version):
            return None
        self._objects[resource][place] = _kept(found)
        if resource is Resource.BRIDGE:
            if present is not None:
                self._keys.pop(present.uid, None)
            self._keys[metadata["uid"]] = place
            return place
        return self._bridge_of(metadata)

    def remove(self, resource: Resource, found: Object) -> BridgeKey | None:
        """Forgets an object that was deleted; the bridge to look at, None when it was replaced."""
        place, metadata = _place(found), found["metadata"]
        present = self._objects[resource].get(place)
        self._gone[metadata["uid"]] = None
        if len(self._gone) > _GONE_KEPT:
            del self._gone[next(iter(self._gone))]
        if present is not None:
            if present.uid != metadata["uid"]:
                return None
            del self._objects[resource][place]
        if resource is Resource.BRIDGE:
            self._keys.pop(metadata["uid"], None)
            return place
        return self._bridge_of(metadata)

    def uids(self, resource: Resource) -> frozenset[str]:
        """The UIDs of every object of a kind."""
        return frozenset(each.uid for each in self._objects[resource].values())

    def forget(self, resource: Resource, uids: Collection[str]) -> set[BridgeKey]:
        """Forgets objects that are gone though no watch told so; the bridges to look at."""
        gone = [each for each in self._objects[resource].values() if each.uid in uids]
        touched = {self.remove(resource, _object(each)) for each in gone}
        return {key for key in touched if key is not None}

    def _bridge_of(self, metadata: Mapping[str, Any]) -> BridgeKey | None:
        uid = (metadata.get("labels") or {}).get(naming.LABEL_UID, "")
        return self._keys.get(uid)


def _place(found: Object) -> BridgeKey:
    metadata = found["metadata"]
    return BridgeKey(metadata["namespace"], metadata["name"])


def _is_newer(ours: str, theirs: str) -> bool:
    """Resource versions of one kind are numbers that grow, across deletion too."""
    if ours.isdigit() and theirs.isdigit():
        return int(ours) > int(theirs)
    return ours != theirs


def _kept(found: Object) -> _Kept:
    """The object without the bookkeeping of fields, and without kubectl's copy of itself."""
    metadata = {key: each for key, each in found["metadata"].items() if key != "managedFields"}
    if annotations := metadata.get("annotations"):
        metadata["annotations"] = {k: v for k, v in annotations.items() if k != _LAST_APPLIED}
    text = json.dumps({**found, "metadata": metadata}, separators=(",", ":"))
    phase = str((found.get("status") or {}).get("phase", ""))
    return _Kept(metadata["uid"], str(metadata["resourceVersion"]), phase, text.encode())


def _object(kept: _Kept) -> Object:
    found: Object = json.loads(kept.text)
    return found
