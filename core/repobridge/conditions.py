"""The conditions of a RepoBridge: types, constant reasons, and what each tells people to do."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from string import Formatter
from types import MappingProxyType

_LONGEST_MESSAGE = 4096
"""What the schema takes; the API server's and the kubelet's own words can be longer."""


class ConditionType(StrEnum):
    """What a condition is about."""

    ACCEPTED = "Accepted"
    """The spec can be served: nothing in it is wrong, and the channel is this bridge's."""
    READY = "Ready"
    """The runner serves."""
    UPDATE_PENDING = "UpdatePending"
    """The pod is not as the spec has it now; it will be once the bridge is idle."""


class Phase(StrEnum):
    """Where a bridge stands, in one word."""

    SUSPENDED = "Suspended"
    ASLEEP = "Asleep"
    WAKING = "Waking"
    READY = "Ready"
    DRAINING = "Draining"
    FAILED = "Failed"


class Reason(StrEnum):
    """Why a condition is as it is."""

    ACCEPTED = "Accepted"
    AGENT_NOT_SERVED = "AgentNotServed"
    SPEC_INVALID = "SpecInvalid"
    CHANNEL_TAKEN = "ChannelTaken"
    CHANNEL_NOT_ALLOWED = "ChannelNotAllowed"
    NOT_ACCEPTED = "NotAccepted"

    SERVING = "Serving"
    ASLEEP = "Asleep"
    SUSPENDED = "Suspended"
    SCHEDULING = "Scheduling"
    PULLING_IMAGE = "PullingImage"
    STARTING = "Starting"
    CLONING = "Cloning"
    DRAINING = "Draining"
    STOPPING = "Stopping"

    API_REFUSED = "ApiRefused"
    CONFIG_MISSING = "ConfigMissing"
    CONTAINER_FAILED = "ContainerFailed"
    CRASHING = "Crashing"
    EVICTED = "Evicted"
    IMAGE_PULL_FAILED = "ImagePullFailed"
    NAME_TAKEN = "NameTaken"
    NAMESPACE_TERMINATING = "NamespaceTerminating"
    NODE_LOST = "NodeLost"
    OUT_OF_MEMORY = "OutOfMemory"
    POD_FAILED = "PodFailed"
    POD_REJECTED = "PodRejected"
    QUOTA_EXCEEDED = "QuotaExceeded"
    RUNNER_SILENT = "RunnerSilent"
    SECRET_MISSING = "SecretMissing"  # noqa: S105
    UNSCHEDULABLE = "Unschedulable"
    VOLUME_GROWING = "VolumeGrowing"
    VOLUME_MISSING = "VolumeMissing"
    VOLUME_MOUNT_FAILED = "VolumeMountFailed"
    VOLUME_PENDING = "VolumePending"
    VOLUME_RESIZE_FAILED = "VolumeResizeFailed"
    VOLUME_ZONE_CONFLICT = "VolumeZoneConflict"

    CLONE_FAILED = "CloneFailed"
    CREDENTIALS_MISSING = "CredentialsMissing"
    REPOSITORY_REFUSED = "RepositoryRefused"
    WORKSPACE_FAILED = "WorkspaceFailed"
    WORKSPACE_FOREIGN = "WorkspaceForeign"
    WORKSPACE_FULL = "WorkspaceFull"
    WORKSPACE_LOCKED = "WorkspaceLocked"

    RESIZE_REFUSED = "ResizeRefused"
    TEMPLATE_CHANGED = "TemplateChanged"
    UP_TO_DATE = "UpToDate"


SENTENCES: Mapping[Reason, str] = MappingProxyType(
    {
        Reason.ACCEPTED: "The spec can be served.",
        Reason.AGENT_NOT_SERVED: "This version runs no agent of type {type}. Set spec.agent.type to"
        " {served}, or wait for a version that runs it.",
        Reason.SPEC_INVALID: "{path}: {detail}. Correct it and apply the RepoBridge again.",
        Reason.CHANNEL_TAKEN: "Channel {channel} is served by {holder}. Name another channel, or"
        " delete that one: then this one takes over by itself.",
        Reason.CHANNEL_NOT_ALLOWED: "Namespace {namespace} may not have channel {channel}. Name one"
        " that it may have, or ask who runs RepoBridge to allow it in the tenancy settings.",
        Reason.NOT_ACCEPTED: "The spec can't be served: see the condition Accepted.",
        Reason.SERVING: "The runner serves.",
        Reason.ASLEEP: "The bridge sleeps. A message in its channel wakes it, and so does"
        " `kubectl scale rb/{name} --replicas=1`.",
        Reason.SUSPENDED: "The bridge is suspended, and messages wait. Set spec.suspend to false to"
        " go on.",
        Reason.SCHEDULING: "The pod waits for a node.",
        Reason.PULLING_IMAGE: "The node pulls image {image}.",
        Reason.STARTING: "The runner starts.",
        Reason.CLONING: "The runner clones the repository.",
        Reason.DRAINING: "The bridge goes to sleep when its turn ends, or in {seconds} s at most.",
        Reason.STOPPING: "The pod ends.",
        Reason.API_REFUSED: "The API server refuses {what}: {detail} The operator tries again by"
        " itself; if it may not do this, give it the rights of its chart.",
        Reason.CONFIG_MISSING: "The pod can't start without a ConfigMap: {detail} Create it, and"
        " the pod starts by itself.",
        Reason.CONTAINER_FAILED: "The runner's container can't be started: {detail} Look at"
        " spec.pod, above all at image and runtimeClassName.",
        Reason.CRASHING: "The runner ended {times} times in a row, last with exit code {code}:"
        " {detail} Read more with `kubectl logs {pod}`; another pod is made {seconds} s after this"
        " one ended, or as soon as the spec changes.",
        Reason.EVICTED: "The node evicted the pod: {detail} Another one is made by itself; if this"
        " happens often, raise spec.resources.",
        Reason.IMAGE_PULL_FAILED: "Image {image} can't be pulled: {detail} Correct spec.pod.image,"
        " or name a Secret for its registry in spec.pod.imagePullSecrets.",
        Reason.NAME_TAKEN: "{what} is there already and is not this bridge's. Remove it, or give"
        " the RepoBridge another name.",
        Reason.NAMESPACE_TERMINATING: "Namespace {namespace} is being deleted, so nothing can be"
        " made in it.",
        Reason.NODE_LOST: "Node {node} does not answer since {since}. If it is powered off for"
        " certain, `kubectl delete pod {pod} --force --grace-period=0` lets the bridge start"
        " elsewhere; while it may still run, that could damage the workspace.",
        Reason.OUT_OF_MEMORY: "The kernel ended the runner, which had used its memory of {limit}."
        " Raise scaling.memoryPerSession or resources.limits.memory, or lower"
        " scaling.sessionsPerPod.",
        Reason.POD_FAILED: "The pod failed: {detail} Another one is made by itself.",
        Reason.POD_REJECTED: "The cluster's admission rejects the pod: {detail} Change what it"
        " names in the RepoBridge, or the policy.",
        Reason.QUOTA_EXCEEDED: "The namespace's quota is used up: {detail} Raise the quota, lower"
        " spec.resources, or let another bridge sleep; it is tried again by itself.",
        Reason.RUNNER_SILENT: "The runner does not answer the operator: {detail} Read"
        " `kubectl logs {pod}`; a NetworkPolicy may also keep the operator out.",
        Reason.SECRET_MISSING: "The pod can't start without a Secret: {detail} Create it, and the"
        " pod starts by itself.",
        Reason.UNSCHEDULABLE: "No node can take the pod: {detail} Lower spec.resources, change"
        " spec.pod's nodeSelector, tolerations or affinity, or add a node.",
        Reason.VOLUME_GROWING: "Claim {claim} grows to {size}: {detail} Sessions go on meanwhile.",
        Reason.VOLUME_MISSING: "Claim {claim} does not exist. Create it, or correct"
        " workspace.existingClaim.",
        Reason.VOLUME_MOUNT_FAILED: "The node can't mount the workspace: {detail} It is tried again"
        " by itself; if another node still has the volume, that one must let go first.",
        Reason.VOLUME_PENDING: "Claim {claim} has no volume yet: {detail} See that its storage"
        " class exists and can make one of this size.",
        Reason.VOLUME_RESIZE_FAILED: "Claim {claim} can't grow to {size}: {detail} See that its"
        " storage class has allowVolumeExpansion: true, and its storage the room.",
        Reason.VOLUME_ZONE_CONFLICT: "The workspace's volume is in a zone where no node can take"
        " the pod: {detail} Add a node there, or free one.",
        Reason.CLONE_FAILED: "{detail} Correct repository.url and"
        " repository.ref, or let the pod reach the host in network.egress.",
        Reason.CREDENTIALS_MISSING: "The repository needs credentials: {detail} Put them into a"
        " Secret and name it in repository.credentialsSecretRef.",
        Reason.REPOSITORY_REFUSED: "The runner does not take the repository: {detail} Correct"
        " repository.url.",
        Reason.WORKSPACE_FAILED: "The workspace can't be used: {detail}",
        Reason.WORKSPACE_FOREIGN: "The workspace holds something else: {detail} Set repository.url"
        " back, or name another workspace in workspace.subPath or workspace.existingClaim.",
        Reason.WORKSPACE_FULL: "The workspace's volume is full. Raise workspace.size, where its"
        " storage class can grow volumes, or remove files:"
        " `kubectl exec -it {pod} -- sh`.",
        Reason.WORKSPACE_LOCKED: "Another runner uses the workspace: {detail} No two bridges can"
        " share one; give each its own workspace.subPath.",
        Reason.RESIZE_REFUSED: "The pod's memory can't be changed while it runs: {detail} It gets"
        " what the spec says when it sleeps and wakes.",
        Reason.TEMPLATE_CHANGED: "The pod is not as the spec has it now. It is replaced when the"
        " bridge is idle; `kubectl delete pod {pod}` does so at once.",
        Reason.UP_TO_DATE: "The pod is as the spec has it.",
    }
)
"""What each reason tells people; `{…}` is filled in by `sentence`."""


def facts_of(reason: Reason) -> frozenset[str]:
    """What `sentence` has to be told for a reason."""
    return frozenset(name for _, name, _, _ in Formatter().parse(SENTENCES[reason]) if name)


def sentence(reason: Reason, **facts: object) -> str:
    """What a reason means here and what to do, short enough for a condition.

    The facts are those of `facts_of`; a `detail` in somebody else's words gets its full stop.
    """
    if "detail" in facts:
        facts["detail"] = _ended(str(facts["detail"]), stop=reason is not Reason.SPEC_INVALID)
    text = SENTENCES[reason].format_map(facts)
    return text if len(text) <= _LONGEST_MESSAGE else f"{text[: _LONGEST_MESSAGE - 1]}…"


def _ended(detail: str, *, stop: bool) -> str:
    words = " ".join(detail.split())
    if not stop:
        return words.rstrip(".")
    return words if words.endswith((".", "!", "?")) else f"{words}."
