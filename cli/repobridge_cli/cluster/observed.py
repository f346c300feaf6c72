"""A RepoBridge as the cluster has it, and every change of it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any

from repobridge_cli.cluster.kubectl import Kubectl, end

RESOURCE = "repobridges.repobridge.dev"
_AGAIN_SECONDS = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Observed:
    """What matters of it to somebody who talks with it."""

    name: str
    repository: str = ""
    agent: str = "claude"
    wish: int = 0
    is_suspended: bool = False
    is_deleted: bool = False
    refusal: str = ""
    """Why the operator does not serve it; empty where it does."""
    phase: str = ""
    reason: str = ""
    message: str = ""
    """Of the condition Ready."""
    pod_name: str = ""
    pod_uid: str = ""


def read(obj: Mapping[str, Any]) -> Observed:
    """Reads an object; what is missing is as a fresh one has it."""
    spec, status = obj.get("spec") or {}, obj.get("status") or {}
    conditions = {each.get("type"): each for each in status.get("conditions") or ()}
    accepted, ready = conditions.get("Accepted") or {}, conditions.get("Ready") or {}
    endpoint = status.get("endpoint") or {}
    return Observed(
        name=obj["metadata"]["name"],
        repository=(spec.get("repository") or {}).get("url", ""),
        agent=(spec.get("agent") or {}).get("type", "claude"),
        wish=int(spec.get("replicas") or 0),
        is_suspended=bool(spec.get("suspend")),
        is_deleted="deletionTimestamp" in obj["metadata"],
        refusal=accepted.get("message", "") if accepted.get("status") == "False" else "",
        phase=status.get("phase", ""),
        reason=ready.get("reason", ""),
        message=ready.get("message", ""),
        pod_name=endpoint.get("podName", ""),
        pod_uid=endpoint.get("podUID", ""),
    )


async def get(kubectl: Kubectl, name: str) -> Observed:
    """Reads a bridge; raises ClusterError where there is none, or it may not be read."""
    return read(json.loads(await kubectl.run("get", RESOURCE, name, "-o", "json")))


async def watch(kubectl: Kubectl, name: str) -> AsyncIterator[Observed]:
    """The bridge now and after each change, for ever; a watch that ends begins again."""
    arguments = ("--field-selector", f"metadata.name={name}", "-o", "json")
    while True:
        process = await kubectl.start(
            "get", RESOURCE, *arguments, "--watch", "--output-watch-events"
        )
        assert process.stdout is not None
        try:
            async for line in process.stdout:
                event = json.loads(line)
                seen = read(event["object"])
                yield seen if event["type"] != "DELETED" else _deleted(seen)
        finally:
            await end(process)
        await asyncio.sleep(_AGAIN_SECONDS)


def _deleted(seen: Observed) -> Observed:
    return Observed(name=seen.name, is_deleted=True)
