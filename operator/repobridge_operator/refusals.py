"""Why the API server would not make an object: its own words, under a reason for people."""

from __future__ import annotations

import re
from dataclasses import dataclass

from repobridge import quantities
from repobridge.conditions import Reason, sentence

_OF_QUOTA = re.compile(r"exceeded quota:|failed quota:|insufficient quota to")
_OF_NAMESPACE = re.compile(r"because it is being terminated")
_OF_RIGHTS = re.compile(r'User ".*" cannot [a-z]+ resource')
_OF_GROWTH = re.compile(r"pvc can be resized|does not support resize|field can not be less than")
_PREFIX = re.compile(r'^[A-Za-z.]+ "[^"]*" is (?:forbidden|invalid): ')


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiRefusal:
    """An answer of the API server that trying again at once would not change."""

    kind: str
    """The kind of the object that was to be made or changed."""
    name: str
    message: str
    """The server's own words."""
    causes: tuple[str, ...] = ()
    """Constants of its single causes, such as NamespaceTerminating."""


@dataclass(frozen=True, slots=True)
class Cause:
    """What a condition says."""

    reason: Reason
    message: str


def cause_of_refusal(refusal: ApiRefusal, *, namespace: str, size: int) -> Cause:
    """The reason and the sentence for a refusal; `size` is that of the workspace, in bytes."""
    detail = _PREFIX.sub("", refusal.message)
    reason = _reason(refusal)
    facts = {
        Reason.NAMESPACE_TERMINATING: {"namespace": namespace},
        Reason.VOLUME_RESIZE_FAILED: {
            "claim": refusal.name,
            "size": quantities.text(size),
            "detail": detail,
        },
        Reason.API_REFUSED: {"what": f"{refusal.kind} {refusal.name}", "detail": detail},
    }.get(reason, {"detail": detail})
    return Cause(reason, sentence(reason, **facts))


def _reason(refusal: ApiRefusal) -> Reason:
    words = refusal.message
    if "NamespaceTerminating" in refusal.causes or _OF_NAMESPACE.search(words):
        return Reason.NAMESPACE_TERMINATING
    if _OF_QUOTA.search(words):
        return Reason.QUOTA_EXCEEDED
    if refusal.kind == "PersistentVolumeClaim" and _OF_GROWTH.search(words):
        return Reason.VOLUME_RESIZE_FAILED
    if refusal.kind != "Pod" or _OF_RIGHTS.search(words):
        return Reason.API_REFUSED
    return Reason.POD_REJECTED
