"""What a bridge's runner is told: the JSON that its container finds in REPOBRIDGE_SETTINGS.

docs/pod.md has the contract. Nothing in it is secret: it is a part of the pod's manifest.
"""

from __future__ import annotations

import json
from typing import Any

from repobridge.crd import RepoBridge
from repobridge_operator.resources.podsettings import PodSettings

VARIABLE = "REPOBRIDGE_SETTINGS"
AGENT_PREFIX = "REPOBRIDGE_AGENT_ENV_"
"""A variable of the container with it is the agent's, without it."""
GRPC_PORT = 7443
METRICS_PORT = 9464
VOLUME = "/workspace"
HOME = f"{VOLUME}/home"
TLS = "/etc/repobridge/tls"
GIT = "/etc/repobridge/git"
RUN = "/run/repobridge"
_ANY = "0.0.0.0"  # noqa: S104 - in the pod, which the NetworkPolicy closes


def runner_settings(bridge: RepoBridge, *, settings: PodSettings) -> str:
    """The runner's settings as JSON, the same text for the same spec."""
    told = {
        "bridge_uid": bridge.metadata.uid,
        "volume": VOLUME,
        "directory": f"{VOLUME}/checkout",
        "state_dir": f"{VOLUME}/state",
        "socket": f"{RUN}/runner/session.sock",
        "repository": _repository(bridge),
        "agent": _agent(bridge),
        "warm_start": True,
        "live_sessions": bridge.spec.scaling.sessions_per_pod,
        "shutdown_grace_seconds": settings.shutdown_grace_seconds,
        "listen_address": f"{_ANY}:{GRPC_PORT}",
        "tls_directory": TLS,
        "metrics_address": f"{_ANY}:{METRICS_PORT}",
        "log_format": settings.log_format,
    }
    return json.dumps(told, ensure_ascii=False, sort_keys=True)


def _repository(bridge: RepoBridge) -> dict[str, Any]:
    repository = bridge.spec.repository
    if repository is None:
        return {}
    credentials = repository.credentials_secret_ref
    return {
        "url": repository.url,
        "ref": repository.ref,
        "credentials_dir": GIT if credentials else "",
    }


def _agent(bridge: RepoBridge) -> dict[str, Any]:
    agent, meta = bridge.spec.agent, bridge.metadata
    return {
        "type": agent.type.value,
        "model": agent.model,
        "permission_mode": agent.permission_mode.value,
        "append_system_prompt": agent.append_system_prompt,
        "allowed_tools": list(agent.allowed_tools),
        "resume": agent.resume,
        "commit_name": f"RepoBridge {meta.name}",
        # A domain that nobody can have: no commit is taken for a person's.
        "commit_email": f"{meta.name}@{meta.namespace}.repobridge.invalid",
    }
