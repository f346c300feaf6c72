"""Runners whose agent is a recording: the real server over the real log, in one process for many.

    python -m benchmarks.replayed_runners

A message that is submitted opens no session: the recorded turn is written into the log as that
message's, at the pace in which it came. The configuration: `directory`, `recording`, a file;
`sockets`; and `pace`, false to write each turn at once.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
import uuid
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc

from benchmarks.commanded import Json, configuration, obey
from benchmarks.recording import Recording, last_line, load
from repobridge.session import codec
from repobridge.session.events import MessageState, MessageStatus, TextDelta, TurnEnded
from repobridge.session.v1 import session_pb2 as pb
from repobridge_runner.journal import Journal
from repobridge_runner.redact import Redactor
from repobridge_runner.runner import Runner
from repobridge_runner.server import OPTIONS, SessionServer
from repobridge_runner.settings import RunnerSettings


@dataclass(slots=True)
class _Written:
    """When what stood in a log."""

    texts: list[tuple[float, int, int]] = field(default_factory=list)
    """The time, the number of the last line, and the characters so far."""
    ended: float = 0.0


class ReplayingServer(SessionServer):
    """The runner's server, except for what a message sets going."""

    def __init__(self, runner: Runner, recording: Recording, *, keeps_pace: bool) -> None:
        super().__init__(runner)
        self.written = _Written()
        self._log = runner.log
        self._recording = recording
        self._keeps_pace = keeps_pace
        self._replays: dict[str, asyncio.Task[None]] = {}

    async def Submit(self, request: pb.SubmitRequest, context: Any) -> pb.SubmitResponse:
        """Makes the message durable, and begins its turn."""
        status = MessageStatus(request.message_id, MessageState.QUEUED, 1)
        answer = pb.SubmitResponse(status=codec.to_pb(status, pb.MessageStatus))
        if request.message_id in self._replays:
            answer.duplicate = True
            return answer
        began = asyncio.get_running_loop().create_future()
        replay = self._replay(request.message_id, request.conversation_id, began)
        self._replays[request.message_id] = asyncio.create_task(replay)
        await began
        return answer

    async def _replay(
        self, message_id: str, conversation_id: str, began: asyncio.Future[None]
    ) -> None:
        turn = self._recording.again(message_id=message_id, conversation_id=conversation_id)
        if not self._keeps_pace:
            await self._log.append(*(event for _, event in turn.steps))
            began.set_result(None)
            return
        started, lines, characters = time.monotonic(), 0, 0
        for after, event in turn.steps:
            await asyncio.sleep(started + after - time.monotonic())
            await self._log.append(event)
            if not began.done():
                began.set_result(None)
            if isinstance(event.body, TextDelta):
                characters += len(event.body.markdown)
                lines = max(lines, last_line(event.body.markdown))
                self.written.texts.append((time.monotonic(), lines, characters))
            elif isinstance(event.body, TurnEnded):
                self.written.ended = time.monotonic()


async def _server(
    number: int, socket: Path, config: Json
) -> tuple[grpc.aio.Server, ReplayingServer]:
    directory = Path(config["directory"]) / str(number)
    settings = RunnerSettings(
        bridge_uid=str(uuid.uuid4()),
        directory=directory,
        state_dir=directory / "state",
        socket=socket,
    )
    journal = await Journal.open(settings.state_dir / "private")
    runner = Runner(settings, journal=journal, redactor=Redactor(), environment=dict(os.environ))
    served = ReplayingServer(runner, load(Path(config["recording"])), keeps_pace=config["pace"])
    server = grpc.aio.server(options=OPTIONS)
    served.add_to(server)
    server.add_insecure_port(f"unix:{socket}")
    await server.start()
    return server, served


async def main(config: Json) -> None:
    """Serves until nobody tells it anything any more."""
    sys.setswitchinterval(0.001)  # as the runner does, for its journal's writer
    sockets = map(Path, config["sockets"])
    servers = [await _server(number, socket, config) for number, socket in enumerate(sockets)]

    async def written() -> Json:
        """When what stood in each log."""
        told = [each.written for _, each in servers]
        return {"logs": [{"texts": each.texts, "ended": each.ended} for each in told]}

    await obey({"written": written})
    await asyncio.gather(*(server.stop(grace=None) for server, _ in servers))
    os._exit(0)  # what it keeps is removed with the benchmark


if __name__ == "__main__":

    async def _run() -> None:
        await main(await configuration())

    asyncio.run(_run())
