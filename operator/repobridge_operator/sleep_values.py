"""What the way to sleep is told, and what it says: facts, actions, answers, permissions."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from repobridge.idle import Activity, Drained, IdlePolicy


class Want(Enum):
    """What a pod's bridge is meant to be."""

    AWAKE = "Awake"
    FRESH = "Fresh"
    """Awake, but the pod is to be replaced by one of the present template, once idle."""
    ASLEEP = "Asleep"
    """Asleep as soon as the turn ends."""


class Ground(Enum):
    """Why a pod may be deleted."""

    DRAINED = "Drained"
    NOTHING_RUNS = "NothingRuns"
    DRAIN_TIMEOUT = "DrainTimeout"
    UNREACHABLE = "Unreachable"


@dataclass(frozen=True, slots=True)
class Now:
    """Both clocks in seconds: leases run by the monotonic one, others' times by the wall's."""

    monotonic: float
    wall: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What the cluster says of a bridge and its pod; times are seconds since the epoch."""

    want: Want
    bridge_uid: str
    pod_uid: str
    address: str = ""
    """The pod's address; empty while nobody knows it."""
    port: int = 0
    is_running: bool
    """Its container has a process, as the kubelet last said."""
    is_starting_up: bool = False
    """The kubelet still waits for the runner to answer its startup probe."""
    awake_since: float
    asleep_since: float | None = None
    """Since when the bridge is to sleep, where a former operator wrote that down."""
    resource_version: str
    """The RepoBridge's."""
    generation: int
    pod_version: str = ""
    policy: IdlePolicy
    drain_timeout_seconds: float


@dataclass(frozen=True, slots=True)
class Permission:
    """Leave to delete one pod."""

    pod_uid: str
    ground: Ground
    pod_version: str = ""
    """Where set, the deletion has to fail if the pod has changed since."""


@dataclass(frozen=True, slots=True)
class Wait:
    """Nothing is to be done for so long."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Ask:
    """Ask for its Activity."""


@dataclass(frozen=True, slots=True)
class Drain:
    """Ask for a drain, or renew it."""

    after_turn: bool


@dataclass(frozen=True, slots=True)
class Interrupt:
    """Interrupt every open turn, with the cause DRAIN."""


@dataclass(frozen=True, slots=True)
class Resume:
    """End the drain."""


@dataclass(frozen=True, slots=True)
class Lower:
    """Lower `spec.replicas` to 0, unless the bridge's spec has changed since."""

    resource_version: str
    generation: int


Action = Ask | Drain | Interrupt | Resume | Lower


class Lowering(Enum):
    """What became of a `Lower`."""

    DONE = "Done"
    OVERTAKEN = "Overtaken"
    """Somebody else changed the spec first: theirs counts."""
    FAILED = "Failed"


@dataclass(frozen=True, slots=True)
class Interrupted:
    """How many turns were told to end."""

    turns: int


@dataclass(frozen=True, slots=True)
class Resumed:
    """The drain is over."""


@dataclass(frozen=True, slots=True)
class Unreached:
    """A call to the runner failed; what it did is unknown."""

    reason: str


Answer = Activity | Drained | Interrupted | Resumed | Lowering | Unreached
