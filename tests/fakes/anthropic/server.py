"""The imitation itself: an HTTP server on loopback that a test scripts and questions."""

from __future__ import annotations

import asyncio
import itertools
import json
import logging
import random
import socket
import string
import time
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any, Self

from aiohttp import web

from tests.fakes.anthropic import delivery
from tests.fakes.anthropic.accounting import tokens_of, usage_of
from tests.fakes.anthropic.chunking import NewChunker, Whole
from tests.fakes.anthropic.record import Record, Refusal
from tests.fakes.anthropic.refusal import ApiRefusal
from tests.fakes.anthropic.replies import (
    ApiError,
    Hang,
    Message,
    Reply,
    Reset,
    SseError,
    Text,
    ToolUse,
    message_of,
)
from tests.fakes.anthropic.requests import MessagesRequest
from tests.fakes.anthropic.scenarios import echo
from tests.fakes.anthropic.script import Handler, Match, Rule, Script
from tests.fakes.anthropic.sse import Envelope, error_body, error_event
from tests.fakes.anthropic.validate import MAX_BODY_BYTES, check_body, check_headers, parse_body

DEFAULT_KEY = "sk-ant-api03-imitation-0000000000000000000000000-AAAA"
_LOG = logging.getLogger(__name__)
_ALPHABET = string.ascii_letters + string.digits


class FakeAnthropic(Record):
    """The Messages API on a loopback port, for the time of an `async with`.

    Its event loop must be free to run: start the CLI with asyncio's subprocesses.
    """

    def __init__(
        self,
        *,
        handler: Handler = echo,
        key: str = DEFAULT_KEY,
        host: str = "127.0.0.1",
        port: int = 0,
        seed: int = 0,
        new_chunker: NewChunker = Whole,
        has_model: Callable[[str], bool] = lambda model: True,
        clock: Callable[[], float] = time.monotonic,
        listener: socket.socket | None = None,
    ) -> None:
        super().__init__()
        self.key = key
        self.new_chunker = new_chunker
        self.has_model = has_model
        self._script = Script(handler)
        self._address = host
        self._port = port
        self._listener = listener
        self._clock = clock
        self._ids = random.Random(seed)
        self._numbers = itertools.count(1)
        self._runner: web.AppRunner | None = None

    @property
    def base_url(self) -> str:
        """What ANTHROPIC_BASE_URL has to be."""
        return f"http://{self._address}:{self._port}"

    def script(self, *replies: Reply | Handler) -> None:
        """Queue replies for the next requests, in order; a callable becomes the handler instead."""
        for reply in replies:
            if callable(reply):
                self._script.handler = reply
            else:
                self._script.queue.append(reply)

    @property
    def queued(self) -> int:
        """How many scripted replies nobody has asked for yet."""
        return len(self._script.queue)

    def when(self, match: Match, *replies: Reply | Handler) -> None:
        """Answer prompts that contain (or satisfy) `match`: the n-th reply in the n-th round."""
        self._script.rules.append(Rule(match, replies))

    def script_side(self, handler: Handler) -> None:
        """Answer the CLI's housekeeping requests."""
        self._script.side_handler = handler

    async def __aenter__(self) -> Self:
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._serve)
        self._runner = web.AppRunner(
            app, access_log=None, handler_cancellation=True, shutdown_timeout=0.1
        )
        await self._runner.setup()
        if self._listener is not None:  # in a network that a test made
            await web.SockSite(self._runner, self._listener).start()
        else:
            await web.TCPSite(self._runner, self._address, self._port).start()
        self._address, self._port = self._runner.addresses[0][:2]
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    async def _serve(self, http: web.Request) -> web.StreamResponse:
        try:
            return await self._route(http)
        except ApiRefusal as refused:
            return await self._refuse(http, refused)
        except (ConnectionError, web.HTTPException):
            raise
        except Exception as error:
            # A broken handler must show up where tests look, not only as a retried 500.
            _LOG.exception("the reply could not be made")
            return await self._refuse(http, ApiRefusal(500, "api_error", repr(error)))

    async def _refuse(self, http: web.Request, why: ApiRefusal) -> web.Response:
        await self.note_refusal(
            Refusal(http.method, http.path_qs, why.status, why.error_type, why.message)
        )
        return self._error_response(ApiError(why.status, why.error_type, why.message))

    async def _route(self, http: web.Request) -> web.StreamResponse:
        if http.path == "/" and http.method == "HEAD":
            return web.Response()
        if http.path not in ("/v1/messages", "/v1/messages/count_tokens"):
            raise ApiRefusal(404, "not_found_error", "Not found")
        if http.method != "POST":
            raise ApiRefusal(405, "invalid_request_error", "Method Not Allowed")
        raw = await _read_body(http)
        headers = {name.lower(): value for name, value in http.headers.items()}
        check_headers(headers, self.key)
        body = parse_body(raw)
        counts_only = http.path.endswith("count_tokens")
        check_body(
            body,
            betas=headers.get("anthropic-beta", ""),
            counts_only=counts_only,
            has_model=self.has_model,
        )
        if counts_only:
            return self._json(json.dumps({"input_tokens": tokens_of(len(raw))}).encode())
        return await self._answer(http, self._recorded(body, headers, size=len(raw)))

    def _recorded(
        self, body: Mapping[str, Any], headers: Mapping[str, str], *, size: int
    ) -> MessagesRequest:
        return MessagesRequest(next(self._numbers), self._clock(), body, headers, size)

    async def _answer(self, http: web.Request, request: MessagesRequest) -> web.StreamResponse:
        await self.note_request(request)
        try:
            return await self._deliver(http, request, await self._script.reply_to(request))
        except (ConnectionError, asyncio.CancelledError):
            await self.note_abort(request)
            raise

    async def _deliver(
        self, http: web.Request, request: MessagesRequest, reply: Reply
    ) -> web.StreamResponse:
        match reply:
            case Hang():
                await reply.gate.pass_through()
                return await self._deliver(http, request, reply.then)
            case ApiError():
                return self._error_response(reply)
            case SseError() if not request.stream:
                status = 529 if reply.type == "overloaded_error" else 500
                return self._error_response(ApiError(status, reply.type, reply.message))
            case SseError():
                return await self._send(http, request, message_of(reply.of), error=reply)
            case Reset():
                message = message_of(reply.of or Text(""))
                return await self._send(http, request, message, reset=reply)
            case Text() | ToolUse() | Message():
                return await self._send(http, request, message_of(reply))

    async def _send(
        self,
        http: web.Request,
        request: MessagesRequest,
        message: Message,
        *,
        error: SseError | None = None,
        reset: Reset | None = None,
    ) -> web.StreamResponse:
        kind = "text/event-stream; charset=utf-8" if request.stream else "application/json"
        response = web.StreamResponse(headers=self._headers() | {"Content-Type": kind})
        if reset is not None and reset.of is None:
            await delivery.break_off(http, reset)
            return response
        limit = None if reset is None else reset.after_bytes
        sink = delivery.Sink(response, self.new_chunker(), limit=limit)
        envelope = self._envelope(request, message)
        await response.prepare(http)
        try:
            if not request.stream:
                await delivery.document(sink, message, envelope)
            else:
                await delivery.stream(
                    sink, message, envelope, complete=error is None and reset is None
                )
            if error is not None:
                request_id = self._id("req_")
                await sink.write(error_event(error.type, error.message, request_id=request_id))
                await sink.flush()
        except delivery.Cut:
            pass
        if reset is not None:
            await delivery.break_off(http, reset)
        else:
            await response.write_eof()
        return response

    def _envelope(self, request: MessagesRequest, message: Message) -> Envelope:
        return Envelope(
            message_id=self._id("msg_01"),
            model=request.model,
            usage=usage_of(request, message),
            tool_use_id=lambda: self._id("toolu_01"),
        )

    def _error_response(self, error: ApiError) -> web.Response:
        request_id = self._id("req_")
        headers = {} if error.retry_after is None else {"retry-after": f"{error.retry_after:g}"}
        text = error.message or error.error_type.replace("_", " ").capitalize()
        body = error_body(error.error_type, text, request_id=request_id)
        return self._json(body, status=error.status, headers=headers | {"request-id": request_id})

    def _json(
        self, body: bytes, *, status: int = 200, headers: Mapping[str, str] | None = None
    ) -> web.Response:
        return web.Response(
            body=body,
            status=status,
            headers=self._headers() | {"Content-Type": "application/json"} | dict(headers or {}),
        )

    def _headers(self) -> dict[str, str]:
        return {"request-id": self._id("req_"), "cache-control": "no-cache"}

    def _id(self, prefix: str) -> str:
        return prefix + "".join(self._ids.choices(_ALPHABET, k=22))


async def _read_body(http: web.Request) -> bytes:
    """The whole body; one that is too large is read to its end, so that the client can listen."""
    parts: list[bytes] = []
    size = 0
    async for part in http.content.iter_any():
        size += len(part)
        if size <= MAX_BODY_BYTES:
            parts.append(part)
    if size > MAX_BODY_BYTES:
        raise ApiRefusal(413, "request_too_large", "Request exceeds the maximum size")
    return b"".join(parts)
