"""Which of the process's variables are the runner's, and which the agent's alone.

In a pod both come by the same way, and a user's Secret may hold any name. So the agent's have a
prefix there: none of them can steer the runner, or reach git.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

SETTINGS_VARIABLE = "REPOBRIDGE_SETTINGS"
"""Holds the settings as JSON, where no file is named."""
AGENT_PREFIX = "REPOBRIDGE_AGENT_ENV_"
"""A variable with it is the agent's, without it."""


@dataclass(frozen=True)
class OwnEnvironment:
    """The process's variables, parted."""

    runner: Mapping[str, str]
    agent: Mapping[str, str]
    settings: str
    """The settings as JSON; empty where the environment holds none."""


def part(environment: Mapping[str, str]) -> OwnEnvironment:
    """Parts the process's variables."""
    agent, runner = {}, {}
    for name, value in environment.items():
        if name.startswith(AGENT_PREFIX):
            agent[name.removeprefix(AGENT_PREFIX)] = value
        elif name != SETTINGS_VARIABLE:
            runner[name] = value
    agent.pop("", None)
    return OwnEnvironment(runner, agent, environment.get(SETTINGS_VARIABLE, ""))
