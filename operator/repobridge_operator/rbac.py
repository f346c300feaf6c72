"""The rights that the operator needs, and no more: the chart's roles say the same, and tests run
the operator with exactly these.

No right to read Secrets in bulk, to delete claims or bridges, or to change a bridge's spec beside
its scale.
"""

from __future__ import annotations

from typing import Any

from repobridge.crd import GROUP, PLURAL
from repobridge_operator.resources.identity import CA_SECRET, GATEWAY_SECRET

_FOLLOW = ["get", "list", "watch"]


def served_rules() -> list[dict[str, Any]]:
    """In each namespace that is served, or cluster-wide where all are."""
    return [
        _rule(GROUP, [PLURAL], _FOLLOW),
        _rule(GROUP, [f"{PLURAL}/status", f"{PLURAL}/scale"], ["patch"]),
        _rule("", ["pods"], [*_FOLLOW, "create", "delete"]),
        _rule("", ["pods/resize"], ["patch"]),
        _rule("", ["persistentvolumeclaims"], [*_FOLLOW, "create", "patch"]),
        _rule("", ["secrets"], ["get", "create", "patch"]),
        _rule("networking.k8s.io", ["networkpolicies"], [*_FOLLOW, "create", "patch"]),
        _rule("events.k8s.io", ["events"], ["list", "create"]),
    ]


def own_rules(*, lease: str = "repobridge-operator") -> list[dict[str, Any]]:
    """In the operator's own namespace."""
    return [
        _rule("coordination.k8s.io", ["leases"], ["create"]),
        _rule("coordination.k8s.io", ["leases"], ["get", "update"], names=[lease]),
        _rule("", ["secrets"], ["create"]),
        _rule("", ["secrets"], ["get", "update", "patch"], names=[CA_SECRET, GATEWAY_SECRET]),
    ]


def _rule(
    group: str, resources: list[str], verbs: list[str], *, names: list[str] | None = None
) -> dict[str, Any]:
    rule: dict[str, Any] = {"apiGroups": [group], "resources": resources, "verbs": verbs}
    return rule | ({"resourceNames": names} if names else {})
