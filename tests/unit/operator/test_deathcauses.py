"""Why a pod ended, from what the kubelet leaves in its status."""

from __future__ import annotations

from typing import Any

import pytest

from repobridge.conditions import Reason
from repobridge_operator.deathcauses import cause_of_death, is_unexplained, last_words
from repobridge_operator.deaths import replacement_of
from tests.unit.operator.pods import condition, ended, event, failed_by, running

_NO_VOLUME = "repobridge-runner: The volume /workspace is not there; mount one at that path."


def _cause(one: dict[str, Any]) -> tuple[Reason, str]:
    found = cause_of_death(one, replacement_of(one, template_changed=False))
    return found.reason, found.message


@pytest.mark.parametrize(
    ("one", "reason", "told"),
    [
        (
            failed_by(
                "Evicted",
                "The node was low on resource: memory. Threshold quantity: 100Mi, available:"
                " 56Mi. Container runner was using 900Mi, request is 856Mi, has larger consumption"
                " of memory. ",
            ),
            Reason.EVICTED,
            "evicted the pod: The node was low on resource: memory. Threshold",
        ),
        (
            failed_by("Evicted", "Pod ephemeral local storage usage exceeds the total limit of"
                      " containers 4Gi. "),
            Reason.EVICTED,
            "total limit of containers 4Gi. Another one is made by itself",
        ),
        (
            failed_by("Terminated", "Pod was terminated in response to imminent node shutdown."),
            Reason.EVICTED,
            "imminent node shutdown.",
        ),
        (
            failed_by("", "", conditions=[
                condition("DisruptionTarget", "True", reason="DeletionByPodGC",
                          message="PodGC: node no longer exists"),
            ]),
            Reason.EVICTED,
            "PodGC: node no longer exists.",
        ),
        (
            failed_by("OutOfmemory", "Pod was rejected: Node didn't have enough resource: memory"),
            Reason.POD_FAILED,
            "OutOfmemory: Pod was rejected: Node didn't have enough resource: memory.",
        ),
        (failed_by("", ""), Reason.POD_FAILED, "it left no message."),
        (
            ended(code=137, reason="OOMKilled"),
            Reason.OUT_OF_MEMORY,
            "which had used its memory of 2656Mi. Raise scaling.memoryPerSession",
        ),
        (
            ended(code=2, message=f'{{"msg": "runner starts"}}\n{_NO_VOLUME}\n'),
            Reason.POD_FAILED,
            "ended with exit code 2: The volume /workspace is not there; mount one at that path.",
        ),
        (
            ended(code=0, reason="Completed", phase="Succeeded"),
            Reason.POD_FAILED,
            "its runner ended although nobody asked it to: it left no message.",
        ),
        (
            ended(code=2, message=_NO_VOLUME, deaths=5),
            Reason.CRASHING,
            "ended 6 times in a row, last with exit code 2: The volume /workspace is not there;"
            " mount one at that path. Read more with `kubectl logs rb-payments-0`; another pod is"
            " made 40 s after",
        ),
        (ended(code=137, reason="OOMKilled", deaths=9), Reason.OUT_OF_MEMORY, "2656Mi"),
        (
            ended(code=2, reason="OOMKilled", message=_NO_VOLUME),
            Reason.POD_FAILED,
            "ended with exit code 2: The volume /workspace is not there; mount one at that path.",
        ),
    ],
)  # fmt: skip
def test_each_end_has_its_reason(one: dict[str, Any], reason: Reason, told: str) -> None:
    found, message = _cause(one)
    assert found is reason
    assert told in message


_POLITELY = ended(code=0, reason="Completed", phase="Succeeded")
_EVICTION = event("Evicted", "Pod ephemeral local storage usage exceeds the total limit of 4Gi. ")


@pytest.mark.parametrize(
    ("events", "reason", "told"),
    [
        ([_EVICTION], Reason.EVICTED, "exceeds the total limit of 4Gi. Another one"),
        ([event("Killing", "Stopping container runner"), _EVICTION], Reason.EVICTED, "4Gi"),
        (
            [
                event("Unhealthy", "Startup probe failed: connection refused"),
                event("Killing", "Container runner failed startup probe"),
            ],
            Reason.POD_FAILED,
            "Container runner failed startup probe.",
        ),
        (
            [event("Unhealthy", "Startup probe failed: connection refused")],
            Reason.POD_FAILED,
            "although nobody asked it to",
        ),
        ([event("Evicted", "x", uid="another pod")], Reason.POD_FAILED, "although nobody"),
    ],
)
def test_a_polite_end_is_explained_by_the_events(
    events: list[dict[str, Any]], reason: Reason, told: str
) -> None:
    assert is_unexplained(_POLITELY)
    found = cause_of_death(_POLITELY, replacement_of(_POLITELY, template_changed=False), events)
    assert found.reason is reason
    assert told in found.message


@pytest.mark.parametrize(
    "one",
    [
        ended(code=2),
        failed_by("Evicted", ""),
        ended(code=0) | {"status": {**ended(code=0)["status"], "reason": "Evicted"}},
        running(),
    ],
)
def test_what_says_all_by_itself_needs_no_events(one: dict[str, Any]) -> None:
    assert not is_unexplained(one)


def test_the_limit_is_the_one_that_was_in_force() -> None:
    one = ended(code=137, reason="OOMKilled")
    one["status"]["containerStatuses"][0]["resources"] = {"limits": {"memory": "3Gi"}}
    assert "memory of 3Gi" in _cause(one)[1]


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ("", ""),
        ("\n \n", ""),
        ("one\ntwo\n", "two"),
        ("repobridge-runner: first\nTraceback\n", "first"),
        ("x" * 2000, f"{'x' * 999}…"),
    ],
)
def test_last_words_are_short(message: str, expected: str) -> None:
    assert last_words(message) == expected
