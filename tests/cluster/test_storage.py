"""What the node's provisioner decides: which claims get which volume, and when one is done with."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.cluster.addresses import NODE_NAME
from tests.cluster.storage import is_done_with, make_volume, wants_growth, wants_volume

SELECTED = {"volume.kubernetes.io/selected-node": NODE_NAME}
OURS = {"pv.kubernetes.io/provisioned-by": "repobridge.dev/local"}


def make_claim(
    *, storage_class: str = "local", volume: str = "", annotations: dict[str, str] | None = None
) -> dict[str, Any]:
    return {
        "metadata": {
            "name": "data",
            "namespace": "team",
            "uid": "1234",
            "annotations": annotations or {},
        },
        "spec": {
            "accessModes": ["ReadWriteOnce"],
            "resources": {"requests": {"storage": "1Gi"}},
            "storageClassName": storage_class,
            "volumeName": volume,
        },
    }


@pytest.mark.parametrize(
    ("claim", "wants"),
    [
        (make_claim(annotations=SELECTED), True),
        (make_claim(annotations=SELECTED, storage_class="sized"), True),
        (make_claim(), False),
        (make_claim(annotations=SELECTED, volume="pvc-1234"), False),
        (make_claim(annotations=SELECTED, storage_class="other"), False),
    ],
)
def test_a_claim_gets_a_volume_once_its_pod_has_a_node(claim: dict[str, Any], wants: bool) -> None:
    assert wants_volume(claim) is wants


def test_a_volume_is_for_its_claim_and_its_node_alone() -> None:
    volume = make_volume(make_claim(annotations=SELECTED), Path("/volumes/pvc-1234"))

    here = {"key": "kubernetes.io/hostname", "operator": "In", "values": [NODE_NAME]}
    assert volume == {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": "pvc-1234", "annotations": OURS},
        "spec": {
            "capacity": {"storage": "1Gi"},
            "accessModes": ["ReadWriteOnce"],
            "storageClassName": "local",
            "persistentVolumeReclaimPolicy": "Delete",
            "local": {"path": "/volumes/pvc-1234"},
            "nodeAffinity": {"required": {"nodeSelectorTerms": [{"matchExpressions": [here]}]}},
            "claimRef": {
                "apiVersion": "v1",
                "kind": "PersistentVolumeClaim",
                "namespace": "team",
                "name": "data",
                "uid": "1234",
            },
        },
    }


@pytest.mark.parametrize(
    ("claim", "capacity", "wants"),
    [
        (make_claim(volume="pvc-1234"), "512Mi", True),
        (make_claim(volume="pvc-1234", storage_class="sized"), "512Mi", True),
        (make_claim(volume="pvc-1234"), "1024Mi", False),
        (make_claim(volume="pvc-1234"), None, False),
        (make_claim(volume="another"), "512Mi", False),
        (make_claim(volume="pvc-1234", storage_class="other"), "512Mi", False),
    ],
)
def test_a_volume_of_ours_grows_to_what_its_claim_asks_for(
    claim: dict[str, Any], capacity: str | None, wants: bool
) -> None:
    claim["status"] = {"capacity": {"storage": capacity}} if capacity else {"phase": "Pending"}
    assert wants_growth(claim) is wants


@pytest.mark.parametrize(
    ("annotations", "policy", "phase", "is_done"),
    [
        (OURS, "Delete", "Released", True),
        (OURS, "Delete", "Bound", False),
        (OURS, "Retain", "Released", False),
        ({}, "Delete", "Released", False),
    ],
)
def test_a_volume_is_done_with_when_its_claim_is_gone_and_nobody_keeps_it(
    annotations: dict[str, str], policy: str, phase: str, is_done: bool
) -> None:
    volume = {
        "metadata": {"name": "pvc-1234", "annotations": annotations},
        "spec": {"persistentVolumeReclaimPolicy": policy},
        "status": {"phase": phase},
    }

    assert is_done_with(volume) is is_done
