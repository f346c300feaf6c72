"""Starts runner processes: their settings file, their environment, and who came before them."""

from __future__ import annotations

import asyncio
import contextlib
import json

from repobridge.errors import RepoBridgeError
from repobridge.telemetry import Logger
from repobridge.unix_socket import SCHEME
from repobridge_gateway.fleet.process import (
    RunnerProcess,
    end_orphans,
    end_stale,
    identity,
    start_runner,
)
from repobridge_gateway.fleet.settings import BridgeSpec, FleetSettings
from repobridge_gateway.places import BridgePlaces, bridge_uid, write_whole


class LaunchError(RepoBridgeError):
    """A runner could not be started; the message is a sentence for people."""


class Launcher:
    """Starts runners and knows which of this process's children they are."""

    def __init__(self, settings: FleetSettings) -> None:
        self._settings = settings
        self._pids: set[int] = set()
        # A child between its fork and its entry in the set would look like an orphan.
        self._spawning = asyncio.Lock()

    async def end_predecessor(self, places: BridgePlaces, log: Logger) -> None:
        """Ends the runner that a `serve` which was killed left behind."""
        grace = self._settings.shutdown_grace_seconds
        if await asyncio.to_thread(end_stale, places.pid_file, grace_seconds=grace):
            log.warning("ended a runner that an earlier serve left behind")

    async def launch(self, spec: BridgeSpec, places: BridgePlaces, log: Logger) -> RunnerProcess:
        """Starts a bridge's runner; raises LaunchError."""
        self._check_directory(spec)
        self._write_settings(spec, places)
        command = (*self._settings.command, "--config", str(places.settings_file))
        async with self._spawning:
            try:
                process = await start_runner(
                    command, environment=self._settings.environment, log=log
                )
            except OSError as error:
                raise LaunchError(f"The runner could not be started: {error.strerror}.") from error
            self._pids.add(process.pid)
        write_whole(places.pid_file, identity(process.pid), durable=False)
        return process

    async def ended(self, process: RunnerProcess, places: BridgePlaces) -> None:
        """Clears up after a runner: its orphans, its socket, its pid file."""
        self._pids.discard(process.pid)
        process.close()
        for path in (places.pid_file, places.socket, places.metrics_socket):
            with contextlib.suppress(OSError):
                path.unlink()
        if self._settings.reaps_orphans:
            async with self._spawning:
                # An agent that outlived its runner would write beside the one that comes next.
                await end_orphans(frozenset(self._pids))

    def _check_directory(self, spec: BridgeSpec) -> None:
        """What was checked at the start must still be so: no link may have taken its place."""
        try:
            resolved = spec.working_dir.resolve(strict=True)
        except (OSError, RuntimeError) as error:
            raise LaunchError(f"The directory {spec.working_dir} is gone.") from error
        if resolved != spec.working_dir or not resolved.is_dir():
            raise LaunchError(
                f"{spec.working_dir} now leads to {resolved}; restart serve if that is meant."
            )

    def _write_settings(self, spec: BridgeSpec, places: BridgePlaces) -> None:
        settings = self._settings
        agent: dict[str, object] = {
            "type": spec.llm,
            "executable": settings.agent_executable,
            "resume": settings.agent_resume,
            **settings.agent_extra,
        }
        if settings.agent_environment_names:
            agent["environment_names"] = list(settings.agent_environment_names)
        content: dict[str, object] = {
            "bridge_uid": bridge_uid(places),
            "directory": str(spec.working_dir),
            "state_dir": str(places.state_dir),
            "socket": str(places.socket),
            "agent": agent,
            "shutdown_grace_seconds": settings.shutdown_grace_seconds,
            "guard_root_pid": settings.guard_root_pid,
            "log_format": "json",
        }
        if settings.counts:
            content["metrics_address"] = f"{SCHEME}{places.metrics_socket}"
        write_whole(places.settings_file, json.dumps(content, indent=2), durable=False)


def exit_sentence(code: int, last_line: str) -> str:
    """How a runner ended, for people: "exit code 2: the directory is locked"."""
    how = f"exit code {code}" if code >= 0 else f"signal {-code}"
    return f"{how}: {last_line}" if last_line else how
