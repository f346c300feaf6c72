"""Why a pod ended: the kubelet's reason, the kernel's, or the runner's own last words."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from repobridge.conditions import Reason, sentence
from repobridge_operator.deaths import Replacement
from repobridge_operator.podstate import condition, runner_status, terminated
from repobridge_operator.refusals import Cause
from repobridge_operator.resources.pod import CONTAINER
from repobridge_operator.startcauses import Event, events_of, words_of

_LAST_WORDS = "repobridge-runner: "
_LONGEST_WORDS = 1000
_BY_THE_NODE = frozenset({"Evicted", "NodeShutdown", "Preempting", "Shutdown", "Terminated"})
_NO_WORDS = "it left no message"
_KILLED = 137


def cause_of_death(
    pod: Mapping[str, Any], replacement: Replacement, events: Iterable[Event] = ()
) -> Cause:
    """The reason and the sentence for a finished pod; `events` are for one without a word."""
    status, ended = pod.get("status") or {}, terminated(pod)
    reason, words = str(status.get("reason") or ""), str(status.get("message") or "")
    if reason in _BY_THE_NODE:
        return _cause(Reason.EVICTED, detail=words or reason)
    disruption = condition(pod, "DisruptionTarget")
    if disruption.get("status") == "True":
        detail = str(disruption.get("message") or disruption.get("reason"))
        return _cause(Reason.EVICTED, detail=detail)
    if ended is None:
        return _cause(Reason.POD_FAILED, detail=f"{reason}: {words}" if reason else _NO_WORDS)
    if is_unexplained(pod) and (told := _told_by(events, pod)):
        return told
    # The runtime says so, too, of a runner that ends by itself after an agent of it was killed.
    if ended.get("reason") == "OOMKilled" and ended.get("exitCode") == _KILLED:
        return _cause(Reason.OUT_OF_MEMORY, limit=_memory_limit(pod))
    return _of_exit(pod, ended, replacement)


def is_unexplained(pod: Mapping[str, Any]) -> bool:
    """Whether a pod ended politely and its status does not say who asked for it.

    A runner that ends well within the grace of an eviction makes its pod one that succeeded (seen
    with Kubernetes 1.35): then only an event tells.
    """
    ended, status = terminated(pod), pod.get("status") or {}
    asked = status.get("reason") or condition(pod, "DisruptionTarget").get("status") == "True"
    return ended is not None and ended.get("exitCode") == 0 and not asked


def _told_by(events: Iterable[Event], pod: Mapping[str, Any]) -> Cause | None:
    for event in events_of(pod, events):
        words = words_of(event)
        if event.get("reason") in _BY_THE_NODE:
            return _cause(Reason.EVICTED, detail=words)
        if event.get("reason") == "Killing" and "probe" in words:
            return _cause(Reason.POD_FAILED, detail=words)
    return None


def _of_exit(pod: Mapping[str, Any], ended: Mapping[str, Any], replacement: Replacement) -> Cause:
    code, words = int(ended.get("exitCode", 0)), last_words(str(ended.get("message") or ""))
    if replacement.is_crashing:
        return _cause(
            Reason.CRASHING,
            times=replacement.deaths,
            code=code,
            detail=words or _NO_WORDS,
            pod=pod["metadata"]["name"],
            seconds=replacement.wait_seconds,
        )
    how = f"with exit code {code}" if code else "although nobody asked it to"
    return _cause(Reason.POD_FAILED, detail=f"its runner ended {how}: {words or _NO_WORDS}")


def last_words(message: str) -> str:
    """What a person should read of a termination message: the runner's sentence, or its end.

    The agent has the runner's user and may write there: it is shown as text, and decides nothing.
    """
    lines = [line.strip() for line in message.splitlines() if line.strip()]
    if not lines:
        return ""
    told = [line for line in lines if line.startswith(_LAST_WORDS)]
    words = told[-1].removeprefix(_LAST_WORDS) if told else lines[-1]
    return words if len(words) <= _LONGEST_WORDS else f"{words[: _LONGEST_WORDS - 1]}…"


def _memory_limit(pod: Mapping[str, Any]) -> str:
    """The limit that was in force: a resize may have changed it since the pod was made."""
    made: list[Mapping[str, Any]] = [
        each for each in pod["spec"]["containers"] if each.get("name") == CONTAINER
    ]
    for each in (runner_status(pod), *made):
        limit = ((each.get("resources") or {}).get("limits") or {}).get("memory")
        if limit:
            return str(limit)
    return "unknown size"


def _cause(reason: Reason, **facts: object) -> Cause:
    return Cause(reason, sentence(reason, **facts))
