"""A runner as its container starts it: everything from the environment, one volume, and a relay."""

from __future__ import annotations

import sys
import uuid
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from repobridge.session.events import TurnOutcome
from repobridge.session.v1 import session_pb2 as pb
from repobridge_runner.settings import AgentSettings, RunnerSettings, dump
from tests.fakes.anthropic import FakeAnthropic, Text, bash
from tests.live_runner import LiveRunner
from tests.relayed import relayed
from tests.session.conftest import make_repository

_RUNNER = (sys.executable, "-m", "repobridge_runner")


class _PodRunner(LiveRunner):
    def command(self, config: Path) -> list[str]:
        return list(_RUNNER)


@pytest.fixture
async def pod(
    tmp_path: Path, claude_path: Path, anthropic_api: FakeAnthropic
) -> AsyncIterator[_PodRunner]:
    volume = tmp_path / "workspace"
    make_repository(volume / "checkout")
    settings = RunnerSettings(
        bridge_uid=str(uuid.uuid4()),
        volume=str(volume),
        directory=volume / "checkout",
        state_dir=volume / "state",
        socket=tmp_path / "run" / "runner" / "session.sock",
        agent=AgentSettings(
            executable=str(claude_path),
            allowed_tools=("Bash",),
            commit_name="RepoBridge payments",
            commit_email="payments@acme.repobridge.invalid",
        ),
        shutdown_grace_seconds=4.0,
    )
    environment = {
        "PATH": "/usr/local/bin:/usr/bin:/bin",
        "HOME": str(volume / "home"),
        "REPOBRIDGE_SETTINGS": dump(settings),
        "REPOBRIDGE_AGENT_ENV_ANTHROPIC_API_KEY": anthropic_api.key,
        "REPOBRIDGE_AGENT_ENV_ANTHROPIC_BASE_URL": anthropic_api.base_url,
        "REPOBRIDGE_AGENT_ENV_COLOUR_OF_THE_PLUM": "blue",
        "REPOBRIDGE_AGENT_ENV_GIT_SSH_COMMAND": "/nonexistent",
        "NOT_FOR_THE_AGENT": "1",
    }
    home = tmp_path / "logs"
    home.mkdir()
    runner = _PodRunner(settings, environment=environment, home=home)
    await runner.start()
    try:
        yield runner
    finally:
        await runner.stop()


async def test_the_agent_gets_its_variables_and_home_and_none_of_the_runners(
    pod: _PodRunner, anthropic_api: FakeAnthropic
) -> None:
    anthropic_api.script(bash('env | cut -d= -f1; echo "$COLOUR_OF_THE_PLUM $HOME"'), Text("done"))
    ended = await pod.turn("what do you see?")
    assert ended.outcome is TurnOutcome.COMPLETED
    [result] = anthropic_api.requests[-1].tool_results
    volume = Path(pod.settings.volume)
    assert f"blue {volume}/home" in result.text
    assert "ANTHROPIC_API_KEY" in result.text
    assert "REPOBRIDGE_SETTINGS" not in result.text
    assert "REPOBRIDGE_AGENT_ENV" not in result.text
    assert "NOT_FOR_THE_AGENT" not in result.text
    assert sorted(path.name for path in volume.iterdir()) == ["checkout", "home", "state"]
    assert anthropic_api.key not in pod.log_text()


async def test_the_agent_commits_in_the_bridges_name(
    pod: _PodRunner, anthropic_api: FakeAnthropic
) -> None:
    words = "echo x > x; git add x && git commit -q -m x && git log -1 --format='%an <%ae> %ce'"
    anthropic_api.script(bash(words), Text("done"))
    assert (await pod.turn("commit it")).outcome is TurnOutcome.COMPLETED
    [result] = anthropic_api.requests[-1].tool_results
    email = "payments@acme.repobridge.invalid"
    assert result.text == f"RepoBridge payments <{email}> {email}"


async def test_the_relay_reaches_the_runner_over_standard_streams(pod: _PodRunner) -> None:
    words = (*_RUNNER, "relay", "--socket", str(pod.settings.socket))
    async with relayed(words) as stub:
        listed = await stub.ListSessions(pb.ListSessionsRequest(), timeout=90, wait_for_ready=True)
    assert listed.runner.bridge_uid == pod.settings.bridge_uid


async def test_it_ends_with_0_when_it_is_asked_to(pod: _PodRunner) -> None:
    assert await pod.stop() == 0
