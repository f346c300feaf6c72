"""What the chart makes of its values, whole manifests at a time."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from repobridge.telemetry import LogFormat
from repobridge_operator import rbac, settings
from repobridge_operator.resources.podsettings import PodSettings, control_plane_in
from repobridge_operator.settings import OperatorSettings, TenancySettings
from tests.chart.helm import NAMESPACE, REGISTRY, Helm, Object, Values, one

Roles = dict[tuple[str, str | None, str], list[Object]]
"""Rules by kind, namespace and name."""
SELECTOR = {
    "app.kubernetes.io/name": "repobridge",
    "app.kubernetes.io/instance": "repobridge",
    "app.kubernetes.io/component": "operator",
}
LABELS = {
    **SELECTOR,
    "app.kubernetes.io/version": "0.1.0",
    "app.kubernetes.io/managed-by": "Helm",
    "helm.sh/chart": "repobridge-0.1.0",
}
POD_LABELS = {name: value for name, value in LABELS.items() if name != "helm.sh/chart"}


def pod_of(objects: list[Object]) -> Object:
    spec: Object = one(objects, "Deployment")["spec"]["template"]["spec"]
    return spec


def told(objects: list[Object], directory: Path) -> OperatorSettings:
    """The settings as the operator reads them."""
    path = directory / "operator.yaml"
    path.write_text(one(objects, "ConfigMap")["data"]["operator.yaml"])
    return settings.load(path)


def test_the_operators_deployment(helm: Helm) -> None:
    found = one(helm.template(), "Deployment")
    annotations = found["spec"]["template"]["metadata"]["annotations"]
    assert len(annotations.pop("repobridge.dev/settings")) == 64
    assert found == {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "repobridge-operator", "namespace": NAMESPACE, "labels": LABELS},
        "spec": {
            "replicas": 1,
            "revisionHistoryLimit": 3,
            "selector": {"matchLabels": SELECTOR},
            "template": {
                "metadata": {
                    "labels": POD_LABELS,
                    "annotations": {"kubectl.kubernetes.io/default-container": "operator"},
                },
                "spec": {
                    "serviceAccountName": "repobridge-operator",
                    "automountServiceAccountToken": True,
                    "enableServiceLinks": False,
                    "terminationGracePeriodSeconds": 30,
                    "securityContext": {
                        "runAsNonRoot": True,
                        "runAsUser": 65532,
                        "runAsGroup": 65532,
                        "seccompProfile": {"type": "RuntimeDefault"},
                    },
                    "containers": [
                        {
                            "name": "operator",
                            "image": f"{REGISTRY}/control-plane:0.1.0",
                            "imagePullPolicy": "IfNotPresent",
                            "args": ["--config", "/etc/repobridge/operator/operator.yaml"],
                            "ports": [{"name": "http", "containerPort": 8080}],
                            "startupProbe": {
                                "httpGet": {"path": "/healthz", "port": "http"},
                                "periodSeconds": 2,
                                "failureThreshold": 60,
                            },
                            "livenessProbe": {
                                "httpGet": {"path": "/healthz", "port": "http"},
                                "periodSeconds": 10,
                                "timeoutSeconds": 5,
                            },
                            "readinessProbe": {
                                "httpGet": {"path": "/readyz", "port": "http"},
                                "periodSeconds": 5,
                                "timeoutSeconds": 5,
                            },
                            "resources": {
                                "requests": {"cpu": "50m", "memory": "128Mi"},
                                "limits": {"memory": "512Mi"},
                            },
                            "securityContext": {
                                "allowPrivilegeEscalation": False,
                                "readOnlyRootFilesystem": True,
                                "capabilities": {"drop": ["ALL"]},
                            },
                            "terminationMessagePolicy": "FallbackToLogsOnError",
                            "volumeMounts": [
                                {
                                    "name": "settings",
                                    "mountPath": "/etc/repobridge/operator",
                                    "readOnly": True,
                                }
                            ],
                        }
                    ],
                    "volumes": [{"name": "settings", "configMap": {"name": "repobridge-operator"}}],
                },
            },
        },
    }


def test_where_and_how_the_operator_runs_can_be_said(helm: Helm) -> None:
    spread = {"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "ScheduleAnyway"}
    affinity: Object = {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {}}}
    said = {
        "replicas": 2,
        "extraEnv": [{"name": "REPOBRIDGE_OPERATOR_CALL_SECONDS", "value": "20"}],
        "resources": {"limits": {"memory": "1Gi"}},
        "podLabels": {"team": "platform", "app.kubernetes.io/name": "taken"},
        "podAnnotations": {"note": "one"},
        "priorityClassName": "important",
        "nodeSelector": {"pool": "system"},
        "tolerations": [{"operator": "Exists"}],
        "affinity": affinity,
        "topologySpreadConstraints": [spread],
    }
    images = {"tag": "edge", "pullPolicy": "Always", "pullSecrets": [{"name": "registry"}]}
    objects = helm.template({"operator": said, "images": images})
    deployment, pod = one(objects, "Deployment")["spec"], pod_of(objects)
    container = pod["containers"][0]
    metadata = deployment["template"]["metadata"]
    assert deployment["replicas"] == 2
    assert metadata["labels"] == {**POD_LABELS, "team": "platform"}
    assert metadata["annotations"]["note"] == "one"
    assert container["image"] == f"{REGISTRY}/control-plane:edge"
    assert container["imagePullPolicy"] == "Always"
    assert container["env"] == said["extraEnv"]
    # What is not said of a mapping keeps its default, as Helm merges.
    assert container["resources"]["limits"] == {"memory": "1Gi"}
    names = ("priorityClassName", "nodeSelector", "tolerations", "affinity")
    assert {name: pod[name] for name in names} == {name: said[name] for name in names}
    assert pod["imagePullSecrets"] == [{"name": "registry"}]
    assert pod["topologySpreadConstraints"] == [
        {**spread, "labelSelector": {"matchLabels": SELECTOR}}
    ]


@pytest.mark.parametrize("namespaces", [[], ["payments"], ["payments", "web"]], ids=str)
def test_the_rights_are_the_operators_own_and_no_more(helm: Helm, namespaces: list[str]) -> None:
    objects = helm.template({"namespaces": namespaces})
    roles: Roles = {
        (each["kind"], each["metadata"].get("namespace"), each["metadata"]["name"]): each["rules"]
        for each in objects
        if each["kind"] in {"Role", "ClusterRole"}
    }
    served = rbac.served_rules()
    whole: Roles = {("ClusterRole", None, "repobridge-operator"): served}
    parts: Roles = {("Role", name, "repobridge-operator"): served for name in namespaces}
    own: Roles = {("Role", NAMESPACE, "repobridge-operator-own"): rbac.own_rules()}
    assert roles == {**(parts or whole), **own}
    bindings = [each for each in objects if each["kind"].endswith("Binding")]
    account = {"kind": "ServiceAccount", "name": "repobridge-operator", "namespace": NAMESPACE}
    assert all(each["subjects"] == [account] for each in bindings)
    bound = {
        (each["roleRef"]["kind"], each["metadata"].get("namespace"), each["roleRef"]["name"])
        for each in bindings
    }
    assert bound == set(roles)
    assert {each["kind"] for each in bindings} == {f"{kind}Binding" for kind, _, _ in roles}


def test_the_lease_of_the_rights_is_that_of_the_settings(helm: Helm, tmp_path: Path) -> None:
    lease = told(helm.template(), tmp_path).lease_name
    assert rbac.own_rules() == rbac.own_rules(lease=lease)


def test_by_default_the_operator_is_told_its_own_defaults(helm: Helm, tmp_path: Path) -> None:
    found = told(helm.template(), tmp_path)
    image = f"{REGISTRY}/session-runner:0.1.0"
    known = OperatorSettings(namespace=NAMESPACE, pod=PodSettings(image=image))
    assert found.model_dump(exclude={"network"}) == known.model_dump(exclude={"network"})
    assert found.network_settings() == known.network_settings()


def test_what_is_said_of_bridges_reaches_the_operator(helm: Helm, tmp_path: Path) -> None:
    digest = "sha256:" + "a" * 64
    runner = {
        "imagePullSecrets": ["registry"],
        "userId": 1000,
        "baseMemoryBytes": 1 << 30,
        "cpuRequestMilli": 500,
        "ephemeralRequestBytes": 1 << 20,
        "ephemeralLimitBytes": 1 << 40,
        "shutdownGraceSeconds": 60,
        "terminationMarginSeconds": 30,
        "logFormat": "text",
    }
    peer = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}}}
    values: Values = {
        "namespaces": ["payments", "web"],
        "images": {"sessionRunner": {"repository": "runner", "digest": digest}},
        "tenancy": [{"namespaces": ["payments"], "channels": ["1123581321345589144"]}],
        "sessionRunner": runner,
        "network": {"metricsFrom": [peer], "dns": [], "privateRanges": ["10.0.0.0/8"]},
        "operator": {
            "workers": 16,
            "leaseSeconds": 2.5,
            "logLevel": "debug",
            "logFormat": "text",
        },
    }
    found = told(helm.template(values), tmp_path)
    network = found.network_settings()
    assert found.model_dump(exclude={"network"}) == OperatorSettings(
        namespace=NAMESPACE,
        namespaces=("payments", "web"),
        pod=PodSettings(
            image=f"{REGISTRY}/runner@{digest}",
            image_pull_secrets=("registry",),
            user_id=1000,
            base_memory_bytes=1 << 30,
            cpu_request_milli=500,
            ephemeral_request_bytes=1 << 20,
            ephemeral_limit_bytes=1 << 40,
            shutdown_grace_seconds=60,
            termination_margin_seconds=30,
            log_format="text",
        ),
        tenancy=(
            TenancySettings(
                namespaces=frozenset({"payments"}), channels=frozenset({"1123581321345589144"})
            ),
        ),
        workers=16,
        lease_seconds=2.5,
        log_level="debug",
        log_format=LogFormat.TEXT,
    ).model_dump(exclude={"network"})
    assert (network.metrics_from, network.dns, network.private_ranges) == (
        (peer,),
        (),
        ("10.0.0.0/8",),
    )


def test_every_setting_of_pods_can_be_said(helm: Helm) -> None:
    text = one(helm.template(), "ConfigMap")["data"]["operator.yaml"]
    assert [field.name for field in fields(PodSettings) if f"\n  {field.name}: " not in text] == []


def test_bridges_let_the_operators_pod_in_whatever_the_release_is_called(helm: Helm) -> None:
    values = {"nameOverride": "other", "operator": {"podLabels": {"team": "a"}}}
    objects = helm.template(values, release="second", namespace="platform")
    labels = one(objects, "Deployment")["spec"]["template"]["metadata"]["labels"]
    (peer,) = control_plane_in("platform")
    wanted = peer["podSelector"]
    assert wanted["matchLabels"].items() <= labels.items()
    (expression,) = wanted["matchExpressions"]
    assert labels[expression["key"]] in expression["values"]


@pytest.mark.parametrize(
    ("release", "values", "name"),
    [
        ("repobridge", {}, "repobridge-operator"),
        ("my-repobridge", {}, "my-repobridge-operator"),
        ("first", {}, "first-repobridge-operator"),
        ("first", {"nameOverride": "rb"}, "first-rb-operator"),
        ("first", {"fullnameOverride": "rb"}, "rb-operator"),
        ("a" * 53, {}, "a" * 50 + "-operator"),
    ],
)
def test_names_follow_the_release(helm: Helm, release: str, values: Values, name: str) -> None:
    objects = helm.template(values, release=release)
    assert one(objects, "Deployment")["metadata"]["name"] == name
    assert one(objects, "Service")["metadata"]["name"] == f"{name}-metrics"


def test_every_object_has_the_labels_that_are_said(helm: Helm) -> None:
    common = {"cost": "7", "app.kubernetes.io/name": "taken"}
    monitor = {"podMonitor": {"enabled": True}}
    objects = helm.template({"commonLabels": common, "metrics": monitor, "namespaces": ["a"]})
    labels = [each["metadata"]["labels"] for each in objects]
    assert len(objects) == 10
    assert {each["cost"] for each in labels} == {"7"}
    assert {each["app.kubernetes.io/name"] for each in labels} == {"repobridge"}


def test_an_account_can_be_brought(helm: Helm) -> None:
    objects = helm.template({"operator": {"serviceAccount": {"create": False, "name": "mine"}}})
    assert not [each for each in objects if each["kind"] == "ServiceAccount"]
    assert pod_of(objects)["serviceAccountName"] == "mine"
    bindings = [each for each in objects if each["kind"].endswith("Binding")]
    assert {each["subjects"][0]["name"] for each in bindings} == {"mine"}


def test_an_account_can_be_named_and_annotated(helm: Helm) -> None:
    account = {"name": "mine", "annotations": {"iam.example/role": "none"}}
    found = one(helm.template({"operator": {"serviceAccount": account}}), "ServiceAccount")
    assert found == {
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": {
            "name": "mine",
            "namespace": NAMESPACE,
            "labels": LABELS,
            "annotations": {"iam.example/role": "none"},
        },
        "automountServiceAccountToken": False,
    }


def test_metrics_are_found_by_a_service_and_if_wanted_by_a_monitor(helm: Helm) -> None:
    monitor: dict[str, Any] = {"enabled": True, "interval": "1m", "labels": {"prometheus": "main"}}
    service = {"annotations": {"prometheus.io/scrape": "true"}}
    objects = helm.template({"metrics": {"podMonitor": monitor, "service": service}})
    found = one(objects, "Service")
    assert found["metadata"]["annotations"] == {"prometheus.io/scrape": "true"}
    assert found["spec"] == {
        "selector": SELECTOR,
        "ports": [{"name": "http", "port": 8080, "targetPort": "http"}],
    }
    assert one(objects, "PodMonitor") == {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "PodMonitor",
        "metadata": {
            "name": "repobridge-operator",
            "namespace": NAMESPACE,
            "labels": {**LABELS, "prometheus": "main"},
        },
        "spec": {
            "selector": {"matchLabels": SELECTOR},
            "podMetricsEndpoints": [{"port": "http", "interval": "1m"}],
        },
    }
    neither = helm.template({"metrics": {"service": {"enabled": False}}})
    assert not [each for each in neither if each["kind"] in {"Service", "PodMonitor"}]


def test_the_definition_can_be_left_to_another_release(helm: Helm) -> None:
    objects = helm.template({"crds": {"install": False}})
    assert not [each for each in objects if each["kind"] == "CustomResourceDefinition"]


def test_changed_settings_bring_a_new_pod(helm: Helm) -> None:
    def of(values: Values) -> str:
        template = one(helm.template(values), "Deployment")["spec"]["template"]
        return str(template["metadata"]["annotations"]["repobridge.dev/settings"])

    assert of({}) == of({"operator": {"replicas": 2}})
    assert of({}) != of({"operator": {"workers": 9}})
