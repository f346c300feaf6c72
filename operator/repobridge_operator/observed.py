"""What the operator knows of the cluster without asking: the last seen state of each object.

Watches and our own writes' answers both put objects here, in any order; of two states of one object
the newer stays. Objects are shared and never changed: whoever needs another state makes a copy.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
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


_GONE_KEPT = 20_000


class Observed:
    """The last seen state of every bridge, and of every object that carries our labels.

    The answer to a write may come after the watch told that its object is gone: what went never
    comes back under its UID.
    """

    def __init__(self) -> None:
        self._gone: dict[str, None] = {}
        self._objects: dict[Resource, dict[BridgeKey, Object]] = {each: {} for each in Resource}
        self._keys: dict[str, BridgeKey] = {}

    def __len__(self) -> int:
        return len(self._objects[Resource.BRIDGE])

    def keys(self) -> tuple[BridgeKey, ...]:
        """Every bridge."""
        return tuple(self._objects[Resource.BRIDGE])

    def bridges(self) -> Iterator[Object]:
        """Every bridge's object."""
        return iter(tuple(self._objects[Resource.BRIDGE].values()))

    def view(self, key: BridgeKey) -> BridgeView | None:
        """A bridge with its objects; None when there is no such bridge."""
        bridge = self._objects[Resource.BRIDGE].get(key)
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
        return self._objects[resource].get(BridgeKey(namespace, name))

    def put(self, resource: Resource, found: Object) -> BridgeKey | None:
        """Keeps a state of an object; the bridge to look at, None when nothing is new."""
        place, metadata = _place(found), found["metadata"]
        present = self._objects[resource].get(place)
        if metadata["uid"] in self._gone:
            return None
        if present is not None and not _newer(metadata, present["metadata"]):
            return None
        self._objects[resource][place] = _lean(found)
        if resource is Resource.BRIDGE:
            if present is not None:
                self._keys.pop(present["metadata"]["uid"], None)
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
            if present["metadata"].get("uid") != metadata.get("uid"):
                return None
            del self._objects[resource][place]
        if resource is Resource.BRIDGE:
            self._keys.pop(metadata.get("uid", ""), None)
            return place
        return self._bridge_of(metadata)

    def uids(self, resource: Resource) -> frozenset[str]:
        """The UIDs of every object of a kind."""
        return frozenset(_uid(each) for each in self._objects[resource].values())

    def forget(self, resource: Resource, uids: Collection[str]) -> set[BridgeKey]:
        """Forgets objects that are gone though no watch told so; the bridges to look at."""
        gone = [each for each in self._objects[resource].values() if _uid(each) in uids]
        touched = {self.remove(resource, each) for each in gone}
        return {key for key in touched if key is not None}

    def _bridge_of(self, metadata: Mapping[str, Any]) -> BridgeKey | None:
        uid = (metadata.get("labels") or {}).get(naming.LABEL_UID, "")
        return self._keys.get(uid)


def _uid(found: Object) -> str:
    return str(found["metadata"]["uid"])


def _place(found: Object) -> BridgeKey:
    metadata = found["metadata"]
    return BridgeKey(metadata["namespace"], metadata["name"])


def _newer(metadata: Mapping[str, Any], present: Mapping[str, Any]) -> bool:
    """Resource versions of one kind are numbers that grow, across deletion too."""
    ours, theirs = str(metadata["resourceVersion"]), str(present["resourceVersion"])
    if ours.isdigit() and theirs.isdigit():
        return int(ours) > int(theirs)
    return ours != theirs


def _lean(found: Object) -> Object:
    """Without the bookkeeping of fields, which is half of a small object."""
    metadata = {key: each for key, each in found["metadata"].items() if key != "managedFields"}
    return {**found, "metadata": metadata}
