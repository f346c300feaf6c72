"""What people and agents write and attach comes through, whatever it is, and does no harm."""

from __future__ import annotations

import asyncio
from datetime import date
from pathlib import Path

from repobridge.session import events as ev
from repobridge_gateway.render.pieces import FILE_BYTES
from tests.fakes.anthropic import FakeAnthropic, Text
from tests.fakes.discord import GENEROUS, Discord
from tests.fakes.scripted_claude.installed import ScriptedClaude
from tests.live_runner import live_runner
from tests.session.conftest import make_repository
from tests.session.faulty import scripted_runner
from tests.unit.gateway.stage import Stage, staged

FILES = {"Ärger @everyone 1.txt": 5, "large.bin": FILE_BYTES + 1, "lost.txt": 6}


async def test_files_between_turns_come_under_a_name_that_can_be_sent_or_it_is_said_why_not(
    tmp_path: Path,
) -> None:
    scripted = ScriptedClaude(tmp_path / "agent")
    async with (
        Discord(limits=GENEROUS) as discord,
        staged(tmp_path, discord) as stage,
        scripted_runner(tmp_path, scripted) as runner,
    ):
        await runner.turn("begin")
        outbox = runner.settings.state_dir / "outbox" / "main"
        for name, size in FILES.items():
            (outbox / name).write_bytes(b"x" * size)
        lost = await runner.next(ev.FileProduced, where=lambda each: each.name == "lost.txt")
        await runner.until(lambda: len(runner.of(ev.FileProduced)) == len(FILES))
        for path in runner.settings.state_dir.rglob(f"{lost.blob_id}*"):
            path.unlink()
        stage.begin(asyncio.create_task(stage.desk().run()))
        async with stage.bridge.joined(runner):
            await discord.until(lambda: len(discord.seen(stage.channel)) >= 5)
            second = await runner.turn("go on")
            await discord.until_seen(
                stage.channel, lambda each: each.content == second.final_markdown
            )
        shown = [each for each in discord.seen(stage.channel) if not each.reply_to]
        assert [file.name for each in shown for file in each.files] == ["Arger_everyone_1.txt"]
        said = [each.content for each in shown if "`" in each.content]
        assert sorted(said) == [
            "-# `large.bin` has 10.0 MiB, more than Discord takes. It stays with the session.",
            "-# `lost.txt` is not kept any more. If the session still has it, ask for it again.",
        ]
        assert discord.failures == []


ZALGO, TURNED = "z" + "\u0336\u0315\u0489" * 40, "\u202eesrever\u202c"
NAMES = ["../../" + TURNED + ".txt", "CON", "a" * 250 + ".txt", "same.txt"]


async def test_no_secret_no_ping_and_no_trick_passes_between_people_and_an_agent(
    tmp_path: Path, stage: Stage, claude_path: Path, anthropic_api: FakeAnthropic
) -> None:
    asker, role = stage.people["asker"], stage.people["manager"].member.role_ids[0]
    key = anthropic_api.key
    pings = f"@everyone @here <@{stage.people['manager'].id}> <@&{role}>"
    told = f"{pings} {ZALGO} {TURNED} the key is {key}, again {key}\n"
    anthropic_api.script(Text([told[at : at + 7] for at in range(0, len(told), 7)]))
    text = f"{pings} {ZALGO} {TURNED} "
    said = asker.say(
        stage.channel,
        text + "x" * (4000 - len(text)),
        files=dict.fromkeys(NAMES, b"harmless\n"),
    )
    directory = tmp_path / "work"
    make_repository(directory)
    await stage.receive(said)
    desk = stage.desk()
    stage.begin(asyncio.create_task(desk.run()))
    desk.handover.look()
    async with (
        live_runner(directory, tmp_path / "home", claude=claude_path, api=anthropic_api) as live,
        stage.bridge.joined(live),
    ):
        answer = await stage.discord.until_seen(
            stage.channel, lambda each: each.reply_to == said.id
        )
        await live.ended(str(said.id))
    (row,) = await stage.store.ledger.usage(str(stage.guild.id), since=date.min, until=date.max)
    assert (row.key.user_id, row.key.bridge, row.turns) == (str(asker.id), stage.served.uid, 1)
    assert row.used.amount.tokens > 0
    assert answer.pings == (asker.name,)
    assert "everyone" in answer.content
    bodies = [str(each.body) for each in stage.discord.requests]
    assert any("the key is" in each for each in bodies)
    assert not [each for each in bodies if key in each or "\u202e" in each]
    prompt = anthropic_api.requests[-1].last_user_text
    paths = [Path(line.split(": ", 1)[1].rstrip("]")) for line in prompt.splitlines()[1:5]]
    (folder,) = {path.parent for path in paths}
    assert folder.is_relative_to(live.settings.state_dir)
    assert [path.name for path in paths] == [
        "esrever.txt",
        "_CON",
        NAMES[2][:236] + ".txt",
        NAMES[3],
    ]
    assert prompt.endswith("x" * 3000)
