"""The claim of a bridge's workspace: made once, grown, and owned or not as the spec says."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from repobridge import quantities
from repobridge.crd import Reclaim, RepoBridge
from repobridge_operator.resources import naming

_DEFAULT_MODES = ["ReadWriteOnce"]


def make_claim(
    bridge: RepoBridge, present: Mapping[str, Any] | None, *, grows: bool = True
) -> dict[str, Any] | None:
    """The claim to apply, awake or asleep; None where the spec names one that exists already.

    `present` is the claim as it is. It only ever grows, once it has a volume, and keeps what can't
    be changed; with `grows` false it keeps its size too. With `reclaim: Delete` the bridge owns it;
    applied without the reference, by the same field manager, it is nobody's. Where the plugin
    OwnerReferencesPermissionEnforcement is on, taking that reference away needs the right to delete
    claims.
    """
    workspace, meta = bridge.spec.workspace, bridge.metadata
    if workspace.existing_claim is not None:
        return None
    spec: dict[str, Any] = {
        "accessModes": _present(present, "accessModes") or _DEFAULT_MODES,
        "resources": {"requests": {"storage": _size(workspace.size_bytes, present, grows)}},
    }
    class_name = workspace.storage_class_name
    if present is not None:
        class_name = _present(present, "storageClassName")
    if class_name is not None:
        spec["storageClassName"] = class_name
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": naming.metadata(
            naming.claim_name(meta.name),
            namespace=meta.namespace,
            bridge=meta.name,
            uid=meta.uid,
            owned=workspace.reclaim is Reclaim.DELETE,
        ),
        "spec": spec,
    }


def claim_is_foreign(bridge: RepoBridge, present: Mapping[str, Any]) -> bool:
    """Whether a claim of our claim's name is another's, so that it must not be touched.

    An earlier bridge of the same name leaves one behind with `reclaim: Retain`.
    """
    if bridge.spec.workspace.existing_claim is not None:
        return False
    return not naming.belongs_to(bridge.metadata.uid, present)


def _present(present: Mapping[str, Any] | None, name: str) -> Any:
    return present.get("spec", {}).get(name) if present else None


def _size(wanted: int, present: Mapping[str, Any] | None, grows: bool) -> str:
    resources = _present(present, "resources") or {}
    found = (resources.get("requests") or {}).get("storage")
    if found is None or present is None:
        return quantities.text(wanted)
    # The API server refuses to change a claim that has no volume yet.
    is_bound = (present.get("status") or {}).get("phase") == "Bound"
    if not grows or not is_bound or quantities.whole(found) >= wanted:
        return str(found)
    return quantities.text(wanted)
