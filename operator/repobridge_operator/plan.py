"""What to do about one bridge, decided purely: from what was seen, typed actions in their order.

Nothing here is remembered between two looks. Whatever an action did or failed to do shows in what
the next look sees, so that an operator that dies between any two actions loses nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import Any

from repobridge.crd import RepoBridge
from repobridge_operator.authority import Authority
from repobridge_operator.cluster import Object, Resource
from repobridge_operator.deaths import replacement_of
from repobridge_operator.drift import has_drifted, stamped
from repobridge_operator.observed import BridgeView
from repobridge_operator.podstate import pod_is_finished, pod_is_going
from repobridge_operator.resources import identity, naming
from repobridge_operator.resources.identity import Stale
from repobridge_operator.resources.network import make_network_policy
from repobridge_operator.resources.pod import make_pod, template_changed
from repobridge_operator.resources.podsettings import NetworkSettings, PodSettings
from repobridge_operator.resources.storage import claim_is_foreign, make_claim
from repobridge_operator.sleep_values import Permission, Want
from repobridge_operator.status import wanted_replicas


@dataclass(frozen=True, slots=True, kw_only=True)
class Making:
    """What the builders need beside a bridge."""

    pod: PodSettings
    network: NetworkSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class Outlook:
    """What a bridge is to become."""

    is_awake: bool
    """There is to be a pod."""
    want: Want
    """What is wanted of the pod that there is."""
    pod: Mapping[str, object]
    """The pod as it would be made now."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """All that a decision depends on."""

    view: BridgeView
    bridge: RepoBridge
    outlook: Outlook
    secret: Object | None
    """The metadata of its Secret; None: there is none."""
    authority: Authority
    permission: Permission | None = None
    """Leave to end its pod."""
    now: datetime


@dataclass(frozen=True, slots=True)
class Apply:
    """Make an object as the manifest says."""

    resource: Resource
    manifest: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Grow:
    """Let the claim grow; what keeps it from growing keeps nothing else from being done."""

    manifest: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Issue:
    """Make a new key and certificate, and the Secret that holds them."""

    stale: Stale


@dataclass(frozen=True, slots=True)
class CreatePod:
    """Make the pod, if all before it went well."""

    manifest: Mapping[str, object]


class Ending(Enum):
    """Why a pod is deleted."""

    FINISHED = "Finished"
    """Nothing runs in it any more, and its successor is due or not wanted."""
    SLEEP = "Sleep"
    UPDATE = "Update"


@dataclass(frozen=True, slots=True, kw_only=True)
class DeletePod:
    """Delete this very pod."""

    ending: Ending
    uid: str
    resource_version: str = ""
    """Where set, only if it is still so."""
    deaths: int = 0
    """How many in a row died young with this one."""


Action = Apply | Grow | Issue | CreatePod | DeletePod


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What to do, in order."""

    actions: tuple[Action, ...]
    again_at: datetime | None = None
    """When the clock alone changes the plan."""


def outlook(
    bridge: RepoBridge,
    pod: Object | None,
    *,
    is_accepted: bool,
    making: Making,
    deaths: int = 0,
) -> Outlook:
    """What a bridge is to become; `deaths` is how many pods in a row died young before the next.

    A bridge that is not accepted (its channel is another's) sleeps.
    """
    awake = is_accepted and wanted_replicas(bridge) > 0
    desired = make_pod(bridge, settings=making.pod, deaths=deaths)
    want = Want.AWAKE if awake else Want.ASLEEP
    if awake and pod is not None and template_changed(pod, desired):
        want = Want.FRESH
    return Outlook(is_awake=awake, want=want, pod=desired)


def plan(seen: Seen, *, making: Making) -> Plan:
    """What to do about a bridge that is not being deleted."""
    around, pod = _around(seen, making), seen.view.pod
    if pod is None:
        made = (CreatePod(seen.outlook.pod),) if seen.outlook.is_awake else ()
        return Plan(actions=(*around, *made))
    ending, again_at = _ending(seen, pod)
    return Plan(actions=(*around, *((ending,) if ending else ())), again_at=again_at)


def _around(seen: Seen, making: Making) -> tuple[Action, ...]:
    """What a pod needs: all of it is there before the pod, and while the bridge sleeps."""
    actions: list[Action] = []
    policy = stamped(make_network_policy(seen.bridge, settings=making.network))
    if has_drifted(seen.view.policy, policy):
        actions.append(Apply(Resource.POLICY, policy))
    stale = identity.stale(seen.secret, seen.authority, now=seen.now, uid=seen.bridge.metadata.uid)
    if stale is not None:
        actions.append(Issue(stale))
    return (*actions, *_claim(seen.bridge, seen.view.claim))


def _claim(bridge: RepoBridge, present: Object | None) -> tuple[Action, ...]:
    """Growth is a step of its own: a claim that can't grow still goes by the spec in all else."""
    if present is not None and claim_is_foreign(bridge, present):
        return ()
    made, grown = make_claim(bridge, present, grows=False), make_claim(bridge, present)
    if made is None or grown is None:
        return ()
    source = claim_source(bridge)
    claim = stamped(made, source=source)
    actions: list[Action] = []
    if has_drifted(present, claim):
        actions.append(Apply(Resource.CLAIM, claim))
    if grown != made:
        actions.append(Grow(stamped(grown, source=source)))
    return tuple(actions)


def claim_source(bridge: RepoBridge) -> dict[str, Any]:
    """What a claim's hash is of: neither its size, nor the class that the cluster chose since."""
    made = make_claim(bridge, None) or {}
    return {**made, "spec": {k: v for k, v in made.get("spec", {}).items() if k != "resources"}}


def _ending(seen: Seen, pod: Object) -> tuple[DeletePod | None, datetime | None]:
    """Whether the pod is deleted now, and when to ask again."""
    uid, want = str(pod["metadata"]["uid"]), seen.outlook.want
    if pod_is_going(pod) or not naming.belongs_to(seen.bridge.metadata.uid, pod):
        return None, None
    if pod_is_finished(pod):
        replacement = replacement_of(pod, template_changed=want is Want.FRESH)
        if want is not Want.ASLEEP and seen.now < replacement.at:
            return None, replacement.at
        return DeletePod(ending=Ending.FINISHED, uid=uid, deaths=replacement.deaths), None
    permission = seen.permission
    if want is Want.AWAKE or permission is None or permission.pod_uid != uid:
        return None, None
    ending = Ending.UPDATE if want is Want.FRESH else Ending.SLEEP
    return DeletePod(ending=ending, uid=uid, resource_version=permission.pod_version), None
