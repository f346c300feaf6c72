"""A woken runner starts the agent that is most likely needed, before a message asks for it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from repobridge.session.events import (
    Event,
    MessageState,
    Phase,
    SessionChanged,
    SessionState,
    TurnOpened,
    TurnOutcome,
)
from repobridge_runner.settings import RepositorySettings
from tests.fakes.anthropic import FakeAnthropic
from tests.live_runner import live_runner

pytestmark = pytest.mark.timeout(200)


async def test_the_agent_of_the_conversation_used_last_resumes_before_a_message_comes(
    repository: Path, tmp_path: Path, claude_path: Path, anthropic_api: FakeAnthropic
) -> None:
    async with live_runner(
        repository, tmp_path / "home", claude=claude_path, api=anthropic_api, warm_start=True
    ) as live:
        assert (await live.state(SessionState.READY)).resumed is False
        assert _started(live.events) == ["main"]  # nothing was ever said here

        assert (await live.turn("hello", conversation_id="t1")).outcome is TurnOutcome.COMPLETED
        await live.stop()
        before = len(live.events)
        await live.start()
        assert (await live.state(SessionState.READY, after=before)).resumed is True
        assert _started(live.events[before:]) == ["t1"]
        assert len(live.of(TurnOpened)) == 1  # it came up, and said nothing by itself

        ended = await live.turn("and again", conversation_id="t1")
        assert ended.outcome is TurnOutcome.COMPLETED
        assert _started(live.events[before:]) == ["t1"]


async def test_a_warm_start_that_fails_leaves_the_first_message_its_two_tries(
    repository: Path, tmp_path: Path, claude_path: Path, anthropic_api: FakeAnthropic
) -> None:
    async with live_runner(
        repository, tmp_path / "home", claude=claude_path, api=anthropic_api
    ) as live:
        await live.stop()
        falls = tmp_path / "falls"
        falls.write_text("#!/bin/sh\necho I fell; exit 3\n")
        falls.chmod(0o755)
        agent = replace(live.settings.agent, executable=str(falls))
        live.settings = replace(live.settings, agent=agent, warm_start=True)
        await live.start()
        exited = await live.next(SessionChanged, where=lambda s: s.reason == "AgentExited")
        assert "I fell" in exited.detail

        await live.submit("hello")
        rejected = await live.message("m1", MessageState.REJECTED)
        assert rejected.reason.startswith("AgentExited: ")
        falls_told = [s for s in live.of(SessionChanged) if s.reason == "AgentExited"]
        assert len(falls_told) == 3


async def test_a_workspace_that_cannot_be_used_starts_no_agent(
    tmp_path: Path, claude_path: Path, anthropic_api: FakeAnthropic
) -> None:
    async with live_runner(
        tmp_path / "checkout",
        tmp_path / "home",
        claude=claude_path,
        api=anthropic_api,
        warm_start=True,
        repository=RepositorySettings(url=f"file://{tmp_path}/gone"),
    ) as live:
        assert (await live.state(SessionState.EXITED)).reason
        assert _started(live.events) == []


def _started(events: list[Event]) -> list[str]:
    """The conversations whose agents came up, or were about to."""
    return [
        event.conversation_id
        for event in events
        if isinstance(event.body, SessionChanged)
        and event.body.state is SessionState.STARTING
        and event.body.phase in {Phase.STARTING, Phase.RESUMING}
    ]
