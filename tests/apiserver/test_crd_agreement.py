"""The models and the definition agree: what one takes the other takes, value by value.

An object that the API server took and the models refuse would be a bridge that is never served; the
other way round, a rule in CEL says something else than its twin in Python.
"""

from __future__ import annotations

import asyncio
import copy
import random
from collections.abc import Callable, Iterator
from http import HTTPStatus
from pathlib import Path
from typing import Any

import pytest
import yaml

from repobridge import crd
from scripts.crds.definition import FILE
from tests.apiserver.rest import Rest, RestError
from tests.specs import GOOD

COLLECTION = f"/apis/{crd.API_VERSION}/namespaces/default/{crd.PLURAL}?dryRun=All"
AT_ONCE = 16
SAMPLE = 1000

_SELECTOR: dict[str, Any] = {
    "matchLabels": {"a": "b"},
    "matchExpressions": [{"key": "a", "operator": "NotIn", "values": ["b", "c"]}],
}
_TERM: dict[str, Any] = {
    "labelSelector": _SELECTOR,
    "topologyKey": "topology.kubernetes.io/zone",
    "namespaces": ["team"],
}
_REQUIRED, _PREFERRED = (
    f"{word}DuringSchedulingIgnoredDuringExecution" for word in ("required", "preferred")
)
_NODES = {"matchExpressions": [{"key": "cores", "operator": "Gt", "values": ["4"]}]}
REST_OF_IT: dict[str, Any] = {
    "pod": {
        "tolerations": [{"operator": "Exists"}, {"key": "a", "tolerationSeconds": 5}],
        "affinity": {
            "nodeAffinity": {
                _REQUIRED: {"nodeSelectorTerms": [_NODES]},
                _PREFERRED: [{"weight": 1, "preference": _NODES}],
            },
            "podAffinity": {_REQUIRED: [_TERM]},
            "podAntiAffinity": {_PREFERRED: [{"weight": 1, "podAffinityTerm": _TERM}]},
        },
        "extraVolumes": [
            {
                "name": "a",
                "mountPath": "/a",
                "subPath": "b/c",
                "secret": {"secretName": "a", "items": [{"key": "k", "path": "p/q"}]},
            },
            {"name": "b", "mountPath": "/b", "persistentVolumeClaim": {"claimName": "b"}},
            {
                "name": "c",
                "mountPath": "/c",
                "csi": {
                    "driver": "csi.example",
                    "volumeAttributes": {"a": "b"},
                    "nodePublishSecretRef": {"name": "a"},
                },
            },
            {"name": "d", "mountPath": "/d", "emptyDir": {"medium": "Memory"}},
        ],
    },
    "network": {
        "egress": [
            {"to": [{"podSelector": _SELECTOR, "namespaceSelector": _SELECTOR}]},
            {"ports": [{"port": 1000, "endPort": 2000}, {"port": "https"}]},
        ]
    },
}
"""What the examples do not show."""

TEXTS = (
    "", "-", "-x", "a", "A", "a b", " a", "a ", "a\n", "a/b", "/a", "/a/", "//a", "/a/../b", "..",
    ".", "a..b", "a.b", "a-", "a_b", "a:b", "a@b", "a?b", "a#b", "é", "\u200b", "\t", "'", '"',
    "\\", "10m", "1h30m", "0s", "1.5s", "-1m", "1d", "10", "99999h", "1m1m", "500us", "10Gi",
    "-1Gi", "1e3", "1E3", "1.5Gi", ".5", "5.", "0", "1n", "10GB", "9Ei", "100000000000000000",
    "+1", "1e-3", "https://h/p", "https://u@h/p", "https://u:p@h/p", "http://h/p", "https://h",
    "https://h:0/p", "https://h:65535/p", "https://[::1]/p", "ssh://u@h/p", "ssh://u:p@h/p",
    "ssh://-u@h/p", "file:///p", "git@h:p", "git@h:/p", "git@h://p", "git@h:-p", "u@h:a::b",
    "ext::sh", "https://h/a@b", "10.0.0.0/8", "10.0.0.1/8", "10.0.0.0/33", "10.0.0.0/255.0.0.0",
    "10.0.0.0", "010.0.0.0/8", "10.0.0.0/08", "0.0.0.0/0", "::/0", "2001:db8::/32",
    "2001:db8::1/32", "::ffff:10.0.0.0/104", "fe80::%eth0/64", "1123581321345589144",
    "012345678901234567", "12345678901234", "123456789012345", "example.com/a", "example.com/",
    "/etc/repobridge", "/workspace", "/workspaces", "/tmp", "/tmp/a", "/run", "443", "https",
    "a" * 63, "a" * 64, "a" * 128, "a" * 129, "a" * 253, "a" * 254, "a" * 1024, "a" * 1025,
    "repobridge.dev/a", "app.kubernetes.io/name", "x" * 20_000,
)  # fmt: skip
NUMBERS = (-1, 0, 1, 2, 3, 15, 64, 65, 100, 101, 1000, 1001, 65_535, 65_536, 1 << 31, 1 << 40)
FRACTIONS = (-0.5, 0.25, 0.001, 999.5, 1000.5, 1e6 + 0.5)


@pytest.fixture(scope="session", autouse=True)
def installed(install_crd: Callable[[Path], None]) -> None:
    install_crd(FILE)


def leaves(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[tuple[Any, ...], Any]]:
    """Every place that holds a text, a number or a yes or no."""
    match value:
        case dict():
            for key, inner in value.items():
                yield from leaves(inner, (*path, key))
        case list():
            for index, inner in enumerate(value):
                yield from leaves(inner, (*path, index))
        case _:
            yield path, value


def candidates(value: Any, place: tuple[Any, ...]) -> tuple[Any, ...]:
    """What else may be written there; the type stays, as only CEL's twins are in question."""
    if isinstance(value, bool):
        return (not value,)
    takes_both = place[-1] in {"port", "size", "sizeLimit", "memoryPerSession"}
    amounts = "limits" in place and "resources" in place
    if takes_both or amounts:
        return TEXTS + NUMBERS
    if isinstance(value, str):
        return TEXTS
    return NUMBERS if place[-1] not in {"perSecond", "usd"} else NUMBERS + FRACTIONS


def replaced(spec: Any, place: tuple[Any, ...], value: Any) -> Any:
    changed = copy.deepcopy(spec)
    inner = changed
    for step in place[:-1]:
        inner = inner[step]
    inner[place[-1]] = value
    return changed


def renamed(spec: Any, place: tuple[Any, ...], key: str) -> Any:
    changed = copy.deepcopy(spec)
    inner = changed
    for step in place[:-1]:
        inner = inner[step]
    inner[key] = inner.pop(place[-1])
    return changed


def variations() -> Iterator[Any]:
    """Specs that are good but for one value, if that one is not."""
    good = [yaml.safe_load(example.read_text())["spec"] for example in GOOD] + [REST_OF_IT]
    for spec in good:
        for place, value in leaves(spec):
            for other in candidates(value, place):
                yield replaced(spec, place, other)
            if set(place) & {"labels", "annotations", "nodeSelector", "matchLabels", "requests"}:
                for key in TEXTS:
                    yield renamed(spec, place, key)


async def taken_by_the_server(admin: Rest, spec: Any) -> bool:
    body = {
        "apiVersion": crd.API_VERSION,
        "kind": crd.KIND,
        "metadata": {"name": "in-agreement"},
        "spec": spec,
    }
    try:
        await admin.create(COLLECTION, body)
    except RestError as refused:
        if refused.code != HTTPStatus.UNPROCESSABLE_ENTITY:
            raise
        return False
    return True


def taken_by_the_models(spec: Any) -> bool:
    try:
        crd.parse({"metadata": {"name": "payments"}, "spec": spec})
    except crd.SpecError:
        return False
    return True


async def disagreements(admin: Rest, specs: list[Any]) -> list[tuple[bool, Any]]:
    found = []
    turns = asyncio.Semaphore(AT_ONCE)

    async def compare(spec: Any) -> None:
        async with turns:
            taken = await taken_by_the_server(admin, spec)
        if taken != taken_by_the_models(spec):
            found.append((taken, spec))

    async with asyncio.TaskGroup() as group:
        for spec in specs:
            group.create_task(compare(spec))
    return found


async def test_a_sample_of_values_is_taken_by_both_or_by_none(admin: Rest) -> None:
    sample = random.Random(20_260_101).sample(list(variations()), SAMPLE)
    assert await disagreements(admin, sample) == []


@pytest.mark.long
@pytest.mark.timeout(900)
async def test_every_value_is_taken_by_both_or_by_none(admin: Rest) -> None:
    assert await disagreements(admin, list(variations())) == []
