"""The chart's values: each has a meaning and a use, and what is wrong is refused in words."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from copy import deepcopy
from typing import Any

import pytest
import yaml

from scripts.charts.sources import CHART
from tests.chart.helm import Helm, HelmFailed, Values

SCHEMA: dict[str, Any] = json.loads((CHART / "values.schema.json").read_text())
DEFAULTS: dict[str, Any] = yaml.safe_load((CHART / "values.yaml").read_text())
PEER: dict[str, Any] = {"podSelector": {}}
BEFORE: dict[str, Any] = {
    "operator": {"serviceAccount": {"name": "mine"}},
    "gateway": {
        "enabled": True,
        "discord": {"tokenSecretRef": {"name": "bot"}},
        "serviceAccount": {"name": "mine"},
    },
    "metrics": {"podMonitor": {"enabled": True}},
}
USED: dict[str, Any] = {
    "namespaces": ["payments"],
    "images.registry": "another.example",
    "images.tag": "edge",
    "images.pullPolicy": "Always",
    "images.pullSecrets": [{"name": "registry"}],
    "images.controlPlane.repository": "another",
    "images.controlPlane.digest": "sha256:" + "b" * 64,
    "images.sessionRunner.repository": "another",
    "images.sessionRunner.digest": "sha256:" + "b" * 64,
    "crds.install": False,
    "tenancy": [{"namespaces": ["payments"]}],
    "sessionRunner.imagePullSecrets": ["registry"],
    "sessionRunner.userId": 1000,
    "sessionRunner.baseMemoryBytes": 1 << 30,
    "sessionRunner.cpuRequestMilli": 1,
    "sessionRunner.ephemeralRequestBytes": 1,
    "sessionRunner.ephemeralLimitBytes": 1 << 30,
    "sessionRunner.shutdownGraceSeconds": 1,
    "sessionRunner.terminationMarginSeconds": 10,
    "sessionRunner.logFormat": "text",
    "network.metricsFrom": [PEER],
    "network.dns": [PEER],
    "network.privateRanges": [],
    "operator.replicas": 2,
    "operator.logLevel": "debug",
    "operator.logFormat": "text",
    "operator.workers": 1,
    "operator.leaseSeconds": 60,
    "operator.extraEnv": [{"name": "ONE", "value": "1"}],
    "operator.resources.requests": {"cpu": "1"},
    "operator.resources.limits": {"memory": "1Gi"},
    "operator.serviceAccount.create": False,
    "operator.serviceAccount.name": "other",
    "operator.serviceAccount.annotations": {"a": "b"},
    "operator.podLabels": {"a": "b"},
    "operator.podAnnotations": {"a": "b"},
    "operator.priorityClassName": "important",
    "operator.nodeSelector": {"a": "b"},
    "operator.tolerations": [{"operator": "Exists"}],
    "operator.affinity": {"nodeAffinity": {}},
    "operator.topologySpreadConstraints": [{"maxSkew": 1}],
    "gateway.enabled": False,
    "gateway.discord.tokenSecretRef.name": "another",
    "gateway.discord.tokenSecretRef.key": "another",
    "gateway.discord.apiBase": "http://proxy:8080/api/v10",
    "gateway.discord.proxy": "http://proxy:3128",
    "gateway.access": [{"roleId": "1123581321345589144"}],
    "gateway.limits": {"rate": {"enabled": False}},
    "gateway.guilds": {"1123581321345589144": {"access": [{"role": "Developers"}]}},
    "gateway.store.size": "2Gi",
    "gateway.store.storageClassName": "fast",
    "gateway.store.accessMode": "ReadWriteOncePod",
    "gateway.store.existingClaim": "mine",
    "gateway.logLevel": "debug",
    "gateway.logFormat": "text",
    "gateway.extraEnv": [{"name": "ONE", "value": "1"}],
    "gateway.resources.requests": {"cpu": "1"},
    "gateway.resources.limits": {"memory": "2Gi"},
    "gateway.serviceAccount.create": False,
    "gateway.serviceAccount.name": "other",
    "gateway.serviceAccount.annotations": {"a": "b"},
    "gateway.podLabels": {"a": "b"},
    "gateway.podAnnotations": {"a": "b"},
    "gateway.priorityClassName": "important",
    "gateway.nodeSelector": {"a": "b"},
    "gateway.tolerations": [{"operator": "Exists"}],
    "gateway.affinity": {"nodeAffinity": {}},
    "metrics.service.enabled": False,
    "metrics.service.annotations": {"a": "b"},
    "metrics.podMonitor.enabled": False,
    "metrics.podMonitor.interval": "1m",
    "metrics.podMonitor.labels": {"a": "b"},
    "nameOverride": "other",
    "fullnameOverride": "other",
    "commonLabels": {"a": "b"},
}
"""A value for each path that differs from what stands in BEFORE or is the default."""

REFUSED: list[tuple[Values, str]] = [
    ({"image": {}}, "at '': additional properties 'image' not allowed"),
    ({"operator": {"replica": 2}}, "at '/operator': additional properties 'replica' not allowed"),
    ({"operator": {"replicas": 9}}, "at '/operator/replicas': maximum: got 9, want 5"),
    ({"operator": {"replicas": "2"}}, "at '/operator/replicas': got string, want integer"),
    (
        {"operator": {"logLevel": "loud"}},
        "at '/operator/logLevel': value must be one of 'debug', 'info', 'warning', 'error'",
    ),
    ({"operator": {"resources": {"request": {}}}}, "additional properties 'request' not allowed"),
    ({"operator": {"leaseSeconds": 1}}, "at '/operator/leaseSeconds': minimum: got 1, want 2"),
    ({"namespaces": "payments"}, "at '/namespaces': got string, want array"),
    ({"namespaces": ["Payments"]}, "at '/namespaces/0': 'Payments' does not match pattern"),
    ({"namespaces": ["a", "a"]}, "at '/namespaces': items at 0 and 1 are equal"),
    ({"images": {"registry": "https://images.example"}}, "at '/images/registry': "),
    ({"images": {"registry": "registry.example/image:1"}}, "at '/images/registry': "),
    (
        {"images": {"sessionRunner": {"digest": "sha256:beef"}}},
        "at '/images/sessionRunner/digest': 'sha256:beef' does not match pattern",
    ),
    ({"tenancy": [{"guilds": []}]}, "at '/tenancy/0': missing property 'namespaces'"),
    (
        {"tenancy": [{"namespaces": ["a"], "channels": [1123581321345589144]}]},
        "at '/tenancy/0/channels/0': got number, want string",
    ),
    ({"sessionRunner": {"userId": 0}}, "at '/sessionRunner/userId': minimum: got 0, want 1"),
    ({"network": {"dns": [{}]}}, "at '/network/dns/0': minProperties: got 0, want 1"),
    (
        {"operator": {"serviceAccount": {"create": False}}},
        "Name an account that exists with operator.serviceAccount.name, or let the chart make one"
        " with operator.serviceAccount.create.",
    ),
    (
        {"gateway": {"enabled": True}},
        "Name the Secret with the bot's token with gateway.discord.tokenSecretRef.name;"
        " docs/discord-setup.md says how to make it.",
    ),
    (
        {"gateway": {"limits": {"budgets": [{"per": "user"}]}}},
        "at '/gateway/limits/budgets/0': missing property 'tokens'",
    ),
    (
        {"gateway": {"guilds": {"acme": {}}}},
        "at '/gateway/guilds': additional properties 'acme' not allowed",
    ),
    (
        {"gateway": {"access": [{"role": "A", "permissions": ["fly"]}]}},
        "at '/gateway/access/0/permissions/0': value must be one of 'prompt', 'approve', ",
    ),
    (
        {"gateway": {"access": [{"roleId": "1123581321345589144", "userId": "1"}]}},
        "at '/gateway/access/0': 'oneOf' failed",
    ),
    (
        {"gateway": {"store": {"accessMode": "ReadWriteMany"}}},
        "value must be one of 'ReadWriteOnce', 'ReadWriteOncePod'",
    ),
    (
        {"images": {"registry": ""}},
        "Say where the images are with images.registry, as registry.example/repobridge;"
        " docs/images.md says how to build them.",
    ),
]


def fields(schema: dict[str, Any], path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """The paths of all values, without those inside of lists."""
    for name, below in schema.get("properties", {}).items():
        yield (*path, name)
        yield from fields(below, (*path, name))


def at(schema: dict[str, Any], path: tuple[str, ...]) -> dict[str, Any]:
    for name in path:
        schema = schema["properties"][name]
    return schema


OWN = [path for path in fields(SCHEMA) if path != ("global",)]
LEAVES = [path for path in OWN if "properties" not in at(SCHEMA, path)]


@pytest.mark.parametrize(("values", "sentence"), REFUSED, ids=lambda one: json.dumps(one)[:60])
def test_what_is_wrong_is_refused_with_what_is_wrong(
    helm: Helm, values: Values, sentence: str
) -> None:
    with pytest.raises(HelmFailed) as failed:
        helm.template(values)
    assert sentence in failed.value.said


@pytest.mark.parametrize("path", OWN, ids=".".join)
def test_each_value_is_described_by_a_sentence(path: tuple[str, ...]) -> None:
    assert re.fullmatch(r"[A-Z].*\.", at(SCHEMA, path)["description"])


def test_the_defaults_are_all_values_that_there_are() -> None:
    def paths(values: dict[str, Any], path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
        for name, value in values.items():
            yield (*path, name)
            if (*path, name) in OWN and (*path, name) not in LEAVES:
                yield from paths(value, (*path, name))

    assert set(paths(DEFAULTS)) == set(OWN)


def test_each_value_has_a_use_that_is_tested() -> None:
    assert set(USED) == {".".join(path) for path in LEAVES}


@pytest.mark.parametrize("path", USED)
def test_each_value_changes_what_is_made(helm: Helm, path: str) -> None:
    *above, last = path.split(".")
    changed = deepcopy(BEFORE)
    place = changed
    for name in above:
        place = place.setdefault(name, {})
    place[last] = USED[path]
    assert helm.template(changed) != helm.template(BEFORE)


def test_nothing_that_is_unknown_is_taken_anywhere() -> None:
    def walk(schema: object) -> Iterator[dict[str, Any]]:
        if isinstance(schema, dict):
            yield schema
        for below in schema.values() if isinstance(schema, dict) else ():
            yield from walk(below)

    open_ones = [each for each in walk(SCHEMA) if "properties" in each and "type" in each]
    assert open_ones
    assert all(each["additionalProperties"] is False for each in open_ones)


def test_the_chart_passes_helms_own_check(helm: Helm) -> None:
    said = helm.run("lint", "--strict", str(CHART), values={"images": {"registry": "a.example/b"}})
    assert "0 chart(s) failed" in said
