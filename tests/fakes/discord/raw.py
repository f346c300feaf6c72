"""Plain clients of the imitation, for what discord.py would not send or hides."""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import aiohttp

from tests.fakes.discord.control import Discord


@dataclass(frozen=True)
class RawAnswer:
    """An answer as it came; `body` is text when it is no JSON."""

    status: int
    body: Any
    headers: Mapping[str, str]

    @property
    def code(self) -> int | None:
        """Discord's code of a refusal."""
        return self.body.get("code") if isinstance(self.body, dict) else None

    def errors_at(self, path: str) -> list[str]:
        """The codes in a 50035 at a place, whose parts are separated by dots."""
        node = self.body["errors"]
        for part in path.split("."):
            node = node[part]
        return [item["code"] for item in node["_errors"]]


class RawRest:
    """Sends requests as the bot, or with any other headers."""

    def __init__(self, fake: Discord, http: aiohttp.ClientSession) -> None:
        self._fake = fake
        self._http = http

    async def __call__(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        token: str | None = None,
        data: bytes | aiohttp.FormData | None = None,
        content_type: str | None = "application/json",
    ) -> RawAnswer:
        """One request; `data` is sent as it is, else the body as JSON."""
        headers = {"Authorization": f"Bot {token or self._fake.token}"}
        if data is None and body is not None:
            data = json.dumps(body).encode()
        if isinstance(data, bytes) and content_type is not None:
            headers["Content-Type"] = content_type
        url = self._fake.api_base + path
        async with self._http.request(method, url, data=data, headers=headers) as response:
            text = await response.text()
            is_json = response.headers.get("Content-Type") == "application/json"
            return RawAnswer(
                response.status, json.loads(text) if is_json else text, dict(response.headers)
            )


class RawSocket:
    """A websocket to the gateway that speaks only when told."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse, *, is_zipped: bool) -> None:
        self._socket = socket
        self._unzip = zlib.decompressobj() if is_zipped else None

    async def send(self, op: int, data: object) -> None:
        """Send one payload."""
        await self._socket.send_json({"op": op, "d": data})

    async def send_text(self, text: str) -> None:
        """Send anything."""
        await self._socket.send_str(text)

    async def receive(self) -> dict[str, Any]:
        """The next payload."""
        if self._unzip is None:
            text = await self._socket.receive_str(timeout=60)
        else:
            text = self._unzip.decompress(await self._socket.receive_bytes(timeout=60)).decode()
        payload: dict[str, Any] = json.loads(text)
        return payload

    async def until(self, name: str) -> dict[str, Any]:
        """The next dispatch of that name."""
        while (payload := await self.receive())["t"] != name:
            pass
        return payload

    async def close_code(self) -> int | None:
        """Read to the end, and say how it ended."""
        async for _ in self._socket:
            pass
        return self._socket.close_code

    async def identify(self, token: str, *, intents: int = 513, **fields: object) -> None:
        """Begin a session."""
        properties = {"os": "linux", "browser": "test", "device": "test"}
        told = {"token": token, "intents": intents, "properties": properties, **fields}
        await self.send(2, told)

    async def resume(self, token: str, session_id: str, sequence: int) -> None:
        """Go on with a session."""
        await self.send(6, {"token": token, "session_id": session_id, "seq": sequence})


async def connect(
    fake: Discord, http: aiohttp.ClientSession, *, query: str = "v=10&encoding=json"
) -> RawSocket:
    """Open a websocket and read its hello."""
    socket = await http.ws_connect(f"{fake.gateway_url}?{query}")
    opened = RawSocket(socket, is_zipped="zlib-stream" in query)
    if "v=10" in query:
        hello = await opened.receive()
        if hello["op"] != 10:
            raise AssertionError(f"no hello but {hello}")
    return opened
