"""A RepoBridge as kubectl has it, and every change of it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator

from repobridge_cli.cluster.kubectl import Kubectl, end
from repobridge_gateway.fleet.observed import Observed, read

RESOURCE = "repobridges.repobridge.dev"
_AGAIN_SECONDS = 1.0


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
