"""One runner's life: its state opened, its doors opened, served until it is asked to end."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_health.v1._async import HealthServicer

from repobridge.guarded import GuardedSocket
from repobridge.peers import outside_of
from repobridge.process import make_process_private
from repobridge.telemetry import LogFormat, Logger, configure
from repobridge_runner import known_secrets, version
from repobridge_runner.agents.claude import resolve_executable
from repobridge_runner.filekeeper import keep_files_open
from repobridge_runner.journal import Journal
from repobridge_runner.places import make_places
from repobridge_runner.redact import Redactor
from repobridge_runner.runner import Runner
from repobridge_runner.server import OPTIONS, SessionServer
from repobridge_runner.settings import RunnerSettings, SettingsError

if TYPE_CHECKING:
    from repobridge.machine_address import MachineAddress

_log = Logger("repobridge.runner")


async def serve(settings: RunnerSettings, environment: Mapping[str, str]) -> None:
    """Serves until SIGTERM or SIGINT; raises what a person has to mend as a RepoBridgeError.

    `environment` is the runner's own, from which git and the agents get what they need.
    """
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    make_process_private()
    keep_files_open()
    # The journal's writer thread must get its turn soon beside a busy event loop.
    sys.setswitchinterval(0.001)
    redactor = Redactor(known_secrets.known(environment, settings))
    configure(LogFormat(settings.log_format), redact=redactor.text)
    make_places(settings, home=environment.get("HOME", ""))
    settings = _with_executable(settings, environment)
    journal = await Journal.open(settings.state_dir / "private")
    runner = Runner(settings, journal=journal, redactor=redactor, environment=environment)
    try:
        await _serve(runner, stopping)
    finally:
        await runner.close()
    _log.info("runner stopped")


def _with_executable(settings: RunnerSettings, environment: Mapping[str, str]) -> RunnerSettings:
    if settings.agent.type != "claude":
        raise SettingsError(
            f"agent.type: {settings.agent.type!r} is none that this version runs; say claude."
        )
    name = settings.agent.executable
    found = resolve_executable(name, environment.get("PATH"))
    if found is None:
        raise SettingsError(
            f"agent.executable: there is no program {name!r}; install the Claude CLI"
            " (npm install -g @anthropic-ai/claude-code) or name its path."
        )
    return replace(settings, agent=replace(settings.agent, executable=str(Path(found).resolve())))


async def _serve(runner: Runner, stopping: asyncio.Event) -> None:
    settings = runner.settings
    servers = [grpc.aio.server(options=OPTIONS)]
    if settings.listen_address:
        from repobridge_runner.listener import make_listener  # noqa: PLC0415 - in clusters only

        servers.append(make_listener(settings))
    health = HealthServicer()
    for server in servers:
        SessionServer(runner).add_to(server)
        health_pb2_grpc.add_HealthServicer_to_server(health, server)
    with tempfile.TemporaryDirectory(prefix="repobridge-runner-") as private:
        inner = Path(private) / "inner.sock"
        servers[0].add_insecure_port(f"unix:{inner}")
        root = settings.guard_root_pid or os.getpid()
        door = await GuardedSocket.open(settings.socket, inner_path=inner, check=outside_of(root))
    machines: MachineAddress | None = None
    try:
        if settings.metrics_address:
            from repobridge_runner import metrics  # noqa: PLC0415 - only where asked for

            machines = metrics.serve(runner, settings.metrics_address)
        async with asyncio.TaskGroup() as tasks:
            await runner.run(tasks)
            reaping = tasks.create_task(runner.reaper.run(), name="reaper")
            runner.beside(version.find(runner), "agent version")
            for server in servers:
                await server.start()
            await health.set("", health_pb2.HealthCheckResponse.SERVING)
            if machines is not None:
                machines.serving()
            _log.info("runner serving", socket=str(settings.socket), pid=os.getpid())
            await stopping.wait()
            _log.info("runner stopping")
            await health.enter_graceful_shutdown()
            await runner.close()
            reaping.cancel()
            runner.cancel_tasks()
    finally:
        await asyncio.gather(*(server.stop(grace=1.0) for server in servers))
        await door.close()
        if machines is not None:
            await asyncio.to_thread(machines.close)
