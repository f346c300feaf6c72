"""What is said of a volume that grows, that waits for something, and that can't."""

from __future__ import annotations

from typing import Any

import pytest

from repobridge.conditions import Reason
from repobridge_operator.growth import cause_of_growth
from repobridge_operator.refusals import ApiRefusal
from repobridge_operator.resources import naming
from tests.unit.operator.bridges import UID, bridge

NAME = "rb-payments-workspace-0"
SPEC = {"workspace": {"size": "20Gi"}}
BOUND = {"phase": "Bound", "capacity": {"storage": "10Gi"}}
PENDING = "Waiting for user to (re-)start a pod to finish file system resize of volume on node."


def claim(status: dict[str, Any], *, request: str = "20Gi", uid: str = UID) -> dict[str, Any]:
    return {
        "metadata": {"name": NAME, "labels": naming.labels("payments", uid)},
        "spec": {"resources": {"requests": {"storage": request}}},
        "status": status,
    }


def told(found: dict[str, Any] | None, spec: dict[str, Any] = SPEC) -> tuple[Reason, str] | None:
    cause = cause_of_growth(bridge(spec), found, refusal=None)
    return None if cause is None else (cause.reason, cause.message)


def error(kind: str, message: str = "", status: str = "True") -> dict[str, Any]:
    return BOUND | {"conditions": [{"type": kind, "status": status, "message": message}]}


@pytest.mark.parametrize(
    ("status", "detail"),
    [
        (BOUND, "its storage is at work."),
        (error("Resizing"), "its storage is at work."),
        (error("FileSystemResizePending", PENDING), PENDING),
        (error("ControllerResizeError", "no room", "False"), "its storage is at work."),
        (
            BOUND | {"allocatedResourceStatuses": {"storage": "NodeResizePending"}},
            "its storage is at work.",
        ),
    ],
)
def test_a_growth_under_way_is_told(status: dict[str, Any], detail: str) -> None:
    message = f"Claim {NAME} grows to 20Gi: {detail} Sessions go on meanwhile."
    assert told(claim(status)) == (Reason.VOLUME_GROWING, message)


@pytest.mark.parametrize(
    ("status", "detail"),
    [
        (error("ControllerResizeError", "rpc error: volume limit"), "rpc error: volume limit."),
        (error("NodeResizeError"), "NodeResizeError."),
        (
            BOUND | {"allocatedResourceStatuses": {"storage": "NodeResizeInfeasible"}},
            "NodeResizeInfeasible.",
        ),
    ],
)
def test_a_growth_that_fails_is_told(status: dict[str, Any], detail: str) -> None:
    message = (
        f"Claim {NAME} can't grow to 20Gi: {detail} See that its storage class has"
        " allowVolumeExpansion: true, and its storage the room."
    )
    assert told(claim(status)) == (Reason.VOLUME_RESIZE_FAILED, message)


def test_a_claim_without_a_volume_grows_once_it_has_one() -> None:
    reason, message = told(claim({"phase": "Pending"}, request="10Gi")) or (None, "")
    assert reason is Reason.VOLUME_GROWING
    assert "it has no volume yet, and grows once it has one." in message


@pytest.mark.parametrize(
    "found",
    [
        None,
        claim({"phase": "Bound", "capacity": {"storage": "20Gi"}}),
        claim(error("NodeResizeError", "of yesterday") | {"capacity": {"storage": "21Gi"}}),
        claim({"phase": "Pending"}),
        claim(BOUND, uid="another"),
    ],
)
def test_of_any_other_claim_there_is_nothing_to_tell(found: dict[str, Any] | None) -> None:
    assert told(found) is None


def test_a_claim_that_the_spec_names_is_not_ours_to_grow() -> None:
    assert told(claim(BOUND), {"workspace": {"existingClaim": "data"}}) is None


def test_what_the_api_server_refuses_is_told_in_its_words() -> None:
    refusal = ApiRefusal(kind="PersistentVolumeClaim", name=NAME, message="exceeded quota: team")
    cause = cause_of_growth(bridge(SPEC), claim(BOUND), refusal=refusal)
    assert cause is not None
    assert cause.reason is Reason.QUOTA_EXCEEDED
