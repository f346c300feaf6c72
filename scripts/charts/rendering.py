"""manifests/install.yaml: the chart as `helm template` renders it, for people without Helm."""

from __future__ import annotations

import os
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import yaml

from scripts.charts.sources import CHART

NAMESPACE = "repobridge-system"
REGISTRY = "registry.example/repobridge"
FILE = CHART.parent.parent / "manifests" / "install.yaml"
_HEAD = f"""\
# Written by `make manifests` from charts/repobridge; change that. The images are named
# {REGISTRY}/…: put your own registry there.
"""
# What only Helm gives a meaning to.
_HELMS_LABELS = ("app.kubernetes.io/managed-by", "helm.sh/chart")
_HELMS_ANNOTATION = "helm.sh/resource-policy"


class RenderingFailed(Exception):
    """Helm could not render the chart; the message is what it said."""


def text(helm: Path) -> str:
    """The file as it is committed."""
    rendered = yaml.safe_load_all(_template(helm))
    objects = [_namespace(), *(_without_helm(each) for each in rendered if each)]
    dumped: list[str] = [
        yaml.dump(each, Dumper=_Plain, sort_keys=False, width=100, allow_unicode=True)
        for each in objects
    ]
    return _HEAD + "---\n".join(dumped)


def _template(helm: Path) -> str:
    command = [str(helm), "template", "repobridge", str(CHART), f"--namespace={NAMESPACE}"]
    with tempfile.TemporaryDirectory() as home:
        done = subprocess.run(
            [*command, f"--set=images.registry={REGISTRY}"],
            env={"PATH": os.environ["PATH"], "HOME": home},
            capture_output=True,
            text=True,
            check=False,
        )
    if done.returncode != 0:
        raise RenderingFailed(done.stderr)
    return done.stdout


def _namespace() -> dict[str, Any]:
    modes = ("enforce", "warn", "audit")
    labels = {f"pod-security.kubernetes.io/{mode}": "restricted" for mode in modes}
    return {
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {"name": NAMESPACE, "labels": labels},
    }


def _without_helm(manifest: dict[str, Any]) -> dict[str, Any]:
    metadata = manifest["metadata"]
    template = manifest.get("spec", {}).get("template", {}).get("metadata", {})
    for labels in (metadata["labels"], template.get("labels", {})):
        for name in _HELMS_LABELS:
            labels.pop(name, None)
    if metadata.get("annotations", {}).pop(_HELMS_ANNOTATION, None) and not metadata["annotations"]:
        del metadata["annotations"]
    return manifest


class _Plain(yaml.SafeDumper):
    """Writes the same thing twice rather than an anchor, and texts of several lines as such."""

    def ignore_aliases(self, data: Any) -> bool:
        """Nothing is an alias."""
        return True


def _represent_text(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
    style = "|" if "\n" in value else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style=style)


_Plain.add_representer(str, _represent_text)
