"""What keeps an agent from starting is told, and the next message tries again."""

from __future__ import annotations

from repobridge.session.events import MessageState, TurnOutcome
from tests.live_runner import LiveRunner


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
