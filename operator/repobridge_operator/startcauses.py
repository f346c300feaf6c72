"""Why a pod does not run yet: from the scheduler's condition, the kubelet's state, and events.

The texts are those of Kubernetes 1.30 to 1.35; what none of them fits is told as it stands, under
a wider reason.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from repobridge.conditions import Reason, sentence
from repobridge_operator.podstate import condition, waiting
from repobridge_operator.refusals import Cause
from repobridge_operator.resources.pod import CONTAINER

Event = Mapping[str, Any]

_ZONE = re.compile(
    r"didn't match PersistentVolume's node affinity|had volume node affinity conflict"
    r"|had no available volume zone"
)
_SCARCE = re.compile(r"Insufficient |Too many pods|unschedulable")
_NO_CLAIM = re.compile(r'persistentvolumeclaim "([^"]+)" not found')
_NO_VOLUME = re.compile(
    r"unbound immediate PersistentVolumeClaims|didn't find available persistent volumes to bind"
    r"|did not have enough free storage|bound to non-existent pv|is being deleted"
)
_SECRET = re.compile(
    r'secrets? "(?P<name>[^"]+)" not found|references non-existent secret key: \S+'
    r"|couldn't find key \S+ in Secret \S+"
)
_CONFIG = re.compile(
    r'configmaps? "[^"]+" not found|references non-existent config key: \S+'
    r"|couldn't find key \S+ in ConfigMap \S+"
)
_IMAGE = frozenset(
    {"ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull",
     "ImageInspectError", "RegistryUnavailable", "SignatureValidationFailed"}
)  # fmt: skip
_PULL_NOISE = re.compile(
    r'^(?:Back-off pulling image "[^"]*": )?(?:(?:ErrImagePull|RegistryUnavailable): )*'
    r"(?:rpc error: code = \w+ desc = )?"
)
_TOLD = frozenset(
    {"FailedMount", "FailedAttachVolume", "FailedMapVolume", "FailedCreatePodSandBox", "Pulling",
     "Pulled", "SuccessfulAttachVolume", "Created", "Started"}
)  # fmt: skip
_NOT_YET = re.compile(r"timed out waiting for the condition|object \S+ not registered|context ")
_NO_WORDS = "no details are given"


def cause_of_waiting(pod: Mapping[str, Any], events: Iterable[Event], *, tls: str) -> Cause | None:
    """What keeps a pod from running; None while it is merely on its way.

    `tls` is the Secret that the operator itself makes: nobody is asked to create that one.
    """
    scheduled = condition(pod, "PodScheduled")
    if scheduled.get("status") == "False":
        return _unscheduled(str(scheduled.get("message", "")), pod)
    state = waiting(pod)
    reason, words = str(state.get("reason", "")), str(state.get("message", ""))
    if reason in _IMAGE:
        detail = _PULL_NOISE.sub("", words) or reason
        return _cause(Reason.IMAGE_PULL_FAILED, image=_image(pod), detail=detail)
    if reason.endswith("Error"):
        return _unstartable(words or reason)
    event = _telling(pod, events)
    return _of_event(event, tls) if event is not None else None


def is_pulling(pod: Mapping[str, Any], events: Iterable[Event]) -> bool:
    """Whether the node pulls the image."""
    event = _telling(pod, events)
    return event is not None and event.get("reason") == "Pulling"


def pulling(pod: Mapping[str, Any]) -> Cause:
    """What is told meanwhile."""
    return _cause(Reason.PULLING_IMAGE, image=_image(pod))


def _unscheduled(words: str, pod: Mapping[str, Any]) -> Cause:
    detail = words.partition(" preemption: ")[0].rstrip(" ,") or _NO_WORDS
    if found := _NO_CLAIM.search(words):
        return _cause(Reason.VOLUME_MISSING, claim=found[1])
    if _NO_VOLUME.search(words):
        return _cause(Reason.VOLUME_PENDING, claim=_claim(pod), detail=detail)
    if _ZONE.search(words) and not _SCARCE.search(words):
        return _cause(Reason.VOLUME_ZONE_CONFLICT, detail=detail)
    return _cause(Reason.UNSCHEDULABLE, detail=detail)


def _unstartable(words: str) -> Cause:
    if _SECRET.search(words):
        return _cause(Reason.SECRET_MISSING, detail=words)
    if _CONFIG.search(words):
        return _cause(Reason.CONFIG_MISSING, detail=words)
    if "subPath" in words:
        return _cause(Reason.VOLUME_MOUNT_FAILED, detail=words)
    return _cause(Reason.CONTAINER_FAILED, detail=words)


def _of_event(event: Event, tls: str) -> Cause | None:
    words = words_of(event)
    if event.get("reason") == "FailedCreatePodSandBox":
        return _cause(Reason.CONTAINER_FAILED, detail=words)
    if event.get("reason") not in {"FailedMount", "FailedAttachVolume", "FailedMapVolume"}:
        return None
    if found := _SECRET.search(words):
        return None if found["name"] == tls else _cause(Reason.SECRET_MISSING, detail=words)
    if _CONFIG.search(words):
        return _cause(Reason.CONFIG_MISSING, detail=words)
    return _cause(Reason.VOLUME_MOUNT_FAILED, detail=words)


def _telling(pod: Mapping[str, Any], events: Iterable[Event]) -> Event | None:
    """The last event of this pod that says something of its start."""
    for event in events_of(pod, events):
        noise = event.get("type") == "Warning" and _NOT_YET.search(words_of(event))
        if event.get("reason") in _TOLD and not noise:
            return event
    return None


def events_of(pod: Mapping[str, Any], events: Iterable[Event]) -> list[Event]:
    """The events about this very pod, the last one first."""
    uid = pod["metadata"].get("uid")
    ours = [event for event in events if _regarding(event).get("uid") == uid]
    return sorted(ours, key=_when, reverse=True)


def words_of(event: Event) -> str:
    """What an event says, in either of its forms."""
    return str(event.get("note") or event.get("message") or _NO_WORDS)


def _regarding(event: Event) -> Mapping[str, Any]:
    return event.get("regarding") or event.get("involvedObject") or {}


def _when(event: Event) -> str:
    """Times of one form, so that their texts have their order."""
    series = event.get("series") or {}
    last = event.get("deprecatedLastTimestamp") or event.get("lastTimestamp")
    return str(series.get("lastObservedTime") or last or event.get("eventTime") or "")


def _image(pod: Mapping[str, Any]) -> str:
    for container in pod["spec"]["containers"]:
        if container.get("name") == CONTAINER:
            return str(container.get("image", ""))
    return ""


def _claim(pod: Mapping[str, Any]) -> str:
    for volume in pod["spec"].get("volumes") or ():
        if volume.get("name") == "workspace":
            return str((volume.get("persistentVolumeClaim") or {}).get("claimName", ""))
    return ""


def _cause(reason: Reason, **facts: object) -> Cause:
    return Cause(reason, sentence(reason, **facts))
