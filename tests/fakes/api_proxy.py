"""A proxy in front of a real API server that fails on request, as networks and servers do.

It ends TLS and passes everything on untouched, until it is told to refuse, cut, hang or silence
what matches. Refusals look as the API server's own: a `Status` with its constant reason. Upgraded
connections (exec, port-forward) do not pass.
"""

from __future__ import annotations

import asyncio
import json
import re
import ssl
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web
from yarl import URL

_HOST = "127.0.0.1"
_REASONS = {
    400: "BadRequest",
    403: "Forbidden",
    404: "NotFound",
    409: "Conflict",
    410: "Expired",
    422: "Invalid",
    429: "TooManyRequests",
    500: "InternalError",
    503: "ServiceUnavailable",
    504: "Timeout",
}
# Of one connection only, so not for the other side (RFC 9110, 7.6.1); the client sets its own Host.
_HOP_BY_HOP = frozenset(
    {"connection", "keep-alive", "proxy-connection", "te", "transfer-encoding", "upgrade", "host"}
)
_AUTOMATIC = ("Accept", "Accept-Encoding", "Content-Type", "User-Agent")
_NO_TIMEOUT = aiohttp.ClientTimeout(total=None)
_UNLIMITED_BODY = 1 << 30


@dataclass(frozen=True)
class Seen:
    """A request that reached the proxy, whether or not it went on."""

    method: str
    path: str
    is_watch: bool


@dataclass(frozen=True)
class _Target:
    """Which requests are meant."""

    method: str | None
    path: re.Pattern[str]
    watches: bool | None = None
    """Watches only, all but watches, or both."""

    def matches(self, seen: Seen) -> bool:
        return (
            self.method in {None, seen.method}
            and self.watches in {None, seen.is_watch}
            and self.path.search(seen.path) is not None
        )


@dataclass(eq=False)
class Fault:
    """A fault for the next `times` requests that match; `await fault.used.wait()` for the last."""

    target: _Target
    times: int
    used: asyncio.Event = field(default_factory=asyncio.Event)

    async def strike(self, request: web.Request, proxy: ApiProxy) -> web.StreamResponse:
        """What happens to the request."""
        raise NotImplementedError


@dataclass(eq=False)
class _Refusal(Fault):
    status: dict[str, Any] = field(kw_only=True)
    headers: dict[str, str] = field(kw_only=True)

    async def strike(self, request: web.Request, proxy: ApiProxy) -> web.StreamResponse:
        return web.json_response(self.status, status=self.status["code"], headers=self.headers)


@dataclass(eq=False)
class _Cut(Fault):
    carried_out: bool = field(kw_only=True)

    async def strike(self, request: web.Request, proxy: ApiProxy) -> web.StreamResponse:
        if self.carried_out:
            async with proxy.forward(request) as answer:
                await answer.read()
        _abort(request)
        return web.Response()


@dataclass(eq=False)
class _Hang(Fault):
    async def strike(self, request: web.Request, proxy: ApiProxy) -> web.StreamResponse:
        # Ends by cancellation, when the client gives up or the proxy stops.
        never: asyncio.Future[web.StreamResponse] = asyncio.get_running_loop().create_future()
        return await never


@dataclass(eq=False)
class _Expiry(Fault):
    """What the API server does with a watch from a version that etcd has compacted."""

    async def strike(self, request: web.Request, proxy: ApiProxy) -> web.StreamResponse:
        event = {"type": "ERROR", "object": make_status(410, "too old resource version")}
        return web.Response(body=json.dumps(event) + "\n", content_type="application/json")


@dataclass(frozen=True, eq=False)
class _Watch:
    """A watch under way."""

    request: web.Request
    seen: Seen


class ApiProxy:
    """The running proxy at `url`. Faults come in the order in which they were asked for."""

    def __init__(self, upstream: str, session: aiohttp.ClientSession) -> None:
        self.url = ""
        self.seen: list[Seen] = []
        self._upstream = upstream
        self._session = session
        self._faults: list[Fault] = []
        self._silences: list[tuple[_Target, asyncio.Event]] = []
        self._watches: set[_Watch] = set()

    def refuse(
        self,
        code: int,
        *,
        method: str | None = None,
        path: str = "",
        times: int = 1,
        reason: str | None = None,
        message: str = "refused by a test",
        retry_after_seconds: int | None = None,
    ) -> Fault:
        """Answers requests with an error; `path` is a regular expression, found anywhere in it."""
        status = make_status(code, message, reason=reason)
        headers = {}
        if retry_after_seconds is not None:
            headers["Retry-After"] = str(retry_after_seconds)
            status["details"] = {"retryAfterSeconds": retry_after_seconds}
        target = _Target(method, re.compile(path))
        return self._add(_Refusal(target, times, status=status, headers=headers))

    def cut(
        self,
        *,
        method: str | None = None,
        path: str = "",
        times: int = 1,
        carried_out: bool = False,
    ) -> Fault:
        """Resets connections instead of an answer: before the request is passed on, or after."""
        target = _Target(method, re.compile(path))
        return self._add(_Cut(target, times, carried_out=carried_out))

    def hang(self, *, method: str | None = None, path: str = "", times: int = 1) -> Fault:
        """Takes requests, passes nothing on and never answers."""
        return self._add(_Hang(_Target(method, re.compile(path)), times))

    def expire_watches(self, *, path: str = "", times: int = 1) -> Fault:
        """Answers watches with an ERROR event of code 410."""
        return self._add(_Expiry(_Target("GET", re.compile(path), watches=True), times))

    def cut_watches(self, *, path: str = "") -> int:
        """Resets the connections of watches under way; returns how many there were."""
        target = _Target("GET", re.compile(path), watches=True)
        meant = [watch for watch in self._watches if target.matches(watch.seen)]
        for watch in meant:
            _abort(watch.request)
        return len(meant)

    @contextmanager
    def silence_watches(self, *, path: str = "") -> Iterator[None]:
        """Lets nothing of watches through, neither events nor their end; connections stay open."""
        silence = (_Target("GET", re.compile(path), watches=True), asyncio.Event())
        self._silences.append(silence)
        try:
            yield
        finally:
            self._silences.remove(silence)
            silence[1].set()

    def watches(self, *, path: str = "") -> int:
        """How many watches are under way."""
        target = _Target("GET", re.compile(path), watches=True)
        return sum(target.matches(watch.seen) for watch in self._watches)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Answers one request."""
        is_watch = request.query.get("watch") in {"true", "1"}
        seen = Seen(request.method, request.path, is_watch)
        self.seen.append(seen)
        fault = self._take(seen)
        if fault is not None:
            return await fault.strike(request, self)
        watch = _Watch(request, seen)
        if is_watch:
            self._watches.add(watch)
        try:
            return await self._pass_on(request, seen)
        except (aiohttp.ClientConnectionError, aiohttp.ClientPayloadError):
            # The API server is gone, or went in the middle: so does this connection.
            _abort(request)
            return web.Response()
        finally:
            self._watches.discard(watch)

    @asynccontextmanager
    async def forward(self, request: web.Request) -> AsyncIterator[aiohttp.ClientResponse]:
        """The API server's answer to the request."""
        async with self._session.request(
            request.method,
            URL(f"{self._upstream}{request.raw_path}", encoded=True),
            headers=_passed(request.headers.items()),
            skip_auto_headers=_AUTOMATIC,
            data=await request.read() or None,
            allow_redirects=False,
        ) as answer:
            yield answer

    async def _pass_on(self, request: web.Request, seen: Seen) -> web.StreamResponse:
        async with self.forward(request) as answer:
            response = web.StreamResponse(status=answer.status, reason=answer.reason)
            response.headers.update(_passed(answer.headers.items()))
            await self._await_sound(seen)
            await response.prepare(request)
            async for chunk in answer.content.iter_any():
                await self._await_sound(seen)
                await response.write(chunk)
            await self._await_sound(seen)
            await response.write_eof()
            return response

    async def _await_sound(self, seen: Seen) -> None:
        for target, broken in list(self._silences):
            if target.matches(seen):
                await broken.wait()

    def _add(self, fault: Fault) -> Fault:
        self._faults.append(fault)
        return fault

    def _take(self, seen: Seen) -> Fault | None:
        for fault in self._faults:
            if fault.target.matches(seen):
                fault.times -= 1
                if fault.times == 0:
                    self._faults.remove(fault)
                    fault.used.set()
                return fault
        return None


def make_status(code: int, message: str, *, reason: str | None = None) -> dict[str, Any]:
    """A refusal as the API server words it."""
    return {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": message,
        "reason": reason or _REASONS[code],
        "code": code,
    }


@asynccontextmanager
async def serve(
    upstream: str, *, ca_file: Path, certificate: Path, key: Path
) -> AsyncIterator[ApiProxy]:
    """A running proxy with this certificate, in front of a server that `ca_file` vouches for."""
    trust = ssl.create_default_context(cafile=str(ca_file))
    async with aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(ssl=trust, limit=0),
        timeout=_NO_TIMEOUT,
        auto_decompress=False,
    ) as session:
        proxy = ApiProxy(upstream, session)
        application = web.Application(client_max_size=_UNLIMITED_BODY)
        application.router.add_route("*", "/{path:.*}", proxy.handle)
        runner = web.AppRunner(
            application, shutdown_timeout=0.1, handler_cancellation=True, auto_decompress=False
        )
        await runner.setup()
        identity = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        identity.load_cert_chain(certificate, key)
        await web.TCPSite(runner, _HOST, 0, ssl_context=identity).start()
        proxy.url = f"https://{_HOST}:{runner.addresses[0][1]}"
        try:
            yield proxy
        finally:
            await runner.cleanup()


def _passed(headers: Any) -> list[tuple[str, str]]:
    return [(name, value) for name, value in headers if name.lower() not in _HOP_BY_HOP]


def _abort(request: web.Request) -> None:
    if request.transport is not None:
        request.transport.abort()
