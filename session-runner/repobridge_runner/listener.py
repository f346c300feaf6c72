"""The runner's address in a cluster: TCP, where both sides show certificates.

It is a server of its own beside the unix socket's, so that no call that came over the network is
ever taken for a local one.
"""

from __future__ import annotations

from pathlib import Path

import grpc

from repobridge.telemetry import Logger
from repobridge.tls import server_credentials
from repobridge.tls_files import TlsDirectory
from repobridge_runner.access import RoleCheck
from repobridge_runner.server import OPTIONS
from repobridge_runner.settings import RunnerSettings, SettingsError

_HANDSHAKE_MILLISECONDS = 10_000
_log = Logger("repobridge.runner")


def make_listener(settings: RunnerSettings) -> grpc.aio.Server:
    """A server bound to `listen_address`; raises SettingsError and TlsError."""
    options = (*OPTIONS, ("grpc.server_handshake_timeout_ms", _HANDSHAKE_MILLISECONDS))
    server = grpc.aio.server(options=options, interceptors=(RoleCheck(),))
    credentials = server_credentials(TlsDirectory(Path(settings.tls_directory)))
    try:
        port = server.add_secure_port(settings.listen_address, credentials)
    except RuntimeError as error:
        raise SettingsError(
            f"listen_address: {settings.listen_address} can't be listened on;"
            " it is in use, or not this machine's."
        ) from error
    _log.info("runner listens", address=settings.listen_address, port=port)
    return server
