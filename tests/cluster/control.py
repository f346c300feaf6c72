"""Orders to a running supervisor: one line of JSON there and one back, over its socket."""

from __future__ import annotations

import asyncio
import json
import signal
from pathlib import Path

from tests.cluster.daemons import DaemonError, Daemons

_SECONDS = 120.0


class ControlServer:
    """The supervisor's end."""

    def __init__(self, daemons: Daemons) -> None:
        self._daemons = daemons

    async def serve(self, path: Path) -> asyncio.Server:
        """Listens; the socket is the owner's alone, as its directory is."""
        return await asyncio.start_unix_server(self._converse, path)

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            error = await self._obey(json.loads(await reader.readline()))
            writer.write(json.dumps({"error": error}).encode() + b"\n")
            await writer.drain()
        finally:
            writer.close()

    async def _obey(self, order: dict[str, str]) -> str | None:
        try:
            match order:
                case {"verb": "stop", "daemon": name, "signal": number}:
                    await self._daemons.stop(name, signal_number=signal.Signals[number])
                case {"verb": "start", "daemon": name}:
                    self._daemons.start_again(name)
                case _:
                    return f"The supervisor does not know {order}."
        except DaemonError as error:
            return str(error)
        return None


async def order(path: Path, **what: str) -> None:
    """Has the supervisor at a socket do one thing; raises `DaemonError` when it could not."""
    async with asyncio.timeout(_SECONDS):
        reader, writer = await asyncio.open_unix_connection(path)
        try:
            writer.write(json.dumps(what).encode() + b"\n")
            answer = json.loads(await reader.readline())
        finally:
            writer.close()
    if answer["error"] is not None:
        raise DaemonError(answer["error"])
