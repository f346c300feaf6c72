"""The API `repobridge.dev/v1alpha1`: the kind RepoBridge, and how an object of it is read.

The models are spread over the modules beside this one, and all of them are found here.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Literal

from pydantic import Field, ValidationError

from repobridge.crd_access import (
    Access,
    Bucket,
    Budget,
    BudgetScope,
    Limits,
    Permission,
    Rate,
    Window,
)
from repobridge.crd_affinity import Affinity
from repobridge.crd_agent import (
    Agent,
    AgentType,
    Chat,
    ChatApi,
    ChatContext,
    ChatProvider,
    Discord,
    EnvSource,
    EnvVar,
    KeyRef,
    PermissionMode,
    Repository,
    SecretRef,
    Threads,
)
from repobridge.crd_base import Model, SpecError
from repobridge.crd_network import EgressPeer, EgressPort, EgressRule, IpBlock
from repobridge.crd_pod import ExtraVolume, PodOverrides, Resources, Toleration
from repobridge.crd_spec import (
    DEFAULT_SIZE,
    Network,
    Output,
    Reclaim,
    RepoBridgeSpec,
    Scaling,
    Workspace,
)
from repobridge.crd_status import Condition, ConditionStatus, Endpoint, RepoBridgeStatus

GROUP = "repobridge.dev"
VERSION = "v1alpha1"
API_VERSION = f"{GROUP}/{VERSION}"
KIND = "RepoBridge"
PLURAL = "repobridges"
SINGULAR = "repobridge"
SHORT_NAME = "rb"


class Metadata(Model):
    """What Kubernetes itself says about an object, as far as RepoBridge needs it."""

    name: str
    namespace: str = ""
    uid: str = ""
    generation: int = 0
    resource_version: str = ""
    labels: Mapping[str, str] = Field(default_factory=dict)
    annotations: Mapping[str, str] = Field(default_factory=dict)
    creation_timestamp: datetime | None = None
    deletion_timestamp: datetime | None = None


class RepoBridge(Model):
    """A repository with a session of an agent beside it, and the channel to talk to it."""

    api_version: Literal["repobridge.dev/v1alpha1"] = "repobridge.dev/v1alpha1"
    kind: Literal["RepoBridge"] = "RepoBridge"
    metadata: Metadata
    spec: RepoBridgeSpec
    status: RepoBridgeStatus = RepoBridgeStatus()

    def as_object(self) -> dict[str, Any]:
        """The object as a manifest has it, without what is as it is by default."""
        return {"apiVersion": self.api_version, "kind": self.kind, **super().as_object()}


def parse(obj: Mapping[str, Any]) -> RepoBridge:
    """Reads an object as the API server has it; raises SpecError about the first thing wrong."""
    try:
        return RepoBridge.model_validate(obj)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise SpecError(_sentence(first), _dotted(first["loc"])) from error


def _sentence(error: Mapping[str, Any]) -> str:
    message = str(error["msg"])
    return message[:1].lower() + message[1:]


def _dotted(path: tuple[int | str, ...]) -> str:
    written = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path)
    return written.removeprefix(".")


__all__ = [
    "API_VERSION",
    "DEFAULT_SIZE",
    "GROUP",
    "KIND",
    "PLURAL",
    "SHORT_NAME",
    "SINGULAR",
    "VERSION",
    "Access",
    "Affinity",
    "Agent",
    "AgentType",
    "Bucket",
    "Budget",
    "BudgetScope",
    "Chat",
    "ChatApi",
    "ChatContext",
    "ChatProvider",
    "Condition",
    "ConditionStatus",
    "Discord",
    "EgressPeer",
    "EgressPort",
    "EgressRule",
    "Endpoint",
    "EnvSource",
    "EnvVar",
    "ExtraVolume",
    "IpBlock",
    "KeyRef",
    "Limits",
    "Metadata",
    "Model",
    "Network",
    "Output",
    "Permission",
    "PermissionMode",
    "PodOverrides",
    "Rate",
    "Reclaim",
    "RepoBridge",
    "RepoBridgeSpec",
    "RepoBridgeStatus",
    "Repository",
    "Resources",
    "Scaling",
    "SecretRef",
    "SpecError",
    "Threads",
    "Toleration",
    "Window",
    "Workspace",
    "parse",
]
