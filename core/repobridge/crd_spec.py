"""The spec of a RepoBridge as a whole: what people write."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, ClassVar

from pydantic import Field

from repobridge import durations, quantities
from repobridge.crd_access import Access, Limits
from repobridge.crd_agent import Agent, Discord, Repository
from repobridge.crd_base import (
    Duration,
    Model,
    ObjectName,
    Quantity,
    Rule,
    duration_between,
    matching,
    quantity_from,
)
from repobridge.crd_network import Egress
from repobridge.crd_pod import PodOverrides, Resources

DEFAULT_SIZE = "10Gi"
"""Of a workspace whose claim the operator makes."""


class Output(Model):
    """How answers reach the channel."""

    attachment_threshold: Annotated[int, Field(ge=1, le=100_000)] = 1500
    """Characters above which an answer comes as a file."""
    streaming: bool = True
    """Whether an answer can be read while it grows."""


class Scaling(Model):
    """When the bridge sleeps, and how large it gets while awake."""

    idle_timeout: Annotated[Duration, duration_between("1s", "720h")] = "10m"
    """How long it may be idle before it sleeps."""
    min_replicas: Annotated[int, Field(ge=0, le=1)] = 0
    """1: it never sleeps, unless suspended."""
    sessions_per_pod: Annotated[int, Field(ge=1, le=64)] = 4
    """How many sessions may be live at once; the least recently used idle one makes room."""
    memory_per_session: Annotated[Quantity, quantity_from("64Mi")] = "600Mi"
    """What each live session adds to the memory of the pod."""
    max_awake: Annotated[Duration, duration_between("1m", "8784h")] = "24h"
    """How long what nobody waits for, such as a background task, may keep it awake."""
    drain_timeout: Annotated[Duration, duration_between("0s", "24h")] = "5m"
    """How long a turn may go on when the bridge is told to sleep; then it is interrupted."""

    @property
    def idle_seconds(self) -> float:
        """The idle time-out in seconds."""
        return durations.seconds(durations.parse(self.idle_timeout))

    @property
    def max_awake_seconds(self) -> float:
        """The bound on staying awake in seconds."""
        return durations.seconds(durations.parse(self.max_awake))

    @property
    def drain_seconds(self) -> float:
        """The time for draining in seconds."""
        return durations.seconds(durations.parse(self.drain_timeout))

    @property
    def bytes_per_session(self) -> int:
        """The memory of a session in bytes."""
        return quantities.whole(self.memory_per_session)


class Reclaim(StrEnum):
    """What becomes of the workspace when the bridge is deleted."""

    RETAIN = "Retain"
    DELETE = "Delete"


class Workspace(Model):
    """The volume with the checkout, the sessions and their log."""

    RULES: ClassVar[tuple[Rule, ...]] = (
        Rule(
            cel="!has(self.existingClaim) || (!has(self.size) && !has(self.storageClassName))",
            message="existingClaim names a claim that has its own size and class: remove size and"
            " storageClassName, or existingClaim",
            holds=lambda w: (
                w.existing_claim is None or (w.size is None and w.storage_class_name is None)
            ),
        ),
        Rule(
            cel="!has(self.existingClaim) || self.reclaim == 'Retain'",
            message="reclaim can't be Delete for an existingClaim: RepoBridge deletes only claims"
            " that it made",
            holds=lambda w: w.existing_claim is None or w.reclaim is Reclaim.RETAIN,
        ),
        Rule(
            cel="has(self.existingClaim) || has(oldSelf.existingClaim)"
            " || quantity(has(self.size) ? string(self.size) : 'DEFAULT').compareTo("
            "quantity(has(oldSelf.size) ? string(oldSelf.size) : 'DEFAULT')) >= 0".replace(
                "DEFAULT", DEFAULT_SIZE
            ),
            message="size can only grow, as no volume shrinks; absent means 10Gi",
            holds=None,
        ),
        Rule(
            cel="has(self.existingClaim) || has(oldSelf.existingClaim)"
            " || (has(self.storageClassName) ? self.storageClassName : '')"
            " == (has(oldSelf.storageClassName) ? oldSelf.storageClassName : '')",
            message="storageClassName can't be changed: make another RepoBridge, or move the files"
            " to a claim of that class and name it in existingClaim",
            holds=None,
        ),
    )
    size: Annotated[Quantity, quantity_from("64Mi")] | None = None
    """How large it is; it may grow later, where the storage allows it. Absent: 10Gi."""
    storage_class_name: ObjectName | None = None
    """The StorageClass; absent: the cluster's default. It can't be changed."""
    existing_claim: ObjectName | None = None
    """A PersistentVolumeClaim that is used instead of one that the operator makes."""
    sub_path: Annotated[
        str,
        Field(max_length=255),
        matching("(?:[!-.0-~][!-~]*)?", "must be a relative path"),
        Rule(
            cel="!self.contains('..')",
            message="must not lead out of the volume",
            holds=lambda path: ".." not in path,
        ),
    ] = ""
    """Which folder of the volume is the workspace; absent: all of it."""
    reclaim: Reclaim = Reclaim.RETAIN
    """Retain: the claim stays when the bridge is deleted; Delete: it goes, and its sessions."""

    @property
    def size_bytes(self) -> int:
        """The size of the claim that the operator makes, in bytes."""
        return quantities.whole(self.size or DEFAULT_SIZE)


class Network(Model):
    """Where the pod may connect to. Nobody but gateway and operator may connect to it."""

    egress: Egress | None = None
    """Absent: DNS, and ports 443 and 22 of all but private addresses; an empty list: nowhere."""


class RepoBridgeSpec(Model):
    """What somebody wants: a repository, an agent that works on it, a channel to talk to it."""

    replicas: Annotated[int, Field(ge=0, le=1)] = 0
    """The wish to be awake (1) or asleep (0), for /scale and the gateway: leave it out of files."""
    suspend: bool = False
    """True: it sleeps until this is false again; messages wait, and the channel is told."""
    repository: Repository | None = None
    discord: Discord | None = None
    agent: Agent = Agent()
    access: Annotated[tuple[Access, ...], Field(max_length=20)] = ()
    """Who may do what. Absent: what the gateway's settings say, for a guild as a whole."""
    limits: Limits | None = None
    output: Output = Output()
    scaling: Scaling = Scaling()
    workspace: Workspace = Workspace()
    resources: Resources = Resources()
    pod: PodOverrides = PodOverrides()
    network: Network = Network()
