"""The real helm with the chart, as a person would run it."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from scripts.charts.sources import CHART
from tests.clustertools.cache import find_tool

REGISTRY = "registry.example/repobridge"
RELEASE, NAMESPACE = "repobridge", "repobridge-system"
_DEADLINE_SECONDS = 120.0

Object = dict[str, Any]
Values = Mapping[str, Any]


class HelmFailed(Exception):
    """helm ended with an error; `said` is what it wrote."""

    def __init__(self, command: str, said: str) -> None:
        super().__init__(f"helm {command}: {said}")
        self.said = said


class Helm:
    """`helm` with a home of its own; with a kubeconfig it reaches a cluster."""

    def __init__(self, home: Path, kubeconfig: Path | None = None) -> None:
        self._environment = {"PATH": os.environ["PATH"], "HOME": str(home)}
        if kubeconfig is not None:
            self._environment["KUBECONFIG"] = str(kubeconfig)

    def run(self, *arguments: str, values: Values | None = None) -> str:
        """Runs helm; raises HelmFailed."""
        given = () if values is None else ("--values=-",)
        done = subprocess.run(
            [find_tool("helm"), *arguments, *given],
            env=self._environment,
            input=json.dumps(values or {}),
            capture_output=True,
            text=True,
            check=False,
            timeout=_DEADLINE_SECONDS,
        )
        if done.returncode != 0:
            raise HelmFailed(" ".join(arguments), done.stderr + done.stdout)
        return done.stdout

    def template(
        self,
        values: Values | None = None,
        *,
        release: str = RELEASE,
        namespace: str = NAMESPACE,
    ) -> list[Object]:
        """The objects that these values make, beside where the images are."""
        command = ("template", release, str(CHART), f"--namespace={namespace}")
        text = self.run(*command, values=with_images(values or {}))
        return [each for each in yaml.load_all(text, Loader=yaml.CSafeLoader) if each]

    def release(
        self, verb: str, values: Values | None = None, *, namespace: str, name: str = RELEASE
    ) -> str:
        """Installs or upgrades; nothing waits for pods, as there may be no node."""
        where = f"--namespace={namespace}"
        return self.run(verb, name, str(CHART), where, values=with_images(values or {}))

    def install_over(self, values: Values, *, namespace: str) -> str:
        """Installs, and takes over what is there already without a release."""
        where = f"--namespace={namespace}"
        command = ("install", RELEASE, str(CHART), where, "--take-ownership", "--force-conflicts")
        return self.run(*command, values=with_images(values))

    def uninstall(self, *, namespace: str, name: str = RELEASE) -> str:
        """Removes a release."""
        return self.run("uninstall", name, f"--namespace={namespace}")


def with_images(values: Values) -> dict[str, Any]:
    """The values, and a registry unless they name one."""
    return {**values, "images": {"registry": REGISTRY, **values.get("images", {})}}


def one(objects: list[Object], kind: str, name: str | None = None) -> Object:
    """The one object of a kind, and of a name."""
    found = [
        each
        for each in objects
        if each["kind"] == kind and name in (None, each["metadata"]["name"])
    ]
    assert len(found) == 1, [each["metadata"]["name"] for each in found]
    return found[0]
