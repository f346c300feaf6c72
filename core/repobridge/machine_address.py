"""The HTTP address for machines: /healthz for probes, Prometheus metrics everywhere else.

It is served by threads of its own, so that a loop that hangs can be told from one that answers.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import socketserver
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import TimeoutError as FutureTimeoutError
from socket import AF_INET, AF_INET6, AF_UNIX, IPPROTO_IPV6, IPV6_V6ONLY, socket
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

from prometheus_client import CollectorRegistry, make_wsgi_app

from repobridge.unix_socket import SCHEME

Application = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]
_EVERY = ("0.0.0.0", "::")  # noqa: S104 - in a pod
ANSWER_SECONDS = 2.0
"""How long the event loop may take to answer before it counts as hung."""


class MachineAddress:
    """Serves HOST:PORT or unix:PATH until it is closed; raises OSError where it can't listen."""

    def __init__(self, address: str, registry: CollectorRegistry) -> None:
        self._loop = asyncio.get_running_loop()
        self._metrics: Application = make_wsgi_app(registry)
        self._is_serving = False
        self._server = _listening(address)
        self._server.set_app(self._answer)
        thread = threading.Thread(target=self._server.serve_forever, daemon=True, name="machine")
        thread.start()

    @property
    def port(self) -> int:
        """Where it listens, also when 0 was asked for; not of a socket in the file system."""
        return int(self._server.server_address[1])

    def serving(self) -> None:
        """From now on /healthz says yes, as long as the loop answers."""
        self._is_serving = True

    def close(self) -> None:
        """Stops listening."""
        self._server.shutdown()
        self._server.server_close()

    def _answer(
        self, environ: dict[str, Any], start_response: Callable[..., Any]
    ) -> Iterable[bytes]:
        if environ["PATH_INFO"] != "/healthz":
            return self._metrics(environ, start_response)
        status, sentence = self._health()
        start_response(status, [("Content-Type", "text/plain; charset=utf-8")])
        return [sentence.encode() + b"\n"]

    def _health(self) -> tuple[str, str]:
        if not self._is_serving:
            return "503 Service Unavailable", "starting"
        answer = asyncio.run_coroutine_threadsafe(_nothing(), self._loop)
        try:
            answer.result(ANSWER_SECONDS)
        except FutureTimeoutError:
            answer.cancel()
            return "503 Service Unavailable", "the event loop does not answer"
        return "200 OK", "ok"


async def _nothing() -> None:
    """Runs when the loop gets to it."""


def _listening(address: str) -> _Server:
    """The server; every address means those of both families, as it does to gRPC."""
    if address.startswith(SCHEME):
        return _ServerInFiles((address.removeprefix(SCHEME), 0), _QuietHandler)
    host, _, number = address.rpartition(":")
    host, port = host.strip("[]") or "127.0.0.1", int(number)
    if host in _EVERY:
        try:
            return _ServerBoth(("::", port), _QuietHandler)
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                raise
            host = "0.0.0.0"  # noqa: S104 - it was asked for; this machine has no IPv6
    return (_Server6 if ":" in host else _Server)((host, port), _QuietHandler)


class _Server(socketserver.ThreadingMixIn, WSGIServer):
    daemon_threads = True
    address_family = AF_INET

    def server_bind(self) -> None:
        # The library's own asks a name server for our name: seconds, where none answers.
        socketserver.TCPServer.server_bind(self)
        host, self.server_port = self.server_address[:2]
        self.server_name = str(host)
        self.setup_environ()


class _Server6(_Server):
    address_family = AF_INET6


class _ServerBoth(_Server6):
    def server_bind(self) -> None:
        self.socket.setsockopt(IPPROTO_IPV6, IPV6_V6ONLY, 0)
        super().server_bind()


class _ServerInFiles(_Server):
    address_family = AF_UNIX
    allow_reuse_address = False  # of a port

    def server_bind(self) -> None:
        path = str(self.server_address[0])
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)  # of one that was killed
        self.socket.bind(path)
        self.server_name, self.server_port = path, 0
        self.setup_environ()

    def get_request(self) -> tuple[socket, Any]:
        connection, _ = super().get_request()
        return connection, ("", 0)  # a peer without a name; the handler wants one with two parts


class _QuietHandler(WSGIRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:
        """Says nothing: a probe every few seconds is no news."""
