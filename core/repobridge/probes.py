"""Liveness, readiness and metrics over HTTP, from a thread: it answers also while the loop hangs.

`/healthz` fails when the event loop has not come round for a while: a hung process is to be
started again. `/readyz` says what the process itself says of its work.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder

_BEAT_SECONDS = 1.0
_HUNG_SECONDS = 30.0
_REQUEST_SECONDS = 10.0


class Health:
    """What the probes say: written by the loop, read by the server's threads."""

    def __init__(
        self, *, clock: Callable[[], float] = time.monotonic, hung_seconds: float = _HUNG_SECONDS
    ) -> None:
        self._clock = clock
        self._hung_seconds = hung_seconds
        self._beat = clock()
        self.is_ready = False

    @property
    def is_alive(self) -> bool:
        """Whether the loop came round lately."""
        return self._clock() - self._beat < self._hung_seconds

    def beat(self) -> None:
        """Says that the loop comes round."""
        self._beat = self._clock()

    async def run(self) -> None:
        """Beats until it is cancelled."""
        while True:
            self.beat()
            await asyncio.sleep(_BEAT_SECONDS)


@contextlib.contextmanager
def serving(listen: str, health: Health, registry: CollectorRegistry) -> Iterator[int]:
    """Serves /healthz, /readyz and /metrics at HOST:PORT; gives the port."""
    host, _, port = listen.rpartition(":")
    host = host.strip("[]")

    class Handler(_Handler):
        pass

    class Server(ThreadingHTTPServer):
        address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        daemon_threads = True

    Handler.health, Handler.registry = health, registry
    server = Server((host, int(port)), Handler)
    thread = threading.Thread(
        target=server.serve_forever, kwargs={"poll_interval": 0.1}, name="probes", daemon=True
    )
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    health: Health
    registry: CollectorRegistry
    timeout = _REQUEST_SECONDS

    def do_GET(self) -> None:
        match self.path.partition("?")[0]:
            case "/healthz":
                self._say(self.health.is_alive)
            case "/readyz":
                self._say(self.health.is_alive and self.health.is_ready)
            case "/metrics":
                encode, content_type = choose_encoder(self.headers.get("Accept", ""))
                self._answer(HTTPStatus.OK, encode(self.registry), content_type)
            case _:
                self._answer(HTTPStatus.NOT_FOUND, b"not found\n", "text/plain")

    def _say(self, well: bool) -> None:
        status = HTTPStatus.OK if well else HTTPStatus.SERVICE_UNAVAILABLE
        self._answer(status, b"ok\n" if well else b"not ok\n", "text/plain")

    def _answer(self, status: HTTPStatus, body: bytes, content_type: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Says nothing: probes come every few seconds."""
