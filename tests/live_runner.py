"""A real session-runner process with the real CLI in it, as tests see it: calls and events."""

from __future__ import annotations

import asyncio
import itertools
import os
import signal
import sys
import uuid
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import grpc

from repobridge.session import codec
from repobridge.session.events import (
    ApprovalRequested,
    Event,
    MessageChanged,
    QuestionAsked,
    RequestResolved,
    SessionChanged,
    TextDelta,
    TurnEnded,
    TurnOpened,
)
from repobridge.session.refusals import from_rpc_error
from repobridge.session.v1 import session_pb2 as pb
from repobridge.session.v1.session_pb2_grpc import SessionServiceStub
from repobridge_runner.settings import AgentSettings, RunnerSettings, dump
from tests.fakes.anthropic import FakeAnthropic, Gate, Text

PATIENCE_SECONDS = 90.0
SETTINGS = {"shutdown_grace_seconds": 4.0, "confirm_seconds": 20.0}
"""Of the runners in tests: on a loaded machine an agent takes a prompt late, and takes it."""
if TYPE_CHECKING:  # the stub file's own name for the asynchronous calls
    from repobridge.session.v1.session_pb2_grpc import SessionServiceAsyncStub
ANN = pb.Actor(id="uid:1", display_name="Ann", source="terminal")
B = TypeVar("B")


class LiveRunner:
    """One bridge's runner: it may be killed and started again on the same state."""

    def __init__(
        self, settings: RunnerSettings, *, environment: Mapping[str, str], home: Path
    ) -> None:
        self.settings = settings
        self.events: list[Event] = []
        self._environment = dict(environment)
        self._home = home
        self._process: asyncio.subprocess.Process | None = None
        self._channel: grpc.aio.Channel | None = None
        self._reading: asyncio.Task[None] | None = None
        self._grown = asyncio.Condition()
        self._ids = itertools.count(1)

    @property
    def stub(self) -> SessionServiceAsyncStub:
        """The raw calls."""
        assert self._channel is not None
        return SessionServiceStub(self._channel)

    @property
    def process(self) -> asyncio.subprocess.Process:
        """The runner's process."""
        assert self._process is not None
        return self._process

    # ------------------------------------------------------------- process

    async def start(self) -> None:
        """Starts the process and follows its log from where we are."""
        config = self._home / "runner.json"
        config.write_text(dump(self.settings))
        self._process = await asyncio.create_subprocess_exec(
            *self.command(config),
            env=self._environment,
            cwd=self._home,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=(self._home / "runner.log").open("ab"),
        )
        options = (
            ("grpc.max_receive_message_length", 64 << 20),
            ("grpc.max_send_message_length", 64 << 20),
            ("grpc.initial_reconnect_backoff_ms", 20),
            ("grpc.min_reconnect_backoff_ms", 20),
            ("grpc.max_reconnect_backoff_ms", 100),
            ("grpc.use_local_subchannel_pool", 1),
        )
        self._channel = grpc.aio.insecure_channel(f"unix:{self.settings.socket}", options)
        async with asyncio.timeout(PATIENCE_SECONDS):
            await self._until_up()
        self._reading = asyncio.create_task(self._read())

    def command(self, config: Path) -> list[str]:
        """How the runner is started."""
        return [sys.executable, "-m", "repobridge_runner", "--config", str(config)]

    async def _until_up(self) -> None:
        assert self._process is not None
        assert self._channel is not None
        ended = asyncio.create_task(self._process.wait())
        ready = asyncio.create_task(self._channel.channel_ready())
        try:
            await asyncio.wait({ended, ready}, return_when=asyncio.FIRST_COMPLETED)
            if ended.done():
                raise AssertionError(f"the runner ended: {self.log_text()}")
        finally:
            ended.cancel()
            ready.cancel()

    def log_text(self) -> str:
        """What the runner logged."""
        path = self._home / "runner.log"
        return path.read_text() if path.exists() else ""

    async def kill(self) -> None:
        """SIGKILL, as a crash or the kernel would."""
        self.process.kill()
        await self._gone()

    async def stop(self) -> int:
        """SIGTERM; returns the exit code."""
        if self.process.returncode is None:
            self.process.send_signal(signal.SIGTERM)
        await self._gone()
        assert self.process.returncode is not None
        return self.process.returncode

    async def _gone(self) -> None:
        async with asyncio.timeout(PATIENCE_SECONDS):
            await self.process.wait()
        if self._reading is not None:
            self._reading.cancel()
            await asyncio.gather(self._reading, return_exceptions=True)
        if self._channel is not None:
            await self._channel.close()

    # --------------------------------------------------------------- calls

    async def submit(self, text: str, **fields: Any) -> pb.SubmitResponse:
        """Submits a message of Ann's to `main`."""
        request = {
            "conversation_id": "main",
            "message_id": f"m{next(self._ids)}",
            "text": text,
            "author": ANN,
            **fields,
        }
        return await self.stub.Submit(pb.SubmitRequest(**request), timeout=PATIENCE_SECONDS)

    async def turn(self, text: str, **fields: Any) -> TurnEnded:
        """Submits a message and waits for the end of its turn."""
        answer = await self.submit(text, **fields)
        return await self.ended(answer.status.message_id)

    async def ended(self, message_id: str) -> TurnEnded:
        """The end of a message's turn."""

        def find() -> TurnEnded | None:
            turns = {e.turn_id for e in self.events if _is_turn_of(e, message_id)}
            ends = (e.body for e in self.events if e.turn_id in turns)
            return next((body for body in ends if isinstance(body, TurnEnded)), None)

        return await self.until(find)

    async def decide(self, request_id: str, **fields: Any) -> pb.DecideResponse:
        """Decides as Ann."""
        request = pb.DecideRequest(request_id=request_id, **{"actor": ANN, **fields})
        return await self.stub.Decide(request, timeout=PATIENCE_SECONDS)

    async def interrupt(self, conversation_id: str = "main") -> pb.ControlResponse:
        """Interrupts the turn."""
        request = pb.ControlRequest(
            conversation_id=conversation_id, interrupt=pb.ControlRequest.Interrupt()
        )
        return await self.stub.Control(request, timeout=PATIENCE_SECONDS)

    # -------------------------------------------------------------- events

    async def until(self, find: Callable[[], B | None]) -> B:
        """Waits until something is found in the events."""
        try:
            async with asyncio.timeout(PATIENCE_SECONDS), self._grown:
                while (found := find()) is None or found is False:
                    await self._grown.wait()
                return found
        except TimeoutError:
            told = "\n".join(map(_line, self.events[-40:]))
            raise AssertionError(f"it did not come; last:\n{told}\n{self.log_text()}") from None

    async def next(
        self, kind: type[B], *, after: int = 0, where: Callable[[B], bool] = lambda _: True
    ) -> B:
        """The first event of a kind behind a number of events."""

        def find() -> B | None:
            bodies = (event.body for event in self.events[after:])
            return next((b for b in bodies if isinstance(b, kind) and where(b)), None)

        return await self.until(find)

    def of(self, kind: type[B]) -> list[B]:
        """Every event of a kind so far."""
        return [event.body for event in self.events if isinstance(event.body, kind)]

    def text_of(self, turn_id: str) -> str:
        """The streamed text of a turn."""
        deltas = (e.body for e in self.events if e.turn_id == turn_id)
        return "".join(body.markdown for body in deltas if isinstance(body, TextDelta))

    async def approval(self, *, after: int = 0) -> ApprovalRequested:
        """The next permission request."""
        return await self.next(ApprovalRequested, after=after)

    async def question(self, *, after: int = 0) -> QuestionAsked:
        """The next question."""
        return await self.next(QuestionAsked, after=after)

    async def resolved(self, request_id: str) -> RequestResolved:
        """How a request ended."""
        return await self.next(RequestResolved, where=lambda r: r.request_id == request_id)

    async def state(self, state: Any, *, after: int = 0) -> SessionChanged:
        """A session's reaching a state."""
        return await self.next(SessionChanged, after=after, where=lambda s: s.state is state)

    async def message(self, message_id: str, state: Any) -> MessageChanged:
        """A message's reaching a state."""
        return await self.next(
            MessageChanged, where=lambda m: m.message_id == message_id and m.state is state
        )

    async def _read(self) -> None:
        last = self.events[-1] if self.events else None
        after = pb.Cursor(log_id=last.log_id, sequence=last.sequence) if last else None
        try:
            async for message in self.stub.Subscribe(pb.SubscribeRequest(after=after)):
                event = codec.event_from_pb(message)
                assert event is not None
                async with self._grown:
                    self.events.append(event)
                    self._grown.notify_all()
        except grpc.aio.AioRpcError as error:
            if error.code() is not grpc.StatusCode.UNAVAILABLE:
                raise from_rpc_error(error) from error


async def held_turn(runner: LiveRunner, api: FakeAnthropic) -> Gate:
    """Submits "first", whose turn has begun to speak and stands still until the gate is opened."""
    gate = Gate()
    api.script(Text(["working\n", gate, "done\n"]))
    await runner.submit("first")
    await gate.reached()
    return gate


def _is_turn_of(event: Event, message_id: str) -> bool:
    return isinstance(event.body, TurnOpened) and event.body.message_id == message_id


def _line(event: Event) -> str:
    return f"{event.sequence:5} {event.conversation_id} {event.turn_id[:6]:6} {event.body}"


@asynccontextmanager
async def live_runner(
    directory: Path,
    home: Path,
    *,
    claude: Path,
    api: FakeAnthropic,
    agent: Mapping[str, Any] | None = None,
    **settings: Any,
) -> AsyncIterator[LiveRunner]:
    """Runs a runner in a directory; `agent` and `settings` change its settings."""
    home.mkdir(parents=True, exist_ok=True)
    whole = RunnerSettings(
        bridge_uid=str(uuid.uuid4()),
        directory=directory,
        state_dir=home / "state",
        socket=home / "run" / "runner.sock",
        agent=replace(AgentSettings(executable=str(claude)), **(agent or {})),
        **{**SETTINGS, **settings},
    )
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "LANG": "C.UTF-8",
        "ANTHROPIC_API_KEY": api.key,
        "ANTHROPIC_BASE_URL": api.base_url,
    }
    runner = LiveRunner(whole, environment=environment, home=home)
    await runner.start()
    try:
        yield runner
    finally:
        await runner.stop()
