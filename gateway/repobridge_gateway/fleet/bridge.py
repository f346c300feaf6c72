"""One local bridge: wakes its runner when somebody needs it, watches it, and lets it sleep.

A single task (`run`) moves the bridge through its phases; everybody else says what they want
(`awake`) and waits for the phase that brings it.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
import uuid
from collections.abc import Iterable
from dataclasses import replace
from enum import Enum
from pathlib import Path
from typing import Any
from urllib.parse import quote

import grpc

from repobridge import durations
from repobridge.errors import Refusal, Status
from repobridge.idle import IdleAction, IdleDecision, decide
from repobridge.session.events import Cursor
from repobridge.telemetry import Logger
from repobridge_gateway.fleet.launch import Launcher, LaunchError, exit_sentence
from repobridge_gateway.fleet.process import RunnerProcess
from repobridge_gateway.fleet.reader import LogReader
from repobridge_gateway.fleet.settings import BridgeSpec, FleetSettings
from repobridge_gateway.fleet.status import BridgePhase, BridgeStatus, RunnerLink
from repobridge_gateway.notices import GatewayNotice, NoticeBoard, NoticeCode
from repobridge_gateway.places import BridgePlaces, PlaceError, bridge_uid, made_at
from repobridge_gateway.session_client import CHANNEL_OPTIONS, SessionClient
from repobridge_gateway.watched import Watched

_ASKED = "Asked"
_TURN_SECONDS = 0.5
_SAVE_SECONDS = 5.0
_RESUBSCRIBE_SECONDS = 0.2


class _Ending(Enum):
    CRASHED = 1
    SLEPT = 2
    CLOSED = 3


class LocalBridge:
    """A bridge of this machine."""

    def __init__(
        self,
        spec: BridgeSpec,
        *,
        places: BridgePlaces,
        launcher: Launcher,
        settings: FleetSettings,
    ) -> None:
        self.spec = spec
        self.uid = bridge_uid(places)
        self.board = NoticeBoard()
        self.status = Watched(BridgeStatus(BridgePhase.ASLEEP))
        self.reader = LogReader(spec, places.progress_file)
        self._places = places
        self._launcher = launcher
        self._settings = settings
        self._log = Logger(__name__, {"repo": spec.name})
        self._wanted = asyncio.Event()
        self._closing = asyncio.Event()
        self._sleep_wanted = asyncio.Event()
        self._process: RunnerProcess | None = None
        self._crashes = 0
        if self.reader.progress.has_work:
            self._wanted.set()

    @property
    def name(self) -> str:
        """What people call it."""
        return self.spec.name

    @property
    def llm(self) -> str:
        """The kind of its agent."""
        return self.spec.llm

    @property
    def place(self) -> str:
        """The directory in which it works."""
        return str(self.spec.working_dir)

    @property
    def newest(self) -> Cursor | None:
        """The end of its log."""
        return self.reader.progress.cursor

    @property
    def made_at(self) -> float:
        """When the bridge was first served, in seconds since the epoch."""
        return made_at(self._places)

    @property
    def socket(self) -> Path:
        """Where the runner listens while it runs."""
        return self._places.socket

    @property
    def metrics_socket(self) -> Path:
        """Where it tells what it counts, if somebody wants to know."""
        return self._places.metrics_socket

    async def awake(self) -> RunnerLink:
        """The runner, woken if need be; raises a Refusal when that fails."""
        before = self.status.value.failures
        self._wanted.set()
        status = await self.status.until(
            lambda s: s.phase is BridgePhase.READY or s.failures > before or s.closed
        )
        if status.closed:
            raise Refusal(Status.UNAVAILABLE, "SHUTTING_DOWN", "repobridge serve is shutting down.")
        if status.link is None:
            raise Refusal(Status.UNAVAILABLE, "WAKE_FAILED", status.reason)
        return status.link

    async def sleep(self) -> None:
        """Has the runner end as soon as no turn runs; what waits in its queue wakes it again."""
        if self.status.value.link is not None:
            self._sleep_wanted.set()

    def accepted(self, message_id: str) -> None:
        """Remembers that the runner holds a message, though its event may not have come yet."""
        self.reader.accepted(message_id)

    def tell(self, code: NoticeCode, text: str) -> None:
        """Tells everybody who follows the bridge."""
        self.board.post(GatewayNotice(code=code, text=text))

    def idle_after(self, nanoseconds: int) -> None:
        """Has the runner end after another time of idleness from now on."""
        self._settings = replace(self._settings, idle_nanoseconds=nanoseconds)

    def close(self) -> None:
        """Asks the bridge to end its runner; `run` returns when that is done."""
        self._closing.set()
        self._wanted.set()

    def kill(self) -> None:
        """Ends the runner at once."""
        if self._process:
            self._process.kill()

    async def run(self) -> None:
        """Moves the bridge through its phases until it is closed."""
        try:
            await self._launcher.end_predecessor(self._places, self._log)
            while not self._closing.is_set():
                await self._wanted.wait()
                await self._pause()
                if not self._closing.is_set():
                    await self._wake_once()
        finally:
            self._set(BridgePhase.ASLEEP, closed=True)

    async def _wake_once(self) -> None:
        self._set(BridgePhase.WAKING)
        self.tell(NoticeCode.WAKING, f"Waking {self.spec.name} …")
        channel = self._channel()
        try:
            self._process = process = await self._launcher.launch(
                self.spec, self._places, self._log
            )
            link = RunnerLink(SessionClient(channel), channel)
            if not await self._answers(link, process):
                await process.end(grace_seconds=self._settings.shutdown_grace_seconds)
                return
            woken_at = time.monotonic()
            self._sleep_wanted.clear()
            self._set(BridgePhase.READY, link=link)
            self.tell(NoticeCode.READY, f"{self.spec.name} is awake.")
            ending = await self._attend(link, process)
            if ending is _Ending.CRASHED:
                steady = time.monotonic() - woken_at >= self._settings.steady_seconds
                await self._crashed(process, steady=steady)
        except (LaunchError, PlaceError) as error:
            self._failed(str(error))
        finally:
            await channel.close()
            if self._process:
                await self._launcher.ended(self._process, self._places)
                self._process = None
            self.reader.stopped()
        if self.status.value.phase is not BridgePhase.FAILED:
            self._set(BridgePhase.ASLEEP)

    def _channel(self) -> grpc.aio.Channel:
        target = f"unix:{quote(str(self._places.socket))}"
        return grpc.aio.insecure_channel(target, options=CHANNEL_OPTIONS)

    async def _answers(self, link: RunnerLink, process: RunnerProcess) -> bool:
        """Waits until a new runner answers; False when we are closed first."""
        ready = asyncio.create_task(_answering(link.client))
        exited = asyncio.create_task(process.wait())
        closing = asyncio.create_task(self._closing.wait())
        tasks = {ready, exited, closing}
        try:
            await asyncio.wait(
                tasks,
                timeout=self._settings.start_seconds,
                return_when=asyncio.FIRST_COMPLETED,
            )
            if closing.done():
                return False
            if ready.done():
                return True
            if exited.done():
                how = exit_sentence(exited.result(), process.last_line)
                raise LaunchError(f"The session's runner ended at its start ({how}).")
        finally:
            await _cancel(tasks)
        process.kill()
        await process.wait()
        seconds = durations.text_of_seconds(self._settings.start_seconds)
        raise LaunchError(f"The session's runner did not answer within {seconds}.")

    async def _attend(self, link: RunnerLink, process: RunnerProcess) -> _Ending:
        """Watches a runner until it is to sleep, ends by itself, or we are closed."""
        exited = asyncio.create_task(process.wait())
        closing = asyncio.create_task(self._closing.wait())
        idle = asyncio.create_task(self._watch_idle(link.client))
        pump = asyncio.create_task(self.reader.read(link.client))
        grace = self._settings.shutdown_grace_seconds
        try:
            await asyncio.wait({exited, closing, idle}, return_when=asyncio.FIRST_COMPLETED)
            if exited.done():
                return _Ending.CRASHED
            self._wanted.clear()
            self._set(BridgePhase.DRAINING, link=link)
            if closing.done():
                self.tell(NoticeCode.SHUTTING_DOWN, "RepoBridge is shutting down.")
                await process.end(grace_seconds=grace + 2)
                return _Ending.CLOSED
            decision = idle.result()
            await process.end(grace_seconds=grace)
            self._slept(decision)
            return _Ending.SLEPT
        finally:
            await _cancel({exited, closing, idle, pump})

    def _slept(self, decision: IdleDecision) -> None:
        idle = durations.text_of_seconds(decision.idle_seconds)
        self._crashes = 0
        self._log.info("stopping idle llm", idle=idle, reason=decision.reason)
        text = (
            f"LLM stopped due to idle timeout ({durations.text(self._settings.idle_nanoseconds)})"
        )
        if decision.action is IdleAction.DRAIN_AFTER_TURN:
            text = f"LLM stopped after {idle} without a turn; what ran in the background was ended"
        if decision.reason == _ASKED:
            text = "LLM stopped, as somebody asked for it"
        self.tell(NoticeCode.IDLE_TIMEOUT, text)

    @property
    def _longest(self) -> float:
        """The longest time between two looks at whether the runner is idle."""
        idle_seconds = self._settings.idle_policy.idle_seconds
        return min(self._settings.poll_seconds, max(0.1, idle_seconds / 4))

    async def _watch_idle(self, client: SessionClient) -> IdleDecision:
        """Returns once the runner has agreed to stop."""
        awake_since, drain_id = time.time(), str(uuid.uuid4())
        delay = self._longest
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(delay):
                    await self._sleep_wanted.wait()
            policy = self._settings.idle_policy
            longest = delay = self._longest
            with contextlib.suppress(Refusal):
                activity = await client.activity(terminal_idle_seconds=policy.idle_seconds)
                decision = decide(activity, policy=policy, awake_since=awake_since, now=time.time())
                if self._sleep_wanted.is_set():
                    decision = IdleDecision(action=IdleAction.DRAIN_AFTER_TURN, reason=_ASKED)
                if decision.action is IdleAction.STAY:
                    delay = max(0.05, min(longest, decision.check_after_seconds))
                elif await client.drain(
                    drain_id,
                    after_turn=decision.action is IdleAction.DRAIN_AFTER_TURN,
                    terminal_idle_seconds=policy.idle_seconds,
                ):
                    return decision
            if self._sleep_wanted.is_set():
                await asyncio.sleep(_TURN_SECONDS)  # until the turn that runs has ended

    async def _crashed(self, process: RunnerProcess, *, steady: bool) -> None:
        how = exit_sentence(await process.wait(), process.last_line)
        self._crashes = 1 if steady else self._crashes + 1
        self._log.error("runner crashed", error=how, crashes=self._crashes)
        if self._crashes >= self._settings.crashes_in_a_row:
            self._failed(f"The session's runner crashed {self._crashes} times in a row ({how}).")
            return
        if self.reader.progress.has_work:
            self._wanted.set()
            then = "it starts again and takes up what was open"
        else:
            self._wanted.clear()
            then = "it starts again with the next message"
        self.tell(NoticeCode.RUNNER_CRASHED, f"The session's runner crashed ({how}); {then}.")

    def _failed(self, reason: str) -> None:
        self._wanted.clear()
        self._crashes += 1
        self._log.error("failed to create session", error=reason)
        self._set(BridgePhase.FAILED, reason=reason, failures=self.status.value.failures + 1)
        self.tell(NoticeCode.WAKE_FAILED, f"{reason} The next message tries again.")

    async def _pause(self) -> None:
        """Waits before the next start after a crash, longer each time."""
        if self._crashes:
            settings = self._settings
            doubled = settings.retry_seconds * 2 ** min(self._crashes - 1, 16)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(min(doubled, settings.retry_cap_seconds)):
                    await self._closing.wait()

    def _set(
        self,
        phase: BridgePhase,
        *,
        reason: str = "",
        link: RunnerLink | None = None,
        failures: int | None = None,
        closed: bool = False,
    ) -> None:
        count = self.status.value.failures if failures is None else failures
        self.status.set(BridgeStatus(phase, reason, link, count, closed))


async def _answering(client: SessionClient) -> None:
    while True:
        try:
            await client.activity()
            return
        except Refusal as refusal:
            if refusal.status is not Status.UNAVAILABLE:
                return  # it speaks
        await asyncio.sleep(0.02)


async def _cancel(tasks: Iterable[asyncio.Task[Any]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
