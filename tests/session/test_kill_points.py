"""The runner is killed right before and right after each commit of a submit, its turn and its end.

Whatever point it is: a client that submits again gets each message done once, or told what became
of it. `linger` gives whatever acts ahead of its commit the time to be seen.
"""

from __future__ import annotations

import asyncio
import signal
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import grpc
import pytest

from repobridge.session.events import (
    MessageChanged,
    MessageState,
    TurnEnded,
    TurnOpened,
    TurnOrigin,
    TurnOutcome,
)
from tests.fakes.anthropic import FakeAnthropic, Text
from tests.fakes.scripted_claude.installed import ScriptedClaude
from tests.session.conftest import make_repository
from tests.session.faulty import FaultyRunner, assert_one_end_each, make_runner

TEXTS = {"m1": "first question", "m2": "second question"}
AT_ONCE = 5
"""Sweeps that run beside each other: most of each is waiting for an agent to be quiet."""


@dataclass(frozen=True)
class Point:
    """Where the runner dies."""

    at: int
    when: str
    linger: float = 0.0


async def submit_all(runner: FaultyRunner) -> None:
    """Submits what a client has in its hands, as often as it takes."""
    for message_id, text in TEXTS.items():
        await runner.submit(text, message_id=message_id)


async def until_accounted(runner: FaultyRunner) -> None:
    """Waits until each message has come to an end of its own."""

    def all_over() -> bool:
        last = {m.message_id: m.state for m in runner.of(MessageChanged)}
        over = (MessageState.ENDED, MessageState.REJECTED)
        return all(last.get(message_id) in over for message_id in TEXTS)

    await runner.until(all_over)


async def die_and_recover(runner: FaultyRunner, point: Point) -> bool:
    """Runs into the point and goes on behind it; False when it was never reached."""
    runner.doom(at=point.at, when=point.when, linger=point.linger)
    reached = True
    try:
        await runner.start()
        await submit_all(runner)
        over = asyncio.ensure_future(until_accounted(runner))
        gone = asyncio.ensure_future(runner.process.wait())
        await asyncio.wait({over, gone}, return_when=asyncio.FIRST_COMPLETED)
        reached = gone.done()
        over.cancel()
        await asyncio.gather(over, return_exceptions=True)
    except (AssertionError, grpc.aio.AioRpcError):
        pass  # it died while it started, or under a call
    if reached:
        await runner.died()
    else:
        reached = await runner.stop() == -signal.SIGKILL  # at a commit of its end
    await runner.start()
    try:
        await submit_all(runner)
        await until_accounted(runner)
    finally:
        await runner.stop()
    return reached


def assert_accounted(runner: FaultyRunner, point: Point) -> None:
    """Each message has one turn with one end, and nothing was told twice."""
    assert_one_end_each(runner)
    turns: dict[str, set[str]] = {message_id: set() for message_id in TEXTS}
    for event in runner.events:
        if isinstance(event.body, TurnOpened) and event.body.message_id in turns:
            turns[event.body.message_id].add(event.turn_id)
    ended = {event.turn_id for event in runner.events if isinstance(event.body, TurnEnded)}
    assert all(len(of_message) == 1 for of_message in turns.values()), (point, turns)
    assert set().union(*turns.values()) == ended, point


def outcomes(runner: FaultyRunner) -> list[TurnOutcome]:
    return [body.outcome for body in runner.of(TurnEnded)]


def resumes(runner: FaultyRunner) -> Counter[str]:
    """How often the turn of each message was told to go on."""
    return Counter(
        body.message_id for body in runner.of(TurnOpened) if body.origin is TurnOrigin.RESUME
    )


async def commits_of_a_whole_run(runner: FaultyRunner) -> int:
    """How many commits a run takes that nobody kills."""
    runner.doom(at=1_000_000, when="before")
    await runner.start()
    await submit_all(runner)
    await until_accounted(runner)
    await runner.stop()
    return int(runner.count.read_text())


# ------------------------------------------------------------- scripted agent


async def scripted_point(directory: Path, point: Point) -> bool:
    directory.mkdir()
    scripted = ScriptedClaude(directory / "agent", transcript_late_seconds=0.1)
    (directory / "work").mkdir()
    runner = make_runner(
        directory / "work", directory / "home", agent=scripted.agent, confirm_seconds=3.0
    )
    reached = await die_and_recover(runner, point)
    # How acts share a commit differs from run to run: some points lie behind the end.
    assert reached or int(runner.count.read_text()) < point.at
    assert_accounted(runner, point)
    executed = Counter(scripted.executed())
    assert set(executed.values()) <= {1}, (point, executed)
    ends = outcomes(runner)
    lost = ends.count(TurnOutcome.LOST)
    assert set(ends) <= {TurnOutcome.COMPLETED, TurnOutcome.LOST}, (point, ends)
    assert len(executed) >= len(TEXTS) - lost, (point, executed, ends)
    return reached


@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    ("when", "linger", "some"),
    [
        ("before", 0.06, slice(0, None, 3)),
        ("after", 0.0, slice(1, None, 3)),
        pytest.param("before", 0.06, slice(None), marks=pytest.mark.long),
        pytest.param("after", 0.0, slice(None), marks=pytest.mark.long),
        pytest.param("before", 0.0, slice(None), marks=pytest.mark.long),
    ],
)
async def test_a_runner_killed_at_any_commit_loses_nothing_and_doubles_nothing(
    tmp_path: Path, when: str, linger: float, some: slice
) -> None:
    scripted = ScriptedClaude(tmp_path / "agent")
    (tmp_path / "work").mkdir()
    whole = make_runner(tmp_path / "work", tmp_path / "home", agent=scripted.agent)
    commits = await commits_of_a_whole_run(whole)
    assert commits > 10
    points = range(1, commits + 1)[some]
    room = asyncio.Semaphore(AT_ONCE)

    async def at(number: int) -> bool:
        async with room:
            return await scripted_point(tmp_path / f"p{number}", Point(number, when, linger))

    reached = await asyncio.gather(*(at(number) for number in points))
    assert sum(reached) > len(points) // 2


# ------------------------------------------------------------------- real CLI


async def real_point(directory: Path, point: Point, *, claude: Path) -> bool:
    directory.mkdir()
    make_repository(directory / "repository")
    async with FakeAnthropic() as api:
        api.when("question", Text(["an answer\n", "of two lines\n"]))
        runner = make_runner(
            directory / "repository",
            directory / "home",
            agent={"executable": str(claude)},
            environment={"ANTHROPIC_API_KEY": api.key, "ANTHROPIC_BASE_URL": api.base_url},
            confirm_seconds=3.0,
        )
        reached = await die_and_recover(runner, point)
        assert_accounted(runner, point)
        assert_executed_once(runner, api, point)
        assert api.refusals == []
    return reached


def assert_executed_once(runner: FaultyRunner, api: FakeAnthropic, point: Point) -> None:
    """A prompt stands once in every history, and is asked again only where its turn went on."""
    asked = Counter(request.last_user_text for request in api.requests)
    again = resumes(runner)
    for message_id, text in TEXTS.items():
        prompt = f"[Ann via terminal]\n{text}"
        assert asked[prompt] <= 1 + again[message_id], (point, asked, again)
        for request in api.requests:
            assert request.prompts.count(prompt) <= 1, (point, request.prompts)


async def test_the_real_agent_survives_a_runner_killed_around_its_prompt(
    tmp_path: Path, claude_path: Path
) -> None:
    repository = tmp_path / "whole"
    make_repository(repository)
    async with FakeAnthropic() as api:
        whole = make_runner(
            repository,
            tmp_path / "home",
            agent={"executable": str(claude_path)},
            environment={"ANTHROPIC_API_KEY": api.key, "ANTHROPIC_BASE_URL": api.base_url},
        )
        commits = await commits_of_a_whole_run(whole)
    points = [Point(commits // 3, "before", 0.06), Point(commits // 2, "after")]
    for number, point in enumerate(points):
        assert await real_point(tmp_path / f"p{number}", point, claude=claude_path)


@pytest.mark.long
@pytest.mark.timeout(1800)
@pytest.mark.parametrize(("when", "linger"), [("before", 0.06), ("after", 0.0)])
async def test_the_real_agent_survives_a_runner_killed_at_any_commit(
    tmp_path: Path, claude_path: Path, when: str, linger: float
) -> None:
    reached = 0
    number = 0
    while True:
        number += 1
        point = Point(number, when, linger)
        if not await real_point(tmp_path / f"p{number}", point, claude=claude_path):
            break
        reached += 1
    assert reached > 10
