"""The scripts that Valkey runs for us, each of which is one step that nothing comes between."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from importlib import resources
from typing import Any

from repobridge_gateway.limits.valkey.connection import FAULTS, Client, translated

_SHARED = "shared.lua"


class Scripts:
    """Runs them by their names."""

    def __init__(self, client: Client) -> None:
        folder = resources.files(__package__)
        shared = (folder / _SHARED).read_text()
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
            return await self._scripts[name](keys=keys, args=[json.dumps(ask)])
        except FAULTS as error:
            raise translated(error) from error
