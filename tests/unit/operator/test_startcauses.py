"""Why a pod does not start, from what scheduler and kubelet really say."""

from __future__ import annotations

from typing import Any

import pytest

from repobridge.conditions import Reason
from repobridge_operator.startcauses import cause_of_waiting, is_pulling, pulling
from tests.unit.operator.pods import event, pod, unscheduled, waiting

TLS = "rb-payments-tls"
_IMAGE = "registry.example/repobridge/session-runner:0.1.0"
_NOT_FOUND = (
    f'failed to pull and unpack image "{_IMAGE}": failed to resolve reference "{_IMAGE}":'
    f" {_IMAGE}: not found"
)


def _cause(one: dict[str, Any], *events: dict[str, Any]) -> tuple[Reason, str] | None:
    found = cause_of_waiting(one, events, tls=TLS)
    return (found.reason, found.message) if found else None


@pytest.mark.parametrize(
    ("message", "reason", "told"),
    [
        (
            "0/3 nodes are available: 3 Insufficient memory. preemption: 0/3 nodes are available:"
            " 3 No preemption victims found for incoming pod.",
            Reason.UNSCHEDULABLE,
            "No node can take the pod: 0/3 nodes are available: 3 Insufficient memory. Lower",
        ),
        (
            "0/2 nodes are available: 1 node(s) had untolerated taint {dedicated: ci}, 1 node(s)"
            " didn't match Pod's node affinity/selector. preemption: 0/2 nodes are available:"
            " 2 Preemption is not helpful for scheduling.",
            Reason.UNSCHEDULABLE,
            "untolerated taint {dedicated: ci}",
        ),
        (
            "0/2 nodes are available: 1 node(s) didn't match PersistentVolume's node affinity,"
            " 1 node(s) had untolerated taint(s). no new claims to deallocate, preemption: 0/2"
            " nodes are available: 2 Preemption is not helpful for scheduling.",
            Reason.VOLUME_ZONE_CONFLICT,
            "in a zone where no node can take the pod: 0/2 nodes",
        ),
        (
            "0/3 nodes are available: 3 node(s) had volume node affinity conflict.",
            Reason.VOLUME_ZONE_CONFLICT,
            "3 node(s) had volume node affinity conflict. Add a node there",
        ),
        (
            "0/3 nodes are available: 1 Insufficient cpu, 2 node(s) didn't match"
            " PersistentVolume's node affinity.",
            Reason.UNSCHEDULABLE,
            "1 Insufficient cpu",
        ),
        (
            "0/3 nodes are available: 1 node(s) were unschedulable, 2 node(s) didn't match"
            " PersistentVolume's node affinity.",
            Reason.UNSCHEDULABLE,
            "were unschedulable",
        ),
        (
            '0/1 nodes are available: persistentvolumeclaim "data" not found. preemption: 0/1'
            " nodes are available: 1 Preemption is not helpful for scheduling.",
            Reason.VOLUME_MISSING,
            "Claim data does not exist.",
        ),
        (
            "0/1 nodes are available: pod has unbound immediate PersistentVolumeClaims."
            " preemption: 0/1 nodes are available: 1 Preemption is not helpful for scheduling.",
            Reason.VOLUME_PENDING,
            "Claim rb-payments-workspace-0 has no volume yet",
        ),
        (
            "0/1 nodes are available: 1 node(s) did not have enough free storage.",
            Reason.VOLUME_PENDING,
            "did not have enough free storage",
        ),
        ("", Reason.UNSCHEDULABLE, "no details are given"),
    ],
)
def test_the_scheduler_says_why_no_node_will_do(message: str, reason: Reason, told: str) -> None:
    found = _cause(unscheduled(message))
    assert found is not None
    assert found[0] is reason
    assert told in found[1]
    assert "preemption" not in found[1].lower()


@pytest.mark.parametrize(
    ("state", "message", "reason", "told"),
    [
        ("ErrImagePull", _NOT_FOUND, Reason.IMAGE_PULL_FAILED, "not found. Correct"),
        (
            "InvalidImageName",
            'Failed to apply default image tag "Acme/Runner": couldn\'t parse image name',
            Reason.IMAGE_PULL_FAILED,
            "couldn't parse image name",
        ),
        (
            "ErrImageNeverPull",
            'Container image "x" is not present with pull policy of Never',
            Reason.IMAGE_PULL_FAILED,
            "pull policy of Never",
        ),
        (
            "CreateContainerConfigError",
            'secret "anthropic" not found',
            Reason.SECRET_MISSING,
            'secret "anthropic" not found. Create it',
        ),
        (
            "CreateContainerConfigError",
            "couldn't find key npm in Secret team/tokens",
            Reason.SECRET_MISSING,
            "couldn't find key npm in Secret team/tokens.",
        ),
        (
            "CreateContainerConfigError",
            'configmap "site" not found',
            Reason.CONFIG_MISSING,
            'configmap "site" not found.',
        ),
        (
            "CreateContainerConfigError",
            "couldn't find key region in ConfigMap team/site",
            Reason.CONFIG_MISSING,
            "couldn't find key region",
        ),
        (
            "CreateContainerConfigError",
            'failed to create subPath directory for volumeMount "workspace" of container "runner"',
            Reason.VOLUME_MOUNT_FAILED,
            "failed to create subPath directory",
        ),
        (
            "CreateContainerConfigError",
            "container has runAsNonRoot and image will run as root",
            Reason.CONTAINER_FAILED,
            "image will run as root.",
        ),
        (
            "RunContainerError",
            "failed to create containerd task: exec: no such file or directory",
            Reason.CONTAINER_FAILED,
            "no such file or directory",
        ),
        ("CreateContainerError", "", Reason.CONTAINER_FAILED, "CreateContainerError."),
    ],
)
def test_the_kubelet_says_why_the_container_waits(
    state: str, message: str, reason: Reason, told: str
) -> None:
    found = _cause(waiting(state, message))
    assert found is not None
    assert found[0] is reason
    assert told in found[1]


def test_a_pull_that_backs_off_says_what_the_pull_said() -> None:
    failed = _cause(waiting("ErrImagePull", f"rpc error: code = NotFound desc = {_NOT_FOUND}"))
    for again in (
        f'Back-off pulling image "{_IMAGE}": ErrImagePull: {_NOT_FOUND}',
        f'Back-off pulling image "{_IMAGE}": ErrImagePull: rpc error: code = NotFound desc ='
        f" {_NOT_FOUND}",
    ):
        assert _cause(waiting("ImagePullBackOff", again)) == failed


def test_a_pull_that_says_nothing_is_told_by_its_name() -> None:
    found = _cause(waiting("ImagePullBackOff"))
    assert found is not None
    assert "can't be pulled: ImagePullBackOff." in found[1]


@pytest.mark.parametrize(
    ("why", "note", "reason"),
    [
        (
            "FailedMount",
            'MountVolume.SetUp failed for volume "git" : secret "payments-git" not found',
            Reason.SECRET_MISSING,
        ),
        (
            "FailedMount",
            'MountVolume.SetUp failed for volume "extra-key" : references non-existent secret key:'
            " id_rsa",
            Reason.SECRET_MISSING,
        ),
        (
            "FailedMount",
            'MountVolume.SetUp failed for volume "extra-ca" : configmap "company-ca" not found',
            Reason.CONFIG_MISSING,
        ),
        (
            "FailedAttachVolume",
            'Multi-Attach error for volume "pvc-8f21" Volume is already exclusively attached to one'
            " node and can't be attached to another",
            Reason.VOLUME_MOUNT_FAILED,
        ),
        (
            "FailedMount",
            'MountVolume.MountDevice failed for volume "pvc-8f21" : rpc error: code = Internal',
            Reason.VOLUME_MOUNT_FAILED,
        ),
        (
            "FailedCreatePodSandBox",
            'Failed to create pod sandbox: no runtime for "gvisor" is configured',
            Reason.CONTAINER_FAILED,
        ),
    ],
)
def test_events_say_what_the_pod_does_not(why: str, note: str, reason: Reason) -> None:
    found = _cause(waiting("ContainerCreating"), event(why, note))
    assert found is not None
    assert found[0] is reason


def test_an_event_of_the_older_form_is_read_too() -> None:
    old = {
        "reason": "FailedMount",
        "message": 'MountVolume.SetUp failed for volume "git" : secret "payments-git" not found',
        "type": "Warning",
        "involvedObject": event("x")["regarding"],
        "lastTimestamp": "2026-11-21T12:00:00Z",
    }
    found = _cause(waiting("ContainerCreating"), old)
    assert found is not None
    assert found[0] is Reason.SECRET_MISSING


@pytest.mark.parametrize(
    "events",
    [
        (),
        (event("Scheduled", kind="Normal"),),
        (event("FailedMount", 'secret "x" not found', uid="another pod"),),
        (event("FailedMount", f'MountVolume.SetUp failed : secret "{TLS}" not found'),),
        (event("FailedMount", "Unable to attach or mount volumes: timed out waiting for the"
               " condition"),),
        (event("FailedMount", 'object "team"/"payments-git" not registered'),),
        (
            event("FailedMount", 'secret "git" not found', at="2026-11-21T12:00:01Z"),
            event("Pulling", at="2026-11-21T12:00:09Z", kind="Normal"),
        ),
    ],
    ids=["none", "other", "another pod's", "our own Secret", "time-out", "noise", "got over"],
)  # fmt: skip
def test_a_pod_on_its_way_has_no_cause(events: tuple[dict[str, Any], ...]) -> None:
    assert _cause(waiting("ContainerCreating"), *events) is None
    assert _cause(pod()) is None


def test_a_pull_is_seen_until_it_is_over() -> None:
    begun = event("Pulling", at="2026-11-21T12:00:01Z", kind="Normal")
    over = event("Pulled", at="2026-11-21T12:00:31Z", kind="Normal")
    one = waiting("ContainerCreating")
    assert is_pulling(one, [begun])
    assert not is_pulling(one, [over, begun])
    assert not is_pulling(one, [])
    assert pulling(one).message == f"The node pulls image {_IMAGE}."
