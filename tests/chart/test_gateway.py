"""What the chart makes of the gateway: its pod, its volume, its rights, and what it is told."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from repobridge import settings_file
from repobridge.settings_file import TenancySettings
from repobridge_gateway import rbac
from repobridge_gateway.access import Permission
from repobridge_gateway.policy_settings import (
    AccessSettings,
    BucketSettings,
    GuildSettings,
    LimitsSettings,
    RateSettings,
)
from repobridge_gateway.settings import GatewaySettings
from repobridge_operator.resources.identity import GATEWAY_SECRET
from repobridge_operator.resources.podsettings import control_plane_in
from tests.chart.helm import NAMESPACE, REGISTRY, Helm, Object, Values, one

NAME = "repobridge-gateway"
GUILD, ROLE = "1123581321345589144", "2123581321345589144"
SELECTOR = {
    "app.kubernetes.io/name": "repobridge",
    "app.kubernetes.io/instance": "repobridge",
    "app.kubernetes.io/component": "gateway",
}


def enabled(**said: Any) -> Values:
    """Values with a gateway."""
    discord = {"tokenSecretRef": {"name": "bot"}, **said.pop("discord", {})}
    return {"gateway": {"enabled": True, "discord": discord, **said}}


def told(objects: list[Object], directory: Path) -> GatewaySettings:
    """The settings as the gateway reads them."""
    path = directory / "gateway.yaml"
    path.write_text(one(objects, "ConfigMap", NAME)["data"]["gateway.yaml"])
    return settings_file.load(GatewaySettings, path)


def test_without_being_asked_for_there_is_none(helm: Helm) -> None:
    assert [each for each in helm.template() if "gateway" in each["metadata"]["name"]] == []


def test_the_gateways_deployment_is_one_pod_with_its_store_token_and_certificate(
    helm: Helm,
) -> None:
    spec = one(helm.template(enabled()), "Deployment", NAME)["spec"]
    pod = spec["template"]["spec"]
    assert (spec["replicas"], spec["strategy"]) == (1, {"type": "Recreate"})
    assert spec["selector"] == {"matchLabels": SELECTOR}
    assert pod["serviceAccountName"] == NAME
    assert pod["securityContext"] == {
        "runAsNonRoot": True,
        "runAsUser": 65532,
        "runAsGroup": 65532,
        "fsGroup": 65532,
        "fsGroupChangePolicy": "OnRootMismatch",
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    (container,) = pod["containers"]
    assert container["image"] == f"{REGISTRY}/control-plane:0.1.0"
    assert container["command"] == ["repobridge-gateway"]
    assert container["args"] == ["--config", "/etc/repobridge/gateway/settings/gateway.yaml"]
    assert container["securityContext"]["readOnlyRootFilesystem"] is True
    assert container["readinessProbe"]["httpGet"] == {"path": "/readyz", "port": "http"}
    assert {each["mountPath"]: each["name"] for each in container["volumeMounts"]} == {
        "/etc/repobridge/gateway/settings": "settings",
        "/etc/repobridge/gateway/token": "token",
        "/etc/repobridge/gateway/tls": "tls",
        "/var/lib/repobridge": "store",
        "/tmp": "tmp",
    }
    token = {
        "secretName": "bot",
        "defaultMode": 0o440,
        "items": [{"key": "token", "path": "token"}],
    }
    assert pod["volumes"] == [
        {"name": "settings", "configMap": {"name": NAME}},
        {"name": "token", "secret": token},
        {"name": "tls", "secret": {"secretName": GATEWAY_SECRET, "defaultMode": 0o440}},
        {"name": "store", "persistentVolumeClaim": {"claimName": f"{NAME}-store"}},
        {"name": "tmp", "emptyDir": {"sizeLimit": "256Mi"}},
    ]


def test_its_store_outlives_the_release_and_keeps_others_out_where_the_storage_can(
    helm: Helm,
) -> None:
    said = {"size": "2Gi", "storageClassName": "fast", "accessMode": "ReadWriteOncePod"}
    claim = one(helm.template(enabled(store=said)), "PersistentVolumeClaim")
    assert claim["metadata"]["annotations"] == {"helm.sh/resource-policy": "keep"}
    assert claim["spec"] == {
        "accessModes": ["ReadWriteOncePod"],
        "storageClassName": "fast",
        "resources": {"requests": {"storage": "2Gi"}},
    }


def test_a_claim_can_be_brought(helm: Helm) -> None:
    objects = helm.template(enabled(store={"existingClaim": "mine"}))
    assert not [each for each in objects if each["kind"] == "PersistentVolumeClaim"]
    volumes = one(objects, "Deployment", NAME)["spec"]["template"]["spec"]["volumes"]
    assert {"name": "store", "persistentVolumeClaim": {"claimName": "mine"}} in volumes


def test_what_is_said_reaches_the_gateway_and_all_else_is_its_own_default(
    helm: Helm, tmp_path: Path
) -> None:
    values = {
        **enabled(
            access=[{"roleId": ROLE, "permissions": ["prompt", "approve"]}],
            limits={"rate": {"user": {"perSecond": 0, "burst": 3}}},
            guilds={GUILD: {"access": [{"role": "Developers", "models": ["*"]}]}},
            discord={"apiBase": "http://proxy:8080/api/v10", "proxy": "http://proxy:3128"},
            logLevel="debug",
        ),
        "namespaces": ["payments", "web"],
        "tenancy": [{"namespaces": ["payments"], "guilds": [GUILD]}],
    }
    assert told(helm.template(values), tmp_path) == GatewaySettings(
        token_file=Path("/etc/repobridge/gateway/token/token"),
        discord_api_base="http://proxy:8080/api/v10",
        discord_proxy="http://proxy:3128",
        store_directory=Path("/var/lib/repobridge/gateway"),
        namespaces=("payments", "web"),
        tenancy=(TenancySettings(namespaces=frozenset({"payments"}), guilds=frozenset({GUILD})),),
        access=(AccessSettings(role_id=ROLE, permissions=(Permission.PROMPT, Permission.APPROVE)),),
        limits=LimitsSettings(rate=RateSettings(user=BucketSettings(per_second=0, burst=3))),
        guilds={GUILD: GuildSettings(access=(AccessSettings(role="Developers", models=("*",)),))},
        log_level="debug",
    )


def test_only_what_the_gateway_does_not_read_again_brings_a_new_pod(
    helm: Helm, tmp_path: Path
) -> None:
    def of(**said: Any) -> tuple[str, GatewaySettings]:
        objects = helm.template({**enabled(**said.pop("gateway", {})), **said})
        annotations = one(objects, "Deployment", NAME)["spec"]["template"]["metadata"]
        return annotations["annotations"]["repobridge.dev/settings"], told(objects, tmp_path)

    checksum, settings = of()
    live: list[Values] = [
        {"gateway": {"access": [{"roleId": ROLE}]}},
        {"gateway": {"limits": {"rate": {"enabled": False}}}},
        {"gateway": {"guilds": {GUILD: {"access": [{"roleId": ROLE}]}}}},
        {"gateway": {"logLevel": "debug"}},
        {"tenancy": [{"namespaces": ["payments"]}]},
    ]
    changed = [of(**each) for each in live]
    assert {each for each, _ in changed} == {checksum}
    found = {name for _, each in changed for name in each.differences(settings)}
    assert found == GatewaySettings.LIVE
    for fixed in ({"namespaces": ["web"]}, {"gateway": {"logFormat": "text"}}):
        assert of(**fixed)[0] != checksum


@pytest.mark.parametrize("namespaces", [[], ["payments", "web"]], ids=str)
def test_it_may_look_at_bridges_and_wish_them_awake(helm: Helm, namespaces: list[str]) -> None:
    objects = helm.template({**enabled(), "namespaces": namespaces})
    roles = [
        each
        for each in objects
        if each["kind"] in {"Role", "ClusterRole"} and each["metadata"]["name"] == NAME
    ]
    where: list[str | None] = [*namespaces] if namespaces else [None]
    assert [each["metadata"].get("namespace") for each in roles] == where
    assert all(each["rules"] == rbac.served_rules() for each in roles)
    bindings = [
        each
        for each in objects
        if each["kind"].endswith("Binding") and each["metadata"]["name"] == NAME
    ]
    account = {"kind": "ServiceAccount", "name": NAME, "namespace": NAMESPACE}
    assert [each["metadata"].get("namespace") for each in bindings] == where
    assert all(each["subjects"] == [account] for each in bindings)
    assert all(each["roleRef"]["name"] == NAME for each in bindings)


def test_bridges_let_it_in_and_its_metrics_are_found(helm: Helm) -> None:
    values = {**enabled(), "metrics": {"podMonitor": {"enabled": True}}}
    objects = helm.template(values)
    labels = one(objects, "Deployment", NAME)["spec"]["template"]["metadata"]["labels"]
    (peer,) = control_plane_in(NAMESPACE)
    wanted = peer["podSelector"]
    assert wanted["matchLabels"].items() <= labels.items()
    (expression,) = wanted["matchExpressions"]
    assert labels[expression["key"]] in expression["values"]
    assert one(objects, "Service", f"{NAME}-metrics")["spec"]["selector"] == SELECTOR
    assert one(objects, "PodMonitor", NAME)["spec"]["selector"] == {"matchLabels": SELECTOR}
