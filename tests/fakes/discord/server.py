"""The HTTP side of the imitation: REST, files and the websocket on one port of loopback."""

from __future__ import annotations

import json
import logging
import socket
import struct
from collections.abc import Callable, Mapping

from aiohttp import web

from tests.fakes.discord import (
    rest_commands,
    rest_guilds,
    rest_interactions,
    rest_messages,
    rest_threads,
)
from tests.fakes.discord.call import Call, Result, Route, read_body
from tests.fakes.discord.connection import Connection
from tests.fakes.discord.faults import (
    ActThenHold,
    Cloudflare,
    Fault,
    Faults,
    Held,
    Reset,
    Status,
    TooMany,
    page,
)
from tests.fakes.discord.interactions import Interactions
from tests.fakes.discord.limits import Limiter, Verdict, too_many
from tests.fakes.discord.model import Json
from tests.fakes.discord.record import Request
from tests.fakes.discord.refusal import ApiRefusal, Unimplemented, not_found, unauthorized
from tests.fakes.discord.wires import Wires
from tests.fakes.discord.world import World

_LOG = logging.getLogger(__name__)
_PREFIX = "/api/v10"
_LINGER_ZERO = struct.pack("ii", 1, 0)
_MAX_BODY_BYTES = 256 * 1024 * 1024


class _Cut(Exception):
    """The connection is reset instead of answered."""


class Server:
    """Answers requests one at a time: no handler gives up the event loop while it acts."""

    def __init__(
        self,
        *,
        world: World,
        interactions: Interactions,
        wires: Wires,
        limiter: Limiter,
        faults: Faults,
        guilds_per_shard: int,
    ) -> None:
        self.requests: list[Request] = []
        self.failures: list[str] = []
        self.address = ("127.0.0.1", 0)
        self._world = world
        self._interactions = interactions
        self._wires = wires
        self._limiter = limiter
        self._faults = faults
        self._guilds_per_shard = guilds_per_shard
        self._routes = (
            Route("GET", "/gateway", self._get_gateway, needs_token=False),
            Route("GET", "/gateway/bot", self._get_gateway_bot),
            *rest_messages.ROUTES,
            *rest_threads.ROUTES,
            *rest_guilds.ROUTES,
            *rest_commands.ROUTES,
            *rest_interactions.ROUTES,
        )
        faults.routes = frozenset(route.name for route in self._routes)
        self.extensions: list[Callable[[web.Application], None]] = []
        self._runner: web.AppRunner | None = None

    @property
    def http_url(self) -> str:
        """Where it listens."""
        return f"http://{self.address[0]}:{self.address[1]}"

    @property
    def gateway_url(self) -> str:
        """Where the websocket is."""
        return f"ws://{self.address[0]}:{self.address[1]}/gateway/"

    async def start(self, *, host: str, port: int, listener: socket.socket | None) -> None:
        """Listen."""
        app = web.Application(client_max_size=_MAX_BODY_BYTES)
        app.router.add_get("/gateway/", self._serve_socket)
        app.router.add_get("/gateway/resume/", self._serve_socket)
        app.router.add_get("/attachments/{channel_id}/{attachment_id}/{name}", self._serve_file)
        app.router.add_route("*", _PREFIX + "/{path:.*}", self._serve)
        for extend in self.extensions:
            extend(app)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        if listener is not None:  # in a network that a test made
            await web.SockSite(self._runner, listener).start()
        else:
            await web.TCPSite(self._runner, host, port).start()
        bound = self._runner.addresses[0]
        self.address = (bound[0], bound[1])

    async def stop(self) -> None:
        """Cut all sockets and listen no more."""
        for connection in list(self._wires.connections):
            connection.cut()
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    async def _serve_socket(self, http: web.Request) -> web.StreamResponse:
        if self._wires.refuses_sockets:
            return web.Response(status=503, text=page(503), content_type="text/html")
        connection = Connection(
            world=self._world,
            wires=self._wires,
            resume_url=f"{self.gateway_url}resume/",
            guilds_per_shard=self._guilds_per_shard,
        )
        try:
            return await connection.serve(http)
        except ConnectionError:
            return web.Response()

    async def _serve_file(self, http: web.Request) -> web.Response:
        attachment = self._world.files.behind(
            http.match_info["attachment_id"],
            until=http.query.get("ex", ""),
            mark=http.query.get("hm", ""),
        )
        if attachment is None:
            return web.Response(status=404, text="This content is no longer available.")
        return web.Response(body=attachment.data, content_type=attachment.content_type)

    async def _serve(self, http: web.Request) -> web.StreamResponse:
        path = http.rel_url.raw_path.removeprefix(_PREFIX)
        route, params = self._find(http.method, path)
        name = f"{http.method} {path}" if route is None else route.name
        body: object = None
        status, code = 0, None
        try:
            response, body = await self._answer(http, route, params)
            status, code = response.status, _code_of(response)
        except _Cut:
            _reset(http)
            return web.Response()
        except ApiRefusal as refused:
            response = self._json(refused.body, status=refused.status)
            status, code = refused.status, refused.code
        except Exception as error:
            response = self._failed(error, name)
            status = response.status
        finally:
            at = self._world.clock.monotonic()
            self.requests.append(Request(at, name, path, status, body, code))
            if status in (401, 403, 429):
                self._limiter.note_invalid()
            self._world.note()
        return response

    def _find(self, method: str, path: str) -> tuple[Route | None, Mapping[str, str]]:
        for route in self._routes:
            params = route.match(method, path)
            if params is not None:
                return route, params
        return None, {}

    async def _answer(
        self, http: web.Request, route: Route | None, params: Mapping[str, str]
    ) -> tuple[web.Response, object]:
        if self._limiter.is_banned:
            return _page(429), None
        body, uploads = await read_body(http)
        if route is None:
            self.failures.append(f"unknown route: {http.method} {http.path_qs}")
            raise not_found()
        expected = f"Bot {self._world.application.token}"
        if route.needs_token and http.headers.get("Authorization") != expected:
            raise unauthorized()
        fault = self._faults.take(route.name)
        if fault is not None and (struck := await self._strike(fault)) is not None:
            return struck, body
        verdict = self._limiter.admit(route.name, params)
        if verdict.refused is not None:
            return self._json(verdict.refused, status=429, headers=verdict.headers), body
        call = Call(self._world, self._interactions, params, dict(http.query), body, uploads)
        response = self._act(route, call, verdict)
        if isinstance(fault, Reset):
            raise _Cut
        if isinstance(fault, ActThenHold):
            self._world.note()
            await fault.gate.pass_through()
        return response, body

    def _act(self, route: Route, call: Call, verdict: Verdict) -> web.Response:
        try:
            result: Result = route.handler(call)
        except ApiRefusal as refused:
            return self._json(refused.body, status=refused.status, headers=verdict.headers)
        except Unimplemented as missing:
            self.failures.append(f"not imitated: {missing} ({route.name})")
            return self._json({"message": str(missing), "code": 0}, status=501)
        except Exception as error:
            return self._failed(error, route.name)
        if result is None:
            return web.Response(status=204, headers=dict(verdict.headers) | {"Via": "1.1 google"})
        return self._json(result, status=route.status, headers=verdict.headers)

    def _failed(self, error: Exception, route: str) -> web.Response:
        """A bug here must show up where tests look, not only as a retried 500."""
        _LOG.error("the imitation failed", exc_info=error)
        self.failures.append(f"failed: {error!r} ({route})")
        return self._json({"message": "500: Internal Server Error", "code": 0}, status=500)

    async def _strike(self, fault: Fault) -> web.Response | None:
        """The answer of a fault that does not act; after a wait, None."""
        match fault:
            case Status(status, message):
                return self._json({"message": message, "code": 0}, status=status)
            case TooMany(seconds, via, is_global):
                response = self._json(too_many(seconds, is_global=is_global), status=429)
                response.headers["Retry-After"] = str(max(1, round(seconds)))
                if is_global:
                    response.headers["X-RateLimit-Global"] = "true"
                if not via:
                    del response.headers["Via"]
                return response
            case Cloudflare(status):
                return _page(status)
            case Reset(acts=False):
                raise _Cut
            case Held(gate):
                await gate.pass_through()
        return None

    def _get_gateway(self, call: Call) -> Result:
        return {"url": self.gateway_url}

    def _get_gateway_bot(self, call: Call) -> Result:
        return {
            "url": self.gateway_url,
            "shards": -(-max(1, len(self._world.guilds)) // self._guilds_per_shard),
            "session_start_limit": {
                "total": 1000,
                "remaining": max(0, 1000 - self._wires.identifies),
                "reset_after": 14_400_000,
                "max_concurrency": 1,
            },
        }

    def _json(
        self,
        body: Json | list[Json],
        *,
        status: int = 200,
        headers: Mapping[str, str] | None = None,
    ) -> web.Response:
        return web.Response(
            body=json.dumps(body).encode(),
            status=status,
            headers={"Content-Type": "application/json", "Via": "1.1 google", **(headers or {})},
        )


def _code_of(response: web.Response) -> int | None:
    """Discord's code of a refusal."""
    if response.status < 400 or response.content_type != "application/json":
        return None
    code: int | None = json.loads(response.text or "{}").get("code")
    return code


def _page(status: int) -> web.Response:
    return web.Response(status=status, text=page(status), content_type="text/html")


def _reset(http: web.Request) -> None:
    if http.transport is None:
        return
    sock: socket.socket | None = http.transport.get_extra_info("socket")
    if sock is not None:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_ZERO)
    http.transport.abort()
