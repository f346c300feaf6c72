"""A RepoBridge as the cluster has it, reduced to what matters to whoever talks with it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from repobridge.conditions import Phase, Reason, facts_of
from repobridge.errors import RepoBridgeError

ASLEEP = frozenset({"", Phase.ASLEEP, Phase.SUSPENDED})
_WITH_POD = frozenset({Phase.WAKING, Phase.READY, Phase.DRAINING})
_TRIED_AGAIN = frozenset({Reason.VOLUME_MOUNT_FAILED})
"""Failures that a busy node has for a moment, and mends by itself."""


class ClusterError(RepoBridgeError):
    """The cluster, or the way to it, refuses; the message is for a person."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Observed:
    """What matters of it to somebody who talks with it."""

    name: str
    repository: str = ""
    agent: str = "claude"
    wish: int = 0
    is_suspended: bool = False
    is_deleted: bool = False
    refusal: str = ""
    """Why the operator does not serve it; empty where it does."""
    phase: str = ""
    reason: str = ""
    message: str = ""
    """Of the condition Ready."""
    pod_name: str = ""
    pod_uid: str = ""
    address: str = ""
    port: int = 0
    """Where its runner listens, as soon as that is known."""
    generation: int = 0
    """Of what is wished; it grows with each change."""
    observed_generation: int = 0
    """The newest that the operator has looked at."""

    @property
    def awaits_operator(self) -> bool:
        """Whether it is to be awake, and the operator has not taken that up."""
        is_wished = self.wish > 0 and not self.is_suspended and not self.refusal
        return is_wished and self.phase in ASLEEP and self.generation > self.observed_generation

    @property
    def has_pod(self) -> bool:
        """Whether there is a runner to talk with, or soon will be.

        One whose volume is full is there: what runs goes on, and it refuses new work by itself.
        """
        return bool(self.pod_uid) and (
            self.phase in _WITH_POD or self.reason == Reason.WORKSPACE_FULL
        )

    @property
    def passes(self) -> bool:
        """Whether what is wrong may well be gone in a moment."""
        return self.has_pod or self.reason in _TRIED_AGAIN

    @property
    def step(self) -> Reason | None:
        """What is waited for, where this version knows it."""
        return next((each for each in Reason if each == self.reason), None)

    @property
    def detail(self) -> str:
        """What the step's message says beyond the step itself, such as the image."""
        return self.message if self.step is not None and facts_of(self.step) else ""


def read(obj: Mapping[str, Any]) -> Observed:
    """Reads an object; what is missing is as a fresh one has it."""
    spec, status = obj.get("spec") or {}, obj.get("status") or {}
    conditions = {each.get("type"): each for each in status.get("conditions") or ()}
    accepted, ready = conditions.get("Accepted") or {}, conditions.get("Ready") or {}
    endpoint = status.get("endpoint") or {}
    return Observed(
        name=obj["metadata"]["name"],
        repository=(spec.get("repository") or {}).get("url", ""),
        agent=(spec.get("agent") or {}).get("type", "claude"),
        wish=int(spec.get("replicas") or 0),
        is_suspended=bool(spec.get("suspend")),
        is_deleted="deletionTimestamp" in obj["metadata"],
        refusal=accepted.get("message", "") if accepted.get("status") == "False" else "",
        phase=status.get("phase", ""),
        reason=ready.get("reason", ""),
        message=ready.get("message", ""),
        pod_name=endpoint.get("podName", ""),
        pod_uid=endpoint.get("podUID", ""),
        address=endpoint.get("address", ""),
        port=int(endpoint.get("port") or 0),
        generation=int(obj["metadata"].get("generation") or 0),
        observed_generation=int(status.get("observedGeneration") or 0),
    )
