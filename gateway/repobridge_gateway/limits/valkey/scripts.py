"""The scripts that Valkey runs for us, each of which is one step that nothing comes between."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from importlib import resources
from typing import Any

from repobridge_gateway.limits.valkey.batches import Batches
from repobridge_gateway.limits.valkey.connection import FAULTS, Client, translated

_PATIENCE = 4
"""How often the time for one call may pass until it is given up, waiting and trying again."""
_SHARED = "shared.lua"


class Scripts:
    """Runs them by their names."""

    def __init__(self, client: Client, *, timeout_seconds: float) -> None:
        folder = resources.files(__package__)
        shared = (folder / _SHARED).read_text()
        self._patience_seconds = timeout_seconds * _PATIENCE
        self._batches = Batches(client)
        self._scripts = {
            file.name.removesuffix(".lua"): client.register_script(shared + file.read_text())
            for file in folder.iterdir()
            if file.name.endswith(".lua") and file.name != _SHARED
        }

    async def run(self, name: str, keys: Sequence[str], ask: Mapping[str, object]) -> Any:
        """What a script answers; raises Refusal.

        A server that has forgotten it, as after a restart, is given it again.
        """
        try:
            async with asyncio.timeout(self._patience_seconds):
                return await self._batches.call(self._scripts[name], keys, json.dumps(ask))
        except FAULTS as error:
            raise translated(error) from error
