"""What is said while a bridge's volume is smaller than the spec has it: that it grows, or why not.

Pure. The claim says both: its request is what was asked of the storage, its capacity what is there.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from repobridge import quantities
from repobridge.conditions import Reason, sentence
from repobridge.crd import RepoBridge
from repobridge_operator.refusals import ApiRefusal, Cause, cause_of_refusal
from repobridge_operator.resources.storage import claim_is_foreign

_ERRORS = frozenset({"ControllerResizeError", "NodeResizeError"})
_PENDING = "FileSystemResizePending"
_NO_VOLUME = "it has no volume yet, and grows once it has one."
_AT_WORK = "its storage is at work."

Claim = Mapping[str, Any]


def cause_of_growth(
    bridge: RepoBridge, claim: Claim | None, *, refusal: ApiRefusal | None
) -> Cause | None:
    """What to tell of a volume that is to grow; None where it is as large as it is to be.

    `refusal` is the API server's answer to the claim that was to be larger.
    """
    wanted = bridge.spec.workspace.size_bytes
    if refusal is not None:
        return cause_of_refusal(refusal, namespace=bridge.metadata.namespace, size=wanted)
    if claim is None or not _is_ours(bridge, claim) or _size(claim) >= wanted:
        return None
    reason, detail = Reason.VOLUME_RESIZE_FAILED, _failure(claim)
    if not detail:
        reason, detail = Reason.VOLUME_GROWING, _progress(claim)
    name, size = claim["metadata"]["name"], quantities.text(wanted)
    return Cause(reason, sentence(reason, claim=name, size=size, detail=detail))


def _is_ours(bridge: RepoBridge, claim: Claim) -> bool:
    return bridge.spec.workspace.existing_claim is None and not claim_is_foreign(bridge, claim)


def _size(claim: Claim) -> int:
    """What there is of it; of a claim without a volume, what it will ask for."""
    found = (_status(claim).get("capacity") or {}).get("storage")
    if found is None:
        resources = (claim.get("spec") or {}).get("resources") or {}
        found = (resources.get("requests") or {}).get("storage", "0")
    return quantities.whole(str(found))


def _failure(claim: Claim) -> str:
    """Why it did not grow, as its storage says; empty while nothing is wrong."""
    status = _status(claim)
    for each in status.get("conditions") or ():
        if each.get("type") in _ERRORS and each.get("status") == "True":
            return str(each.get("message") or each["type"])
    stage = (status.get("allocatedResourceStatuses") or {}).get("storage", "")
    return str(stage) if stage.endswith("Infeasible") else ""


def _progress(claim: Claim) -> str:
    if _status(claim).get("phase") != "Bound":
        return _NO_VOLUME
    for each in _status(claim).get("conditions") or ():
        if each.get("type") == _PENDING and each.get("status") == "True":
            return str(each.get("message") or _AT_WORK)
    return _AT_WORK


def _status(claim: Claim) -> Mapping[str, Any]:
    return claim.get("status") or {}
