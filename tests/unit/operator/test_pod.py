"""A pod is safe whatever its spec says, and its hash changes with what it is made from."""

from __future__ import annotations

import json
import random
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from repobridge_operator.resources import naming
from repobridge_operator.resources.pod import make_pod, template_changed, template_hash
from repobridge_runner import ownenvironment
from repobridge_runner import settings as runner_side
from tests.unit.operator.bridges import FULL, SETTINGS, UID, bridge

_ALLOWED_VOLUMES = {
    "configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim",
    "projected", "secret",
}  # fmt: skip


def _pod(spec: Mapping[str, Any] | None = None) -> dict[str, Any]:
    return make_pod(bridge(spec), settings=SETTINGS)


def _with(path: str, value: Any) -> dict[str, Any]:
    """The full spec with one field changed."""
    spec = deepcopy(FULL)
    *way, last = path.split(".")
    at = spec
    for step in way:
        at = at.setdefault(step, {})
    at[last] = value
    return spec


# ------------------------------------------------------------------- restricted Pod Security


@pytest.mark.parametrize("spec", [{}, FULL], ids=["minimal", "full"])
def test_the_pod_keeps_to_the_restricted_standard(spec: dict[str, Any]) -> None:
    pod = _pod(spec)["spec"]
    assert not {"hostNetwork", "hostPID", "hostIPC", "initContainers"} & set(pod)
    assert pod["securityContext"] == {
        "runAsNonRoot": True,
        "runAsUser": 65532,
        "runAsGroup": 65532,
        "fsGroup": 65532,
        "fsGroupChangePolicy": "OnRootMismatch",
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    (container,) = pod["containers"]
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "readOnlyRootFilesystem": True,
    }
    assert all("hostPort" not in port for port in container["ports"])
    for volume in pod["volumes"]:
        assert set(volume) - {"name"} <= _ALLOWED_VOLUMES


@pytest.mark.parametrize("spec", [{}, FULL], ids=["minimal", "full"])
def test_the_pod_has_no_way_to_the_kubernetes_api(spec: dict[str, Any]) -> None:
    pod = _pod(spec)["spec"]
    assert pod["automountServiceAccountToken"] is False
    assert pod["enableServiceLinks"] is False
    assert "serviceAccountName" not in pod
    assert not any("projected" in volume for volume in pod["volumes"])


def test_labels_of_ours_win_over_those_of_an_object_stored_before_the_rule() -> None:
    one = bridge(FULL)
    overrides = one.spec.pod.model_copy(update={"labels": {naming.LABEL_UID: "another"}})
    spec = one.spec.model_copy(update={"pod": overrides})
    pod = make_pod(one.model_copy(update={"spec": spec}), settings=SETTINGS)
    assert pod["metadata"]["labels"] == naming.labels("payments", UID)


def test_the_kubelet_waits_longer_than_the_runner_takes_to_end() -> None:
    pod = make_pod(bridge(), settings=replace(SETTINGS, shutdown_grace_seconds=40))
    told = json.loads(pod["spec"]["containers"][0]["env"][0]["value"])
    assert told["shutdown_grace_seconds"] == 40
    assert pod["spec"]["terminationGracePeriodSeconds"] >= 50


# --------------------------------------------------------------------- what the runner is told


def _expanded(value: str) -> str:
    """What the kubelet makes of a variable's value that refers to no other variable."""
    return value.replace("$$", "$")


def _environment(pod: Mapping[str, Any]) -> dict[str, str]:
    variables = pod["spec"]["containers"][0]["env"]
    return {each["name"]: _expanded(each["value"]) for each in variables if "value" in each}


@pytest.mark.parametrize("spec", [{}, FULL], ids=["minimal", "full"])
def test_the_runner_can_read_its_settings(spec: dict[str, Any], tmp_path: Path) -> None:
    own = ownenvironment.part(_environment(_pod(spec)))
    file = tmp_path / "settings.json"
    file.write_text(own.settings, encoding="utf-8")
    settings = runner_side.load(file)
    assert (settings.bridge_uid, str(settings.state_dir)) == (UID, "/workspace/state")


def test_the_runner_is_told_what_the_spec_says(tmp_path: Path) -> None:
    own = ownenvironment.part(_environment(_pod(FULL)))
    file = tmp_path / "settings.json"
    file.write_text(own.settings, encoding="utf-8")
    settings = runner_side.load(file)
    assert settings.agent == runner_side.AgentSettings(
        model="opus",
        permission_mode="acceptEdits",
        append_system_prompt="Never touch $HOME, nor $(HOME).\nBe brief.",
        allowed_tools=("Bash(git log:*)",),
        resume=False,
        commit_name="RepoBridge payments",
        commit_email="payments@team.repobridge.invalid",
    )
    assert settings.repository == runner_side.RepositorySettings(
        url="https://git.example/acme/payments.git",
        ref="main",
        credentials_dir="/etc/repobridge/git",
    )
    assert settings.live_sessions == 2
    assert (own.agent, own.runner) == (
        {"LEVEL": "$(HOME) costs 5 $"},
        {"HOME": "/workspace/home"},
    )


def test_no_variable_of_a_spec_reaches_the_runner_itself() -> None:
    env = [{"name": name, "value": "x"} for name in ("HOME", "PATH", "REPOBRIDGE_SETTINGS")]
    own = ownenvironment.part(_environment(_pod({"agent": {"env": env}})))
    assert set(own.agent) == {"HOME", "PATH", "REPOBRIDGE_SETTINGS"}
    assert own.runner == {"HOME": "/workspace/home"}


def test_a_pod_is_pulled_with_the_installations_secrets_and_its_own() -> None:
    settings = replace(SETTINGS, image_pull_secrets=("mirror", "registry"))
    pod = make_pod(bridge(FULL), settings=settings)
    assert pod["spec"]["imagePullSecrets"] == [{"name": "mirror"}, {"name": "registry"}]


def test_an_existing_claim_is_mounted_as_it_is() -> None:
    pod = _pod({"workspace": {"existingClaim": "data"}})
    assert pod["spec"]["volumes"][0] == {
        "name": "workspace",
        "persistentVolumeClaim": {"claimName": "data"},
    }


# --------------------------------------------------------------------------------- the template


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("agent.model", "sonnet"),
        ("agent.env", []),
        ("agent.credentialsSecretRef", {"name": "other"}),
        ("repository.ref", "next"),
        ("repository.credentialsSecretRef", {"name": "other"}),
        ("scaling.sessionsPerPod", 3),
        ("workspace.subPath", "other"),
        ("resources.requests", {"cpu": "2"}),
        ("pod.image", "registry.example/acme/runner:3"),
        ("pod.labels", {"example.com/team": "other"}),
        ("pod.annotations", {}),
        ("pod.nodeSelector", {}),
        ("pod.extraVolumes", []),
    ],
)
def test_a_pod_is_replaced_when_what_it_is_made_from_changes(path: str, value: Any) -> None:
    assert template_changed(_pod(FULL), _pod(_with(path, value)))


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("replicas", 0),
        ("suspend", True),
        ("discord.channelId", "1123581321345589145"),
        ("scaling.idleTimeout", "1h"),
        ("scaling.memoryPerSession", "700Mi"),
        ("resources.limits", {"cpu": "2", "example.com/gpu": "1", "memory": "4Gi"}),
        ("workspace.size", "30Gi"),
        ("network.egress", []),
    ],
)
def test_a_pod_stays_when_nothing_of_its_template_changes(path: str, value: Any) -> None:
    assert not template_changed(_pod(FULL), _pod(_with(path, value)))


def test_how_many_died_before_is_noted_and_no_part_of_the_template() -> None:
    first, third = (make_pod(bridge(), settings=SETTINGS, deaths=deaths) for deaths in (0, 2))
    assert naming.ANNOTATION_DEATHS not in first["metadata"]["annotations"]
    assert third["metadata"]["annotations"][naming.ANNOTATION_DEATHS] == "2"
    assert not template_changed(first, third)


def test_a_pod_without_our_annotation_is_of_another_template() -> None:
    stranger = {"metadata": {"name": "rb-payments-0", "annotations": None}}
    assert template_changed(stranger, _pod())


def _shuffled(value: Any, order: random.Random) -> Any:
    if isinstance(value, dict):
        names = order.sample(sorted(value), len(value))
        return {name: _shuffled(value[name], order) for name in names}
    if isinstance(value, list):
        return [_shuffled(each, order) for each in value]
    return value


@settings(deadline=None)
@given(st.integers(0, 1 << 32).map(random.Random))
def test_the_hash_does_not_depend_on_the_order_of_keys(order: random.Random) -> None:
    pod = _pod(FULL)
    assert template_hash(_shuffled(pod, order)) == template_hash(pod)
    assert not template_changed(_pod(_shuffled(FULL, order)), pod)


def test_the_hash_is_the_same_after_the_api_server_has_had_the_pod() -> None:
    pod = _pod(FULL)
    assert template_hash(json.loads(json.dumps(pod))) == template_hash(pod)
