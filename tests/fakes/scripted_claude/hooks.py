"""Posts hooks to the runner, as the CLI does: JSON over HTTP, one answer each."""

from __future__ import annotations

import json
import socket
from typing import Any


class HungUp(Exception):
    """The post was broken off, by us or by the runner."""


class Hooks:
    """The hooks of one process; `hang_up` breaks off the one that waits for its answer."""

    def __init__(
        self, urls: dict[str, tuple[str, str]], environment: dict[str, str], common: dict[str, str]
    ) -> None:
        self._targets = {event: _target(*each, environment) for event, each in urls.items()}
        self._common = common
        self._waiting: socket.socket | None = None
        self.twice = False

    def post(self, event: str, **fields: Any) -> dict[str, Any]:
        """Posts one event and returns the answer; nothing where nobody hooked it."""
        if event not in self._targets:
            return {}
        payload = {**self._common, "hook_event_name": event, **fields}
        answer = self._send(event, payload)
        if self.twice and event != "PermissionRequest":
            self._send(event, payload)
        return answer

    def hang_up(self) -> None:
        """Breaks off the post that waits."""
        waiting = self._waiting
        if waiting is not None:
            try:
                waiting.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def _send(self, event: str, payload: dict[str, Any]) -> dict[str, Any]:
        host, port, path, authorization = self._targets[event]
        body = json.dumps(payload).encode("utf-8", "surrogatepass")
        head = (
            f"POST {path} HTTP/1.1\r\nHost: {host}:{port}\r\nAuthorization: {authorization}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n"
            "Connection: close\r\n\r\n"
        )
        try:
            with socket.create_connection((host, port)) as connection:
                self._waiting = connection
                connection.sendall(head.encode() + body)
                return _answer(connection)
        except OSError as error:
            raise HungUp(str(error)) from error
        finally:
            self._waiting = None


def _target(url: str, header: str, environment: dict[str, str]) -> tuple[str, int, str, str]:
    authority, _, path = url.removeprefix("http://").partition("/")
    host, _, port = authority.partition(":")
    for name, value in environment.items():
        header = header.replace(f"${name}", value)
    return host, int(port), f"/{path}", header


def _answer(connection: socket.socket) -> dict[str, Any]:
    received = b""
    while data := connection.recv(1 << 16):
        received += data
    head, separator, body = received.partition(b"\r\n\r\n")
    if not separator:
        raise HungUp("no answer")
    if head.split(b" ", 2)[1][:1] != b"2":
        return {}  # the CLI goes on as if nothing was decided
    answer = json.loads(body or b"{}")
    return answer if isinstance(answer, dict) else {}
