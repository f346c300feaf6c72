"""A gateway that starts while a turn runs goes on with what it shows, and leaves alone the rest."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.fakes.discord import GENEROUS, Discord
from tests.fakes.scripted_claude.installed import ScriptedClaude, open_gate
from tests.session.faulty import scripted_runner
from tests.unit.gateway.whole import Whole, whole


@pytest.fixture
async def team(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Whole]:
    scripted = ScriptedClaude(tmp_path / "agent")
    async with (
        Discord(limits=GENEROUS) as discord,
        scripted_runner(tmp_path, scripted) as runner,
        whole(discord, runner, scripted, tmp_path / "store", monkeypatch) as made,
    ):
        yield made
        assert discord.failures == []


async def test_a_turn_that_is_over_is_not_shown_again_because_an_older_one_still_runs(
    team: Whole,
) -> None:
    gate = team.scripted.gate("held")
    team.start()
    held = team.ask(f"%gate {gate}")
    await team.discord.until_seen(team.channel, lambda seen: "Stop" in seen.labels)
    thread = team.ann.open_thread(held, "beside")
    beside = team.ask("beside", thread)
    await team.until(
        lambda: (
            any(each.reply_to == beside.id for each in team.discord.seen(thread))
            and not any("Stop" in each.labels for each in team.discord.seen(thread))
        )
    )
    shown = team.discord.seen(thread)
    await team.end()
    team.start()
    open_gate(gate)
    await team.until(team.is_over)
    assert team.discord.seen(thread) == shown
    team.assert_accounted()
    assert str(beside.id) in team.charges()[0]
