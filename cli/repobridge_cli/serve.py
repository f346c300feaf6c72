"""`repobridge serve`: reads the environment and the file, then runs the gateway."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import sys
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TextIO, cast

from repobridge import telemetry
from repobridge.errors import RepoBridgeError
from repobridge.process import make_process_private
from repobridge.telemetry import LogFormat
from repobridge.unix_socket import make_private_directory
from repobridge_cli.person import this_person, wants_colour
from repobridge_gateway import config as configs
from repobridge_gateway import places
from repobridge_gateway.config import Config, ConfigError
from repobridge_gateway.console import ConsoleStream, TerminalConsole
from repobridge_gateway.fleet.settings import FleetSettings
from repobridge_gateway.serve import NothingToServe, Served, servable, serve

RUNNER = (sys.executable, "-m", "repobridge_runner")
_SECRET_NAME = re.compile(r"KEY|TOKEN|SECRET|PASSWORD|CREDENTIAL", re.IGNORECASE)
_SHORTEST_SECRET = 8


def run(*, config: str, log_format: str | None, socket: str, metrics_address: str) -> int:
    """Serves; returns the exit code."""
    environment = dict(os.environ)
    try:
        path = Path(config) if config else configs.default_path(environment)
        read = partial(_read, path, environment)
        loaded = read()
    except (ConfigError, NothingToServe) as error:
        print(error, file=sys.stderr)
        return 2
    # Before anything is started: an agent must find nothing of ours to read or to hold on to.
    make_process_private()
    os.umask(0o077)
    console = _console(environment)
    telemetry.configure(
        LogFormat(log_format or loaded.log_format),
        stream=cast("TextIO", ConsoleStream(console)) if console else None,
        redact=_redaction(loaded, environment),
        colour=not console
        and wants_colour(sys.stderr.isatty(), environment.get("NO_COLOR"), environment.get("TERM")),
    )
    try:
        served = _served(
            loaded,
            environment,
            socket=socket,
            metrics_address=metrics_address,
            read=read,
            console=console,
        )
        try:
            asyncio.run(serve(served))
        finally:
            if served.fleet.socket_dir.parent != served.socket.parent:
                shutil.rmtree(served.fleet.socket_dir, ignore_errors=True)
    except RepoBridgeError as error:
        print(f"repobridge serve: {error}", file=sys.stderr)
        return 2
    return 0


def _read(path: Path, environment: Mapping[str, str]) -> Config:
    """The configuration as the file says it now; raises ConfigError and NothingToServe."""
    loaded = configs.load(path, environment)
    servable(loaded)
    return loaded


def _served(
    config: Config,
    environment: Mapping[str, str],
    *,
    socket: str,
    metrics_address: str,
    read: Callable[[], Config],
    console: TerminalConsole | None,
) -> Served:
    named = socket or config.socket
    path = Path(named).absolute() if named else places.serve_socket(environment)
    make_private_directory(path.parent)
    fleet = FleetSettings(
        command=RUNNER,
        environment=environment,
        state_dir=places.state_dir(environment),
        socket_dir=places.runner_socket_dir(path),
        guard_root_pid=os.getpid(),
        agent_executable=config.claude_path,
        agent_resume=config.resume_session,
        agent_environment_names=config.environment,
        idle_nanoseconds=config.idle_nanoseconds,
        reaps_orphans=True,
        counts=bool(metrics_address),
    )
    return Served(
        config=config,
        fleet=fleet,
        socket=path,
        me=this_person(),
        downloads=Path.cwd(),
        metrics_address=metrics_address,
        read=read,
        console=console,
    )


def _console(environment: Mapping[str, str]) -> TerminalConsole | None:
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        return None
    colour = wants_colour(True, environment.get("NO_COLOR"), environment.get("TERM"))
    return TerminalConsole(stdin=sys.stdin.fileno(), out=sys.stdout, colour=colour)


def _redaction(config: Config, environment: Mapping[str, str]) -> telemetry.Redact:
    """Takes the values of what is named like a secret out of our own log."""
    values = {value for name, value in environment.items() if _SECRET_NAME.search(name)}
    values.add(config.discord_token.get_secret_value())
    secrets = sorted((v for v in values if len(v) >= _SHORTEST_SECRET), key=len, reverse=True)
    if not secrets:
        return str
    pattern = re.compile("|".join(map(re.escape, secrets)))
    return lambda line: pattern.sub("[redacted]", line)
