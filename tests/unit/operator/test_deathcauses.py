"""Why a pod ended, from what the kubelet leaves in its status."""

from __future__ import annotations

from typing import Any

import pytest

from repobridge.conditions import Reason
from repobridge_operator.deathcauses import cause_of_death, last_words
from repobridge_operator.deaths import replacement_of
from tests.unit.operator.pods import condition, ended, failed_by

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
    ],
)  # fmt: skip
def test_each_end_has_its_reason(one: dict[str, Any], reason: Reason, told: str) -> None:
    found, message = _cause(one)
    assert found is reason
    assert told in message


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
