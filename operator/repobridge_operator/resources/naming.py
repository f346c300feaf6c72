"""What a bridge's objects are called, how they are labelled, and whose they are.

Two bridges of a namespace never share a name: what does not fit, or could be taken for something
that was shortened, carries a digest. Every object's name is a DNS label, because a pod's name
becomes its host name and Kubernetes warns of any other.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from repobridge import names
from repobridge.crd import API_VERSION, GROUP, KIND

FIELD_MANAGER = "repobridge-operator"
APP = "session-runner"
MANAGED_BY = "repobridge"

LABEL_APP = "app.kubernetes.io/name"
LABEL_MANAGED_BY = "app.kubernetes.io/managed-by"
LABEL_BRIDGE = f"{GROUP}/bridge"
LABEL_UID = f"{GROUP}/uid"

ANNOTATION_TEMPLATE = f"{GROUP}/template"
"""The hash of what a pod was made from."""
ANNOTATION_DEATHS = f"{GROUP}/deaths"
"""How many pods in a row died young before this one."""

_LONGEST_LABEL = 63


def pod_name(bridge: str, ordinal: int = 0) -> str:
    """The pod's name; the ordinal is for bridges with several pods to come."""
    return f"rb-{names.slug(bridge)}-{ordinal}"


def claim_name(bridge: str, ordinal: int = 0) -> str:
    """The name of the claim that holds the workspace."""
    return f"rb-{names.slug(bridge)}-workspace-{ordinal}"


def tls_secret_name(bridge: str) -> str:
    """The name of the Secret with the bridge's certificate."""
    return f"rb-{names.slug(bridge)}-tls"


def policy_name(bridge: str) -> str:
    """The NetworkPolicy's name."""
    return f"rb-{names.slug(bridge)}"


def bridge_label(bridge: str) -> str:
    """A bridge's name as a label's value: itself where it fits."""
    return bridge if len(bridge) <= _LONGEST_LABEL else names.slug(bridge)


def labels(bridge: str, uid: str) -> dict[str, str]:
    """The labels of everything that is made for a bridge."""
    return {
        LABEL_APP: APP,
        LABEL_MANAGED_BY: MANAGED_BY,
        LABEL_BRIDGE: bridge_label(bridge),
        LABEL_UID: uid,
    }


def pod_selector(uid: str) -> dict[str, str]:
    """The labels by which a bridge's pods are found; the UID can't be another's."""
    return {LABEL_APP: APP, LABEL_UID: uid}


def selector(uid: str) -> str:
    """The same as one string, for the `/scale` subresource."""
    return ",".join(f"{key}={value}" for key, value in pod_selector(uid).items())


def owner_reference(bridge: str, uid: str) -> dict[str, Any]:
    """What makes the garbage collector delete an object with its bridge.

    `blockOwnerDeletion` stays false: with true, the admission plugin
    OwnerReferencesPermissionEnforcement asks for the right to update the bridge's finalizers.
    """
    return {
        "apiVersion": API_VERSION,
        "kind": KIND,
        "name": bridge,
        "uid": uid,
        "controller": True,
        "blockOwnerDeletion": False,
    }


def belongs_to(uid: str, manifest: Mapping[str, Any]) -> bool:
    """Whether an object was made for the bridge with this UID, rather than for a namesake."""
    found = manifest.get("metadata", {}).get("labels") or {}
    return bool(found.get(LABEL_MANAGED_BY) == MANAGED_BY and found.get(LABEL_UID) == uid)


def metadata(
    name: str, *, namespace: str, bridge: str, uid: str, owned: bool = True
) -> dict[str, Any]:
    """The metadata of an object of a bridge; `owned` objects are deleted with it."""
    found: dict[str, Any] = {
        "name": name,
        "namespace": namespace,
        "labels": labels(bridge, uid),
    }
    if owned:
        found["ownerReferences"] = [owner_reference(bridge, uid)]
    return found
