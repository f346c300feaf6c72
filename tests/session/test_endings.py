"""The runner ends on SIGTERM, and the kernel ends an agent: nothing is lost, all is cleaned up."""

from __future__ import annotations

import asyncio
import os
import re
import time
import urllib.request
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import psutil
import pytest

from repobridge.session.events import (
    SessionState,
    TextDelta,
    ToolStarted,
    TurnEnded,
    TurnOpened,
    TurnOrigin,
    TurnOutcome,
)
from tests.fakes.anthropic import FakeAnthropic, Gate, Text, bash
from tests.fakes.scripted_claude.installed import ScriptedClaude, open_gate
from tests.live_runner import PATIENCE_SECONDS, LiveRunner
from tests.ports import free_port
from tests.session.faulty import (
    CONTINUE,
    FaultyRunner,
    agent_of,
    agents_of,
    assert_one_end_each,
    eventually,
    make_runner,
    prompt,
    scripted_runner,
    when,
    written,
)

CGROUP = Path("/sys/fs/cgroup")


@pytest.fixture
def scripted(tmp_path: Path) -> ScriptedClaude:
    """A scripted agent that behaves until it is told otherwise."""
    return ScriptedClaude(tmp_path / "agent")


# -------------------------------------------------------------------- SIGTERM


async def test_a_runner_that_is_ended_in_mid_turn_has_the_next_one_go_on(
    runner: LiveRunner, anthropic_api: FakeAnthropic
) -> None:
    gate = Gate()
    when(anthropic_api, "tell me", lambda _: Text(["one\n", gate, "two\n"]))
    await runner.submit("tell me")
    await runner.submit("what waits")
    await runner.next(TextDelta)
    await written(runner, "tell me")
    agent = agent_of(runner)
    assert await runner.stop() == 0
    assert not agent.is_running()
    assert runner.of(TurnEnded) == []
    await runner.start()
    await gate.reached(2)
    await gate.open()
    ended = await runner.ended("m1")
    assert (ended.outcome, ended.final_markdown) == (TurnOutcome.COMPLETED, "one\ntwo")
    assert (await runner.ended("m2")).outcome is TurnOutcome.COMPLETED
    origins = [(body.message_id, body.origin) for body in runner.of(TurnOpened)]
    assert origins == [
        ("m1", TurnOrigin.MESSAGE),
        ("m1", TurnOrigin.RESUME),
        ("m2", TurnOrigin.MESSAGE),
    ]
    assert [r.last_user_text for r in anthropic_api.requests].count(CONTINUE) == 1
    assert_one_end_each(runner)


async def test_a_turn_that_ends_within_the_grace_ends_as_ever(
    tmp_path: Path, scripted: ScriptedClaude
) -> None:
    gate = scripted.gate("end")
    async with scripted_runner(tmp_path, scripted, shutdown_grace_seconds=20.0) as runner:
        await runner.submit(f"%say begun\n%gate {gate}\n%say done")
        await runner.next(TextDelta)
        ending = asyncio.create_task(runner.stop())
        await eventually(lambda: "runner stopping" in runner.log_text())
        open_gate(gate)
        assert await ending == 0
        await runner.start()
        assert (await runner.ended("m1")).final_markdown == "begun\ndone"
        assert [body.origin for body in runner.of(TurnOpened)] == [TurnOrigin.MESSAGE]
        assert_one_end_each(runner)


async def test_a_runner_with_several_sessions_ends_them_all_and_leaves_no_process(
    tmp_path: Path, scripted: ScriptedClaude
) -> None:
    gate = scripted.gate("never")
    names = ["one", "two", "three"]
    async with scripted_runner(tmp_path, scripted, shutdown_grace_seconds=2.0) as runner:
        for name in names:
            await runner.turn("%leave 300\n%say hello", conversation_id=name)
        await runner.submit(f"%say begun\n%gate {gate}", conversation_id="two")
        await runner.next(TextDelta, where=lambda delta: "begun" in delta.markdown)
        agents = agents_of(runner)
        left = [psutil.Process(line["child"]) for line in scripted.recorded("left")]
        assert (len(agents), len(left)) == (3, 3)
        assert await runner.stop() == 0
        assert not any(map(_lives, [*agents, *left]))
        await runner.start()
        assert (await runner.ended("m4")).outcome is TurnOutcome.COMPLETED
        for name in names:
            recalled = await runner.turn("%recall", conversation_id=name)
            assert "hello" in recalled.final_markdown
        assert_one_end_each(runner)


async def test_a_runner_that_is_killed_leaves_no_process_either(
    tmp_path: Path, scripted: ScriptedClaude
) -> None:
    async with scripted_runner(tmp_path, scripted) as runner:
        await runner.turn("hello")
        below = psutil.Process(runner.process.pid).children(recursive=True)
        assert below
        await runner.kill()
        await eventually(lambda: not any(map(_lives, below)))
        await runner.start()
        assert (await runner.turn("%recall")).final_markdown == "[Ann via terminal]\nhello | " + (
            prompt("%recall")
        )


async def test_turns_that_were_cut_find_room_though_others_start_first(
    tmp_path: Path, scripted: ScriptedClaude
) -> None:
    gate = scripted.gate("hold")
    names = ["a", "b", "c", "d"]
    async with scripted_runner(tmp_path, scripted, live_sessions=2) as runner:
        for name in names:
            await runner.turn("hello", conversation_id=name)
        for name in ("c", "d"):
            await runner.submit(f"%say begun\n%gate {gate}", conversation_id=name)
        await eventually(lambda: len(runner.of(TurnOpened)) == 6)
        for name in ("a", "b"):
            await runner.submit("more", conversation_id=name)
        await runner.kill()
        await runner.start()
        for message_id in ("m5", "m6", "m7", "m8"):
            assert (await runner.ended(message_id)).outcome is TurnOutcome.COMPLETED
        assert_one_end_each(runner)
        open_gate(gate)


def _lives(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


# -------------------------------------------------------------------- metrics


async def metrics(port: int) -> dict[str, float]:
    """Every sample, by its name with labels."""

    def ask() -> str:
        with urllib.request.urlopen(
            f"http://127.0.0.1:{port}/metrics", timeout=PATIENCE_SECONDS
        ) as answer:
            text: str = answer.read().decode()
            return text

    lines = re.findall(r"^([^#\s]+) (\S+)$", await asyncio.to_thread(ask), re.M)
    return {name: float(value) for name, value in lines}


async def test_metrics_tell_what_goes_on_and_orphans_are_reaped(
    tmp_path: Path, scripted: ScriptedClaude
) -> None:
    port = free_port()
    gate = scripted.gate("hold")
    address = f"127.0.0.1:{port}"
    async with scripted_runner(tmp_path, scripted, metrics_address=address) as runner:
        await runner.turn("hello", conversation_id="one")
        await runner.turn("%die", conversation_id="one")
        # Its parent ends at once, so that it is ours when it dies.
        await runner.turn("%tool (sh -c 'sleep 0.05' &) >/dev/null 2>&1", conversation_id="two")
        await runner.submit(f"%say begun\n%gate {gate}", conversation_id="two")
        await runner.submit("waits", conversation_id="two")
        await runner.next(TextDelta, where=lambda delta: "begun" in delta.markdown)
        await runner.submit("%ask true", conversation_id="three")
        asked = await runner.approval()
        prefix = "repobridge_runner_"
        # The cost and the working tree of a turn are told a little after its end.
        async with asyncio.timeout(PATIENCE_SECONDS):
            while (busy := await metrics(port))[f"{prefix}events_total"] != len(runner.events):
                await asyncio.sleep(0.05)
        assert busy[f'{prefix}sessions{{state="READY"}}'] == 1
        assert busy[f'{prefix}sessions{{state="BUSY"}}'] == 1
        assert busy[f'{prefix}sessions{{state="WAITING"}}'] == 1
        assert busy[f"{prefix}queued_messages"] == 1
        assert busy[f"{prefix}open_requests"] == 1
        assert busy[f'{prefix}turns_total{{outcome="COMPLETED"}}'] == 3
        assert 0 < busy[f"{prefix}disk_used_ratio"] < 1
        async with asyncio.timeout(PATIENCE_SECONDS):
            while (await metrics(port))[f"{prefix}orphans_reaped_total"] < 1:
                await asyncio.sleep(0.05)
        await runner.decide(asked.request_id, verdict=1)
        open_gate(gate)
        await runner.ended("m5")
        await runner.ended("m6")
        ending = await runner.stop()
        assert ending == 0
        await runner.start()
        again = await metrics(port)
        assert again[f'{prefix}sessions{{state="EXITED"}}'] == 3
        assert again[f"{prefix}events_total"] >= busy[f"{prefix}events_total"]


# -------------------------------------------------------------- out of memory


@pytest.fixture
def memory_cgroup() -> Iterator[Path]:
    """A memory cgroup of our own."""
    parent = CGROUP / "memory"
    if os.geteuid() != 0 or not (parent / "memory.limit_in_bytes").exists():
        pytest.skip("the kernel's OOM killer is caused as root, in a memory cgroup of version 1")
    group = parent / f"repobridge-test-{os.getpid()}"
    group.mkdir()
    yield group
    for _ in range(200):
        if not (group / "cgroup.procs").read_text():
            break
        time.sleep(0.05)  # what the runner left dies with it, a moment later
    group.rmdir()


class ConfinedRunner(FaultyRunner):
    """A runner whose whole tree lives in a cgroup."""

    group: Path

    def command(self, config: Path) -> list[str]:
        """Joins the cgroup, then becomes the runner."""
        join = f'echo $$ > {self.group}/cgroup.procs && exec "$@"'
        return ["/bin/sh", "-c", join, "sh", *super().command(config)]


@asynccontextmanager
async def confined_runner(
    group: Path, repository: Path, home: Path, *, claude: Path, api: FakeAnthropic
) -> AsyncIterator[ConfinedRunner]:
    made = make_runner(
        repository,
        home,
        agent={"executable": str(claude), "allowed_tools": ("Bash",)},
        environment={"ANTHROPIC_API_KEY": api.key, "ANTHROPIC_BASE_URL": api.base_url},
    )
    runner = ConfinedRunner(made.settings, environment=made._environment, home=home)
    runner.group = group
    await runner.start()
    try:
        yield runner
    finally:
        await runner.stop()


async def test_an_agent_that_the_kernel_kills_for_memory_is_told_so_and_comes_back(
    memory_cgroup: Path,
    repository: Path,
    tmp_path: Path,
    claude_path: Path,
    anthropic_api: FakeAnthropic,
) -> None:
    eat = "read line < {gate}; python3 -c 'b = bytearray(600 << 20)'"
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    anthropic_api.when("eat", bash(eat.format(gate=gate)), Text("ate\n"))
    async with confined_runner(
        memory_cgroup, repository, tmp_path / "home", claude=claude_path, api=anthropic_api
    ) as runner:
        await runner.turn("remember this")
        await written(runner, "remember this")
        await runner.submit("eat")
        await runner.next(ToolStarted)
        # The agent is the largest there is: with little room left, the kernel takes it.
        used = int((memory_cgroup / "memory.usage_in_bytes").read_text())
        (memory_cgroup / "memory.limit_in_bytes").write_text(str(used + (96 << 20)))
        open_gate(gate)
        ended = await runner.ended("m2")
        assert ended.outcome is TurnOutcome.OUT_OF_MEMORY
        assert ended.error is not None
        assert ended.error.code == "OutOfMemory"
        left = await runner.state(SessionState.EXITED)
        assert left.reason == "OutOfMemory"
        (memory_cgroup / "memory.limit_in_bytes").write_text("-1")
        assert (await runner.turn("go on")).outcome is TurnOutcome.COMPLETED
        assert prompt("remember this") in anthropic_api.requests[-1].prompts
        assert_one_end_each(runner)
