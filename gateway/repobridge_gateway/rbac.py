"""The rights that the gateway needs in a cluster, and no more: the chart's roles say the same, and
tests run it with exactly these.

It sees RepoBridges and may wish them awake. No Secret, no pod, no other field of a bridge; its
store's volume is what keeps it alone, so that it needs no Lease.
"""

from __future__ import annotations

from typing import Any

from repobridge.crd import GROUP, PLURAL


def served_rules() -> list[dict[str, Any]]:
    """In each namespace that is served, or cluster-wide where all are."""
    return [
        {"apiGroups": [GROUP], "resources": [PLURAL], "verbs": ["get", "list", "watch"]},
        {"apiGroups": [GROUP], "resources": [f"{PLURAL}/scale"], "verbs": ["patch"]},
    ]
