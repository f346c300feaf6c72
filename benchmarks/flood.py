"""What one session's terminal flood costs another session of the same runner: hook → event."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import time
from collections.abc import Sequence
from typing import Any

from benchmarks.benchmark import Benchmark, Setting
from benchmarks.measure import interleaved
from benchmarks.result import MILLISECONDS, Comparison, Row, at_most
from benchmarks.workplace import workplace
from repobridge.session.events import TextDelta, TurnOpened
from tests.fakes.scripted_claude.installed import ScriptedClaude, open_gate
from tests.live_runner import LiveRunner

_ENDLESS_BYTES = 10**15
_EVENTS_A_PAIR = 10
_WARM_UP = 5
_SETTLE_SECONDS = 0.02


async def run(setting: Setting) -> Sequence[Row]:
    """One session floods or stands still; the other's hooks become events at a subscriber."""
    agent = ScriptedClaude(setting.directory / "agent")
    gate = agent.gate("quiet")
    async with (
        workplace(setting.directory, setting.environment) as place,
        place.runner(agent=agent.agent) as runner,
    ):
        quiet = await _open_turn(runner, agent, "quiet", f"%gate {gate}")
        flooding = await _open_turn(runner, agent, "flooding", f"%endless {_ENDLESS_BYTES}")
        hooks = await _Hooks.connect(quiet, runner)

        async def event(after: int) -> float:
            os.kill(flooding["pid"], after)
            await asyncio.sleep(_SETTLE_SECONDS)
            return await hooks.event()

        delays = await interleaved(
            lambda: event(signal.SIGCONT),
            lambda: event(signal.SIGSTOP),
            pairs=setting.pairs * _EVENTS_A_PAIR,
            warm_up=_WARM_UP,
        )
        os.kill(flooding["pid"], signal.SIGKILL)
        hooks.close()
        open_gate(gate)
    name, baseline = "another session's hook → event during a flood", "no flood"
    difference = Comparison.DIFFERENCE
    return (
        Row(name, delays, MILLISECONDS, difference, baseline_name=baseline),
        Row(
            name,
            delays,
            MILLISECONDS,
            difference,
            quantile=0.99,
            goal=at_most(0.05),
            baseline_name=baseline,
        ),
    )


async def _open_turn(
    runner: LiveRunner, agent: ScriptedClaude, conversation_id: str, steps: str
) -> dict[str, Any]:
    """Begins a turn that does not end by itself; returns what its agent's process told."""
    before = len(runner.events)
    await runner.submit(steps, conversation_id=conversation_id)
    await runner.next(TurnOpened, after=before)
    return agent.recorded("start")[-1]


class _Hooks:
    """Posts text for a session, as its agent would, over one connection."""

    def __init__(
        self,
        runner: LiveRunner,
        head: str,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        self._runner = runner
        self._head = head
        self._reader = reader
        self._writer = writer
        self._index = 0

    @classmethod
    async def connect(cls, agent: dict[str, Any], runner: LiveRunner) -> _Hooks:
        """Connects to where an agent posts its hooks."""
        authority, _, path = agent["hook_url"].removeprefix("http://").partition("/")
        host, _, port = authority.partition(":")
        head = (
            f"POST /{path} HTTP/1.1\r\nHost: {authority}\r\n"
            f"Authorization: {agent['authorization']}\r\nContent-Type: application/json\r\n"
        )
        return cls(runner, head, *await asyncio.open_connection(host, int(port)))

    async def event(self) -> float:
        """Posts a line of text; returns the seconds until it is an event at the subscriber."""
        before = len(self._runner.events)
        payload = {
            "hook_event_name": "MessageDisplay",
            "prompt_id": "measured",
            "turn_id": "measured",
            "message_id": "measured",
            "index": self._index,
            "final": False,
            "delta": "A line of an answer.\n",
        }
        self._index += 1
        body = json.dumps(payload)
        started = time.perf_counter()
        self._writer.write(f"{self._head}Content-Length: {len(body)}\r\n\r\n{body}".encode())
        await self._runner.next(TextDelta, after=before)
        elapsed = time.perf_counter() - started
        await self._reader.readuntil(b"{}")
        return elapsed

    def close(self) -> None:
        """Hangs up."""
        self._writer.close()


BENCHMARK = Benchmark(
    name="flood",
    about="one session's terminal flood, as another session's events feel it",
    run=run,
)
