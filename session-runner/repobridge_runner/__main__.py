"""The session-runner's process: reads the settings, serves the socket, ends cleanly."""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import NoReturn

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_health.v1._async import HealthServicer

from repobridge.errors import Refusal, RepoBridgeError
from repobridge.guarded import GuardedSocket
from repobridge.peers import outside_of
from repobridge.process import make_process_private
from repobridge.telemetry import LogFormat, Logger, configure
from repobridge_runner import known_secrets, version
from repobridge_runner.agents.claude import resolve_executable
from repobridge_runner.filekeeper import keep_files_open
from repobridge_runner.journal import Journal, JournalError
from repobridge_runner.redact import Redactor
from repobridge_runner.runner import Runner
from repobridge_runner.server import OPTIONS, SessionServer
from repobridge_runner.settings import RunnerSettings, SettingsError, load

_log = Logger("repobridge.runner")
_USAGE_EXIT = 2


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs the session-runner; exit code 2 with one sentence for what a person has to mend."""
    parser = argparse.ArgumentParser(prog="repobridge-runner", description=__doc__)
    parser.add_argument("--config", required=True, type=Path, help="the settings, a JSON file")
    options = parser.parse_args(arguments)
    try:
        settings = load(options.config)
        asyncio.run(_run(settings))
    except (SettingsError, JournalError, Refusal, RepoBridgeError) as error:
        _refuse(str(error))
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        _refuse(f"{where}{error.strerror or error}.")


def _refuse(sentence: str) -> NoReturn:
    print(f"repobridge-runner: {sentence}", file=sys.stderr)  # noqa: T201
    sys.exit(_USAGE_EXIT)


async def _run(settings: RunnerSettings) -> None:
    make_process_private()
    keep_files_open()
    # The journal's writer thread must get its turn soon beside a busy event loop.
    sys.setswitchinterval(0.001)
    environment = dict(os.environ)
    redactor = Redactor(known_secrets.known(environment, settings))
    configure(LogFormat(settings.log_format), redact=redactor.text)
    settings.state_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    settings = _with_executable(settings, environment)
    journal = await Journal.open(settings.state_dir / "private")
    runner = Runner(settings, journal=journal, redactor=redactor, environment=environment)
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    try:
        await _serve(runner, stopping)
    finally:
        await runner.close()
    _log.info("runner stopped")


def _with_executable(settings: RunnerSettings, environment: dict[str, str]) -> RunnerSettings:
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
    server = grpc.aio.server(options=OPTIONS)
    SessionServer(runner).add_to(server)
    health = HealthServicer()
    health_pb2_grpc.add_HealthServicer_to_server(health, server)
    with tempfile.TemporaryDirectory(prefix="repobridge-runner-") as private:
        inner = Path(private) / "inner.sock"
        server.add_insecure_port(f"unix:{inner}")
        root = settings.guard_root_pid or os.getpid()
        door = await GuardedSocket.open(settings.socket, inner_path=inner, check=outside_of(root))
    try:
        if settings.metrics_address:
            from repobridge_runner import metrics  # noqa: PLC0415 - only where asked for

            metrics.serve(runner, settings.metrics_address)
        async with asyncio.TaskGroup() as tasks:
            await runner.run(tasks)
            reaping = tasks.create_task(runner.reaper.run(), name="reaper")
            runner.beside(version.find(runner), "agent version")
            await server.start()
            await health.set("", health_pb2.HealthCheckResponse.SERVING)
            _log.info("runner serving", socket=str(settings.socket), pid=os.getpid())
            await stopping.wait()
            _log.info("runner stopping")
            await health.enter_graceful_shutdown()
            await runner.close()
            reaping.cancel()
            runner.cancel_tasks()
    finally:
        await server.stop(grace=1.0)
        await door.close()


if __name__ == "__main__":
    main()
