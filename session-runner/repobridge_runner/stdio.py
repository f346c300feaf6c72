"""The runner's socket on the standard streams, for `kubectl exec`: bytes both ways, no more.

An agent has this process's user id, so the process is made private before it holds anything. It
imports little, as a person waits for it.
"""

from __future__ import annotations

import os
import socket
import threading
from pathlib import Path

from repobridge.errors import RepoBridgeError
from repobridge.process import make_process_private

DEFAULT_SOCKET = Path("/run/repobridge/runner/session.sock")
"""Where a pod's runner listens."""
_PIECE_BYTES = 64 << 10


class NoRunnerError(RepoBridgeError):
    """Nobody listens at the socket; the message says so."""


def relay(path: Path, *, source: int, sink: int) -> None:
    """Relays between two descriptors and the socket until the runner ends the connection.

    The end of `source` is passed on as a half-close. Raises NoRunnerError.
    """
    make_process_private()
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        try:
            connection.connect(os.fspath(path))
        except OSError as error:
            raise NoRunnerError(f"No runner listens at {path}: {error.strerror}.") from error
        # A daemon: a source that never ends must not keep the process when the runner has gone.
        threading.Thread(target=_send, args=(source, connection), daemon=True).start()
        _receive(connection, sink)


def _send(source: int, connection: socket.socket) -> None:
    try:
        while data := os.read(source, _PIECE_BYTES):
            connection.sendall(data)
        connection.shutdown(socket.SHUT_WR)
    except OSError:
        pass  # the runner has gone: the other direction ends by it too


def _receive(connection: socket.socket, sink: int) -> None:
    try:
        while data := connection.recv(_PIECE_BYTES):
            rest = memoryview(data)
            while rest:
                rest = rest[os.write(sink, rest) :]
    except (BrokenPipeError, ConnectionResetError):
        pass  # one side has gone: nobody is left to tell
