from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from repobridge import crd
from repobridge.conditions import Phase
from repobridge.crd_agent import REPOSITORY_URL
from repobridge_runner import repositoryurl
from scripts.crds.definition import FILE, definition, text
from tests.largest_spec import largest
from tests.specs import CHANNEL, GOOD, REFUSED, Wrong

Schema = dict[str, Any]
ANNOTATION_BYTES = 262_144


def spec_schema() -> Schema:
    version = definition()["spec"]["versions"][0]
    schema: Schema = version["schema"]["openAPIV3Schema"]["properties"]["spec"]
    return schema


def walked(schema: Schema, path: str = "spec") -> Iterator[tuple[str, Schema]]:
    yield path, schema
    for name, inner in schema.get("properties", {}).items():
        yield from walked(inner, f"{path}.{name}")
    if "items" in schema:
        yield from walked(schema["items"], f"{path}[]")
    if "additionalProperties" in schema:
        yield from walked(schema["additionalProperties"], f"{path}.*")


def test_the_committed_definition_is_what_the_models_say() -> None:
    assert FILE.read_text() == text(), "out of date: run `make crds`"


def test_everything_is_described() -> None:
    bare = [
        path
        for path, schema in walked(spec_schema())
        if "description" not in schema and not path.endswith(("[]", ".*"))
    ]
    assert bare == []


def test_every_text_list_and_mapping_has_a_bound() -> None:
    bounds = {"string": "maxLength", "array": "maxItems"}
    unbounded = []
    for path, schema in walked(spec_schema()):
        bound = bounds.get(schema.get("type", ""))
        if "additionalProperties" in schema:
            bound = "maxProperties"
        if bound and bound not in schema and "enum" not in schema:
            unbounded.append(path)
    assert unbounded == []


def test_every_rule_says_what_to_do_in_one_line() -> None:
    rules = [
        rule
        for _, schema in walked(spec_schema())
        for rule in schema.get("x-kubernetes-validations", [])
    ]
    assert len(rules) > 50
    assert [rule for rule in rules if not rule["message"] or "\n" in rule["message"]] == []
    # The rule for the quantity of a map's values can't be in the values: CEL counts each there.
    assert [rule for rule in rules if "self" not in rule["rule"]] == []


def test_the_largest_spec_fits_the_annotation_in_which_kubectl_keeps_it() -> None:
    spec = largest(spec_schema())
    crd.parse({"metadata": {"name": "payments"}, "spec": spec})
    of_the_rest = 2048
    written = len(json.dumps(spec, separators=(",", ":"))) + of_the_rest
    assert 0.85 * ANNOTATION_BYTES < written < ANNOTATION_BYTES


@pytest.mark.parametrize("wrong", REFUSED.values(), ids=REFUSED)
def test_a_wrong_spec_is_refused_as_the_api_server_refuses_it(wrong: Wrong) -> None:
    with pytest.raises(crd.SpecError) as refused:
        crd.parse({"metadata": {"name": "payments"}, "spec": wrong.spec})
    assert refused.value.path == wrong.path
    assert wrong.says in refused.value.sentence


def test_a_refusal_tells_the_place_and_the_sentence() -> None:
    with pytest.raises(crd.SpecError) as refused:
        crd.parse({"metadata": {"name": "payments"}, "spec": {"replicas": 2}})
    assert str(refused.value) == "spec.replicas: input should be less than or equal to 1"


def test_what_stands_twice_is_refused_by_its_name() -> None:
    twice = [{"name": "A", "value": "1"}, {"name": "A", "value": "2"}]
    with pytest.raises(crd.SpecError) as refused:
        crd.parse({"metadata": {"name": "payments"}, "spec": {"agent": {"env": twice}}})
    assert str(refused.value) == "spec.agent.env: contains A twice"
    roles = [{"roleId": CHANNEL, "permissions": ["prompt", "prompt"]}]
    with pytest.raises(crd.SpecError, match=r"permissions: contains prompt twice"):
        crd.parse({"metadata": {"name": "payments"}, "spec": {"access": roles}})


def test_an_object_of_the_api_server_is_read() -> None:
    stored = {
        "apiVersion": "repobridge.dev/v1alpha1",
        "kind": "RepoBridge",
        "metadata": {
            "name": "payments",
            "namespace": "team",
            "uid": "0b6f9d3e-3f0e-4d6c-9a57-1f1f6f0a2b11",
            "generation": 3,
            "resourceVersion": "77",
            "labels": {"team": "payments"},
            "creationTimestamp": "2026-01-01T00:00:00Z",
            "managedFields": [{}],
        },
        "spec": {
            "replicas": 1,
            "discord": {"channelId": CHANNEL, "requireMention": True, "threads": "Channel"},
            "workspace": {"size": 10737418240, "reclaim": "Delete"},
            "fieldOfANewerVersion": {"a": 1},
        },
        "status": {
            "observedGeneration": 2,
            "phase": "Ready",
            "endpoint": {
                "podName": "rb-payments-0",
                "podUID": "u",
                "address": "10.0.0.7",
                "port": 7443,
            },
        },
    }
    assert crd.parse(stored) == crd.RepoBridge(
        metadata=crd.Metadata(
            name="payments",
            namespace="team",
            uid="0b6f9d3e-3f0e-4d6c-9a57-1f1f6f0a2b11",
            generation=3,
            resource_version="77",
            labels={"team": "payments"},
            creation_timestamp=datetime(2026, 1, 1, tzinfo=UTC),
        ),
        spec=crd.RepoBridgeSpec(
            replicas=1,
            discord=crd.Discord(
                channel_id=CHANNEL, require_mention=True, threads=crd.Threads.CHANNEL
            ),
            workspace=crd.Workspace(size="10737418240", reclaim=crd.Reclaim.DELETE),
        ),
        status=crd.RepoBridgeStatus(
            observed_generation=2,
            phase=Phase.READY,
            endpoint=crd.Endpoint(
                pod_name="rb-payments-0", pod_uid="u", address="10.0.0.7", port=7443
            ),
        ),
    )


def test_durations_and_quantities_are_numbers_where_they_are_used() -> None:
    spec = crd.RepoBridgeSpec()
    assert (spec.scaling.idle_seconds, spec.scaling.max_awake_seconds) == (600.0, 86_400.0)
    assert (spec.scaling.drain_seconds, spec.scaling.bytes_per_session) == (300.0, 600 << 20)
    assert spec.workspace.size_bytes == 10 << 30


@pytest.mark.parametrize("example", GOOD, ids=lambda path: path.name)
def test_a_spec_written_as_an_object_is_read_back_the_same(example: Path) -> None:
    written = yaml.safe_load(example.read_text())
    bridge = crd.parse(written)
    assert crd.parse(bridge.as_object()) == bridge
    assert bridge.as_object()["metadata"] == written["metadata"]


def test_what_is_not_a_default_is_written_as_it_was() -> None:
    minimal = next(path for path in GOOD if path.name == "minimal.yaml")
    written = yaml.safe_load(minimal.read_text())
    assert crd.parse(written).as_object() == written


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=8,
)
FIELDS = sorted(crd.RepoBridgeSpec.model_json_schema(by_alias=True)["properties"])


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(JSON | st.dictionaries(st.sampled_from(FIELDS), JSON))
def test_whatever_is_stored_is_read_or_refused(spec: Any) -> None:
    place = ""
    try:
        bridge = crd.parse({"metadata": {"name": "payments"}, "spec": spec})
    except crd.SpecError as refused:
        place = refused.path
    assert place.startswith("spec") or crd.parse(bridge.as_object()) == bridge


URLS = st.from_regex(re.compile(REPOSITORY_URL, re.ASCII), fullmatch=True)
NEAR_URLS = st.tuples(URLS, st.integers(0, 30), st.text(max_size=2)).map(
    lambda parts: parts[0][: parts[1]] + parts[2] + parts[0][parts[1] :]
)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(URLS | NEAR_URLS)
def test_the_runner_takes_every_url_that_the_api_takes(url: str) -> None:
    # Only the runner knows which texts in brackets are addresses.
    assume("[" not in url)
    try:
        crd.Repository(url=url)
    except ValueError:
        return
    assert repositoryurl.parse(url).protocol in repositoryurl.PROTOCOLS


@pytest.mark.parametrize(
    "url",
    [
        "https://github.com/acme/payments.git",
        "https://host.example:8443/~me/x.git",
        "https://[2001:db8::1]/x.git",
        "ssh://git@host.example/srv/x.git",
        "ssh://host.example:65535/x",
        "git@github.com:acme/payments.git",
        "git@host.example:/srv/git/x.git",
    ],
)
def test_the_usual_urls_are_taken_by_both(url: str) -> None:
    assert crd.Repository(url=url).url == repositoryurl.parse(url).url
