"""The agent's hooks arrive here: HTTP on loopback, one path and one token for each session.

A handler may hold its answer for as long as a person thinks; when the agent hangs up meanwhile
(the dialog was closed in the terminal, the process died), the handler is cancelled.
"""

from __future__ import annotations

import asyncio
import hmac
import json
import secrets
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

import h11

from repobridge.telemetry import Logger

HookHandler = Callable[[Mapping[str, Any]], Awaitable[Mapping[str, Any]]]
MAX_BODY_BYTES = 64 << 20
_READ_BYTES = 64 << 10
_log = Logger("repobridge.hooks")


@dataclass(frozen=True, slots=True)
class HookEndpoint:
    """Where one session's agent posts its hooks."""

    url: str
    token: str


class HookServer:
    """Serves the hooks of every session of a runner."""

    def __init__(self) -> None:
        self._handlers: dict[str, tuple[str, HookHandler]] = {}
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Listens on a free port of the loopback address."""
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)

    def register(self, handler: HookHandler) -> HookEndpoint:
        """Gives a new path and token to a handler."""
        assert self._server is not None, "start comes first"
        port = self._server.sockets[0].getsockname()[1]
        path, token = f"/{secrets.token_urlsafe(12)}", secrets.token_urlsafe(24)
        self._handlers[path] = (token, handler)
        return HookEndpoint(f"http://127.0.0.1:{port}{path}", token)

    def unregister(self, endpoint: HookEndpoint) -> None:
        """Forgets a handler; what still comes for it is refused."""
        self._handlers.pop("/" + endpoint.url.rsplit("/", 1)[1], None)

    async def close(self) -> None:
        """Stops listening and hangs up."""
        if self._server is not None:
            self._server.close()
        for connection in tuple(self._connections):
            connection.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        try:
            await self._serve(_Connection(reader, writer))
        except (ConnectionError, h11.RemoteProtocolError) as error:
            _log.debug("hook connection broke", error=str(error))
        except asyncio.CancelledError:
            pass  # close() hangs up; nobody awaits this task's result
        finally:
            self._connections.discard(task)
            writer.close()

    async def _serve(self, connection: _Connection) -> None:
        while True:
            request = await connection.request()
            if request is None:
                return
            status, answer = await self._answer(request, connection)
            if status is None or not await connection.respond(status, answer):
                return

    async def _answer(
        self, request: _Request, connection: _Connection
    ) -> tuple[int | None, Mapping[str, Any]]:
        token, handler = self._handlers.get(request.path, ("", None))
        expected = f"Bearer {token}".encode()
        if handler is None or not hmac.compare_digest(request.authorization, expected):
            return 403, {"error": "unknown session or token"}
        try:
            payload = json.loads(request.body)
        except ValueError:
            return 400, {"error": "the body is not JSON"}
        if request.method != b"POST" or not isinstance(payload, dict):
            return 400, {"error": "a hook is a POST of one JSON object"}
        return await _unless_hung_up(handler(payload), connection)


async def _unless_hung_up(
    answer: Awaitable[Mapping[str, Any]], connection: _Connection
) -> tuple[int | None, Mapping[str, Any]]:
    working = asyncio.ensure_future(answer)
    try:
        # Most answers are there at once: no watcher for those.
        await asyncio.sleep(0)
        if not working.done():
            gone = asyncio.ensure_future(connection.hung_up())
            try:
                await asyncio.wait({working, gone}, return_when=asyncio.FIRST_COMPLETED)
            finally:
                gone.cancel()
                await asyncio.gather(gone, return_exceptions=True)
        if not working.done():
            return None, {}
        return 200, working.result()
    except Exception as error:
        _log.error("hook failed", cause=error)
        return 500, {"error": "the hook failed"}
    finally:
        if not working.done():
            working.cancel()
            await asyncio.gather(working, return_exceptions=True)


@dataclass(frozen=True, slots=True)
class _Request:
    method: bytes
    path: str
    authorization: bytes
    body: bytes


class _Connection:
    """One HTTP/1.1 connection, sans I/O by h11."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._http = h11.Connection(h11.SERVER)

    async def request(self) -> _Request | None:
        """The next request, whole; None when the agent hung up between requests."""
        head = await self._event()
        if not isinstance(head, h11.Request):
            return None
        headers = dict(head.headers)
        body = bytearray()
        while isinstance(event := await self._event(), h11.Data):
            body += event.data
            if len(body) > MAX_BODY_BYTES:
                raise h11.RemoteProtocolError("hook body too large", 413)
        if not isinstance(event, h11.EndOfMessage):
            return None
        target = head.target.decode("ascii", "replace")
        return _Request(head.method, target, headers.get(b"authorization", b""), bytes(body))

    async def respond(self, status: int, answer: Mapping[str, Any]) -> bool:
        """Sends a JSON answer; False when the connection is over."""
        body = json.dumps(answer).encode()
        headers = [("content-type", "application/json"), ("content-length", str(len(body)))]
        parts = (
            h11.Response(status_code=status, headers=headers),
            h11.Data(data=body),
            h11.EndOfMessage(),
        )
        self._writer.write(b"".join(self._http.send(part) or b"" for part in parts))
        await self._writer.drain()
        if self._http.our_state is not h11.DONE or self._http.their_state is not h11.DONE:
            return False
        self._http.start_next_cycle()
        return True

    async def hung_up(self) -> None:
        """Returns when the other side has closed; what it pipelines meanwhile is kept."""
        while data := await self._reader.read(_READ_BYTES):
            self._http.receive_data(data)

    async def _event(self) -> h11.Event | type[h11.NEED_DATA] | type[h11.PAUSED]:
        while (event := self._http.next_event()) is h11.NEED_DATA:
            self._http.receive_data(await self._reader.read(_READ_BYTES))
        return event
