"""What a pod's container asks for and may use: the spec's words over the installation's.

Memory follows the live sessions: what is reserved grows and shrinks with them, by resizing the pod
in place, while the limit is the most that all sessions may use, from the start. So a session that
starts before the resize, or on a node where it is refused, is not killed for want of memory: it is
only less sure of it when the node runs short.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction

from repobridge import quantities
from repobridge.crd import RepoBridge
from repobridge_operator.resources.podsettings import PodSettings

MEMORY = "memory"


@dataclass(frozen=True, slots=True)
class Memory:
    """Bytes that are reserved, and bytes that may be used at most."""

    request: int
    limit: int


def memory_for(bridge: RepoBridge, *, settings: PodSettings, sessions: int) -> Memory:
    """The memory of a pod with so many live sessions, within the bounds of the spec.

    A limit that the spec names is the upper bound, a request that it names the lower one.
    """
    scaling, given = bridge.spec.scaling, bridge.spec.resources
    live = min(max(sessions, 1), scaling.sessions_per_pod)
    most = settings.base_memory_bytes + scaling.sessions_per_pod * scaling.bytes_per_session
    wanted = settings.base_memory_bytes + live * scaling.bytes_per_session
    least = _bytes(given.requests)
    limit = _bytes(given.limits) or max(most, least)
    return Memory(request=min(max(wanted, least), limit), limit=limit)


def make_resources(bridge: RepoBridge, *, settings: PodSettings) -> dict[str, dict[str, str]]:
    """The resources of a pod that wakes: one session's memory, and what else the spec says."""
    given = bridge.spec.resources
    memory = memory_for(bridge, settings=settings, sessions=1)
    requests = {
        "cpu": quantities.milli_text(settings.cpu_request_milli),
        "ephemeral-storage": quantities.text(settings.ephemeral_request_bytes),
        **given.requests,
        MEMORY: quantities.text(memory.request),
    }
    limits = {
        "ephemeral-storage": quantities.text(settings.ephemeral_limit_bytes),
        **given.limits,
        MEMORY: quantities.text(memory.limit),
    }
    for name, amount in requests.items():
        if name in limits and _amount(amount) > _amount(limits[name]):
            # One of the two is the installation's: what the spec says stands.
            requests[name] = limits[name] = (
                given.requests[name] if name in given.requests else limits[name]
            )
    return {"requests": requests, "limits": limits}


def _bytes(amounts: Mapping[str, str]) -> int:
    return quantities.whole(amounts[MEMORY]) if MEMORY in amounts else 0


def _amount(quantity: str) -> Fraction:
    return Fraction(quantities.parse(quantity))
