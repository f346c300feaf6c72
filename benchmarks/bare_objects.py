"""What a bridge's objects cost without an operator: the same, made by the least client there is."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from repobridge_operator.resources import naming
from tests.apiserver.rest import Object
from tests.apiserver.test_operator import Place

_KEPT_METADATA = frozenset({"annotations", "labels"})
_OF_THE_SERVER = frozenset({"metadata", "status"})


@dataclass(frozen=True, slots=True)
class BareObjects:
    """The objects of one bridge as they stand in the cluster, to be made again by any name."""

    bridge: Object
    status: Object
    claim: Object
    policy: Object
    secret: Object
    pod: Object | None = None

    @classmethod
    async def of(cls, place: Place, name: str) -> BareObjects:
        """Takes what the operator made for a bridge that sleeps."""
        get = place.admin.get
        bridge = await get(f"{place.bridges}/{name}")
        return cls(
            bridge=_again(bridge),
            status=bridge["status"],
            claim=_again(await get(f"{place.claims}/{naming.claim_name(name)}")),
            policy=_again(await get(f"{place.policies}/{naming.policy_name(name)}")),
            secret=_again(await get(f"{place.secrets}/{naming.tls_secret_name(name)}")),
        )

    def awake(self, pod: Object) -> BareObjects:
        """Takes the bridge's pod as well."""
        return replace(self, pod=bare_pod(pod))

    async def make_asleep(self, place: Place, name: str) -> None:
        """Makes a bridge with what it has while it sleeps, one request after the other."""
        admin = place.admin
        made = await admin.create(place.bridges, _named(self.bridge, name))
        owner = [naming.owner_reference(name, made["metadata"]["uid"])]
        for collection, one in (
            (place.secrets, self.secret),
            (place.policies, self.policy),
            (place.claims, self.claim),
        ):
            # Claims that are kept have no owner; the others are as large with as without it.
            await admin.create(collection, _named(one, name, ownerReferences=owner))
        await admin.merge(f"{place.bridges}/{name}/status", {"status": self.status})

    def by_hand(self, name: str) -> list[Object]:
        """What a person would apply to get the same pod."""
        found = (self.secret, self.policy, self.claim, self.pod)
        return [_named(one, name) for one in found if one is not None]


def bare_pod(pod: Object) -> Object:
    """A bridge's pod as one that belongs to nobody, and of which the operator hears nothing."""
    # As an item of a list it does not say what it is.
    bare = {"apiVersion": "v1", "kind": "Pod", **_again(pod)}
    # Its node is still to be found.
    bare["spec"] = {key: each for key, each in bare["spec"].items() if key != "nodeName"}
    bare["metadata"].pop("labels")
    return bare


def _again(found: Object) -> Object:
    """An object without what the server added to it."""
    kept = {key: each for key, each in found.items() if key not in _OF_THE_SERVER}
    metadata = {k: v for k, v in found["metadata"].items() if k in _KEPT_METADATA}
    return {**kept, "metadata": metadata}


def _named(one: Object, name: str, **metadata: Any) -> Object:
    return {**one, "metadata": {**one["metadata"], "name": name, **metadata}}
