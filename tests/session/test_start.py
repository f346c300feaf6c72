"""What keeps an agent from starting is told, and the next message tries again."""

from __future__ import annotations

from pathlib import Path

from repobridge.session.events import MessageState, TurnOutcome
from tests.fakes.anthropic import FakeAnthropic
from tests.live_runner import LiveRunner, live_runner


async def test_a_start_that_the_disk_refuses_turns_the_message_away_with_the_reason(
    runner: LiveRunner,
) -> None:
    agents = runner.settings.state_dir / "agents"
    agents.rmdir() if agents.is_dir() else None
    agents.write_text("in the way")
    await runner.submit("hello")
    rejected = await runner.message("m1", MessageState.REJECTED)
    assert rejected.reason.startswith("StartFailed: The agent could not be started: ")
    assert str(agents) in rejected.reason
    agents.unlink()
    assert (await runner.turn("again")).outcome is TurnOutcome.COMPLETED


async def test_a_proxy_in_the_environment_does_not_swallow_the_hooks(
    repository: Path, tmp_path: Path, claude_path: Path, anthropic_api: FakeAnthropic
) -> None:
    dead = "http://127.0.0.1:9"
    proxies = dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"), dead)
    async with live_runner(
        repository,
        tmp_path / "home",
        claude=claude_path,
        api=anthropic_api,
        agent={"environment": {**proxies, "NO_PROXY": "example.invalid"}},
    ) as live:
        assert (await live.turn("hello")).outcome is TurnOutcome.COMPLETED
