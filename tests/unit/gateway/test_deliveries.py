"""What a session puts out between its turns reaches its channel, whatever it is called or lost."""

from __future__ import annotations

import asyncio
from pathlib import Path

from repobridge.session import events as ev
from repobridge_gateway.render.pieces import FILE_BYTES
from tests.fakes.discord import GENEROUS, Discord
from tests.fakes.scripted_claude.installed import ScriptedClaude
from tests.session.faulty import scripted_runner
from tests.unit.gateway.stage import staged

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
