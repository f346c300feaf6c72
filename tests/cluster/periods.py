"""How soon the cluster notices that its node is lost."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Periods:
    """In whole seconds; by default a busy machine keeps its node, and a dead one is lost soon."""

    status_seconds: int = 2
    """How often the kubelet says how the node is."""
    lease_seconds: int = 8
    """How long its lease runs; it renews four times as often."""
    monitor_seconds: int = 1
    """How often the controllers look."""
    grace_seconds: int = 12
    """How long a silent node counts as ready."""
