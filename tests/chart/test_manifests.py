"""What is written from elsewhere is current: the chart's copies, and the manifests of the chart."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from scripts.charts import rendering
from scripts.charts.sources import sources
from scripts.crds.definition import FILE, definition
from tests.apiserver.kubectl import Kubectl
from tests.apiserver.rest import Rest
from tests.chart.helm import Helm, Object, one
from tests.clustertools.cache import find_tool

_REVIEWS = "/apis/authorization.k8s.io/v1/subjectaccessreviews"
SAMPLES = sorted((rendering.FILE.parent / "samples").glob("*.yaml"))


@pytest.mark.parametrize(("path", "text"), sources().items(), ids=lambda each: str(each)[-20:])
def test_what_the_chart_takes_from_elsewhere_is_current(path: Path, text: str) -> None:
    assert path.read_text() == text, "out of date: run `make manifests`"


def test_the_charts_definition_is_that_of_crds_with_a_policy_to_keep_it(helm: Helm) -> None:
    found = one(helm.template(), "CustomResourceDefinition")
    committed = yaml.safe_load(FILE.read_text())
    assert found["metadata"].pop("annotations") == {"helm.sh/resource-policy": "keep"}
    del found["metadata"]["labels"]
    assert found == committed == definition()


def test_the_manifest_for_kubectl_is_what_the_chart_says() -> None:
    text = rendering.text(find_tool("helm"))
    assert rendering.FILE.read_text() == text, "out of date: run `make manifests`"


def test_the_manifest_for_kubectl_has_the_charts_objects_in_a_restricted_namespace(
    helm: Helm,
) -> None:
    namespace, *objects = yaml.safe_load_all(rendering.FILE.read_text())
    assert namespace["metadata"] == {
        "name": "repobridge-system",
        "labels": {
            "pod-security.kubernetes.io/enforce": "restricted",
            "pod-security.kubernetes.io/warn": "restricted",
            "pod-security.kubernetes.io/audit": "restricted",
        },
    }
    charts = helm.template()
    assert [_body(each) for each in objects] == [_body(each) for each in charts]
    assert "helm" not in rendering.FILE.read_text().lower()


def _body(manifest: Object) -> Object:
    """An object without what tells Helm's objects from others."""
    labels = manifest.get("spec", {}).get("template", {}).get("metadata", {}).get("labels", {})
    labels.pop("app.kubernetes.io/managed-by", None)
    name = manifest["metadata"]["name"]
    return {**manifest, "metadata": {"name": name}}


@pytest.mark.usefixtures("cluster_helm")
async def test_kubectl_installs_and_the_samples_are_taken(
    admin: Rest, kubectl: Kubectl, namespace: str
) -> None:
    await kubectl("apply", "--server-side", "-f", str(rendering.FILE))
    name = definition()["metadata"]["name"]
    await kubectl("wait", "--for=create", f"crd/{name}", "--timeout=90s")
    await kubectl("wait", "--for=condition=Established", f"crd/{name}", "--timeout=90s")
    for sample in SAMPLES:
        await kubectl("apply", "--server-side", "-n", namespace, "-f", str(sample))
    bridges = await admin.get(f"/apis/repobridge.dev/v1alpha1/namespaces/{namespace}/repobridges")
    found = {each["metadata"]["name"]: each["spec"] for each in bridges["items"]}
    assert sorted(found) == ["hello", "payments", "payments-ssh"]
    held = await admin.get(f"/api/v1/namespaces/{namespace}/secrets")
    assert _named_secrets(list(found.values())) <= {
        each["metadata"]["name"] for each in held["items"]
    }
    await kubectl("delete", "-f", str(rendering.FILE), "--wait=false")


def _named_secrets(specs: list[dict[str, dict[str, dict[str, str]]]]) -> set[str]:
    return {
        spec[part]["credentialsSecretRef"]["name"]
        for spec in specs
        for part in ("repository", "agent")
        if "credentialsSecretRef" in spec[part]
    }


@pytest.mark.parametrize(
    ("asked", "is_allowed"),
    [
        (("watch", "repobridge.dev:repobridges"), True),
        (("patch", "repobridge.dev:repobridges/scale"), True),
        (("create", "pods/exec"), True),
        (("get", "pods/log"), True),
        (("patch", "repobridge.dev:repobridges"), False),
        (("get", "secrets"), False),
        (("delete", "pods"), False),
    ],
)
async def test_people_of_the_sample_may_talk_and_no_more(
    admin: Rest, kubectl: Kubectl, namespace: str, asked: tuple[str, str], is_allowed: bool
) -> None:
    verb, resource = asked
    people = next(path for path in SAMPLES if path.name == "people.yaml")
    await kubectl("apply", "--server-side", "-n", namespace, "-f", str(people))
    group, _, rest = resource.rpartition(":")
    plural, _, sub = rest.partition("/")
    attributes = {"namespace": namespace, "verb": verb, "group": group, "resource": plural}
    spec = {
        "user": "ann",
        "groups": ["payments-team"],
        "resourceAttributes": {**attributes, "subresource": sub},
    }
    answer = await admin.create(_REVIEWS, {"spec": spec})
    assert answer["status"]["allowed"] is is_allowed
