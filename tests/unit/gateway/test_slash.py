"""Commands do what they say, for whom they are for, and wake nobody only to look."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from repobridge.errors import Refusal, Status
from repobridge.session import events as ev
from repobridge_gateway.access import Access, Permission, Rule
from repobridge_gateway.fleet.status import BridgePhase, BridgeStatus
from repobridge_gateway.slashspec import make_commands
from tests.fakes.discord import Answer, Channel, Discord, Reset, SeenMessage
from tests.fakes.scripted_claude.installed import ScriptedClaude, open_gate
from tests.live_runner import LiveRunner
from tests.session.faulty import scripted_runner
from tests.unit.gateway.stage import UID, Stage, staged

EVERYBODY = ("passer_by", "asker", "approver", "manager")
Given = dict[str, dict[str, str]]
MANAGERS_ONLY: Given = {
    "restart": {},
    "clear": {},
    "sleep": {},
    "model": {"model": "opus"},
    "mode": {"mode": "plan"},
}
FOR_ALL: Given = {"status": {}, "sessions": {}, "help": {}, "attach": {}}


@pytest.fixture
async def stage(discord: Discord, tmp_path: Path) -> AsyncIterator[Stage]:
    async with staged(tmp_path, discord) as made:
        await made.bot.rest.register(str(made.guild.id), make_commands())
        yield made


@pytest.fixture
async def scripted(tmp_path: Path) -> ScriptedClaude:
    return ScriptedClaude(tmp_path / "agent")


@pytest.fixture
async def runner(tmp_path: Path, scripted: ScriptedClaude) -> AsyncIterator[LiveRunner]:
    directory = tmp_path / "directory"
    directory.mkdir()
    identity = ["-c", "user.name=Test", "-c", "user.email=test@example.invalid"]
    for arguments in (["init", "-q", "-b", "main"], ["commit", "-q", "--allow-empty", "-m", "a"]):
        subprocess.run(["git", *identity, *arguments], cwd=directory, check=True)
    async with scripted_runner(tmp_path, scripted) as live:
        yield live


async def said(stage: Stage, answer: Answer) -> SeenMessage:
    """The answer to a command, once it is there."""
    assert not answer.is_failed

    def found() -> SeenMessage | None:
        message = answer.message
        return message if message is not None and not message.is_loading else None

    message = await stage.discord.until(found)
    assert message is not None
    return message


async def run(
    stage: Stage,
    who: str,
    command: str,
    options: Mapping[str, str] | None = None,
    *,
    where: Channel | None = None,
) -> SeenMessage:
    """What somebody reads who runs a command."""
    person = stage.people[who]
    return await said(stage, await person.command(where or stage.channel, command, **options or {}))


@pytest.mark.parametrize("who", EVERYBODY)
async def test_commands_are_for_whom_they_are_for_and_asleep_nobody_is_woken_to_look(
    who: str, stage: Stage
) -> None:
    for command, options in {**FOR_ALL, **MANAGERS_ONLY}.items():
        is_allowed = who == "manager" or (command in FOR_ALL and who != "passer_by")
        if is_allowed and command in {"clear", "model", "mode"}:
            continue  # these wake it
        message = await run(stage, who, command, options)
        assert message.content.startswith("You may not ") is not is_allowed, command
        assert message.is_ephemeral is (command in FOR_ALL or not is_allowed), command
    assert (stage.bridge.woken, stage.operations.slept) == (0, [])


async def test_settings_are_read_again_for_whom_the_settings_let_and_nobody_else_hears_of_it(
    stage: Stage,
) -> None:
    asker = stage.people["asker"]
    reloads = Rule(user_id=str(asker.id), permissions=frozenset({Permission.RELOAD_CONFIG}))
    rules = stage.served.access.at(str(stage.guild.id)).rules
    access = Access(rules=rules, wide=(reloads,))
    stage.channels.served.set({str(stage.channel.id): replace(stage.served, access=access)})
    for who in EVERYBODY:
        message = await run(stage, who, "reload")
        told = (
            "In force from now on: `access`."
            if who == "asker"
            else "You may not have the settings read again here."
        )
        assert (message.is_ephemeral, message.content) == (True, told)
    assert [each.id for each in stage.operations.reloads] == [str(asker.id)]


async def test_a_channel_without_a_bridge_has_no_commands(stage: Stage) -> None:
    elsewhere = stage.discord.add_channel(stage.guild, "elsewhere")
    message = await run(stage, "manager", "restart", where=elsewhere)
    assert message.is_ephemeral
    assert message.content == "This channel belongs to no repository."


@pytest.mark.parametrize(
    ("status", "line"),
    [
        (BridgeStatus(BridgePhase.ASLEEP), "**payments** is asleep; the next message wakes it"),
        (BridgeStatus(BridgePhase.WAKING), "**payments** is waking up"),
        (BridgeStatus(BridgePhase.FAILED, "No image."), "**payments** can't start: No image."),
    ],
)
async def test_the_status_of_what_does_not_run_is_known_and_what_waits_for_it(
    status: BridgeStatus, line: str, stage: Stage
) -> None:
    stage.bridge.status.set(status)
    stage.operations.in_the_way.append("I may not write in this channel.")
    await stage.receive(stage.people["asker"].say(stage.channel, "hello"))
    message = await run(stage, "asker", "status")
    assert message.content.split("\n") == [
        line,
        "1 message on the way",
        "⚠ I may not write in this channel.",
    ]


async def test_a_command_while_the_agent_works_and_once_it_is_idle(
    stage: Stage, runner: LiveRunner, scripted: ScriptedClaude
) -> None:
    gate = scripted.gate("held")
    asker = stage.people["asker"]
    stage.begin(asyncio.create_task(stage.desk().run()))
    async with stage.bridge.joined(runner):
        prompt = await stage.spoken(asker, f"%gate {gate}")
        await stage.store.inbox.receive(prompt, bridge=UID, conversation="main")
        await runner.submit(prompt.content, message_id=prompt.message_id)
        await runner.next(ev.TurnOpened)
        await stage.discord.until_seen(stage.channel, lambda each: each.labels == ["Stop"])
        status = await run(stage, "asker", "status")
        assert status.content.startswith("**payments** is working, for ")
        sessions = await run(stage, "asker", "sessions")
        assert sessions.content.startswith(f"- <#{stage.channel.id}>: working, for ")
        others = await run(stage, "approver", "cancel")
        assert others.content.startswith("You may not do that")
        stopped = await run(stage, "asker", "cancel")
        assert (stopped.content, stopped.is_ephemeral) == ("The-asker stopped the turn.", False)
        assert (await runner.ended(prompt.message_id)).outcome is ev.TurnOutcome.INTERRUPTED
        # The row of the turn is closed with the delivery of its end.
        await stage.discord.until_seen(stage.channel, lambda each: "Stopped" in each.content)
        assert (await run(stage, "asker", "interrupt")).content == "Nothing is running."
        idle = await run(stage, "asker", "status")
        assert "sleeps in " in idle.content
    open_gate(gate)


async def test_what_managers_change_is_said_to_all_with_who_it_was(
    stage: Stage, runner: LiveRunner
) -> None:
    async with stage.bridge.joined(runner):
        await runner.turn("hello")
        done = {
            command: await run(stage, "manager", command, options)
            for command, options in MANAGERS_ONLY.items()
        }
    assert {command: message.content for command, message in done.items()} == {
        "restart": "The-manager restarted the session; it remembers the conversation.",
        "clear": "The-manager cleared the session; the next message begins an empty one.",
        "sleep": "The-manager lets the agent sleep; the next message wakes it.",
        "model": "The-manager changed the model to opus, from the next turn on.",
        "mode": "The-manager changed the mode to plan, from the next turn on.",
    }
    assert not any(message.is_ephemeral for message in done.values())
    assert [actor.display_name for actor in stage.operations.slept] == ["The-manager"]


@pytest.mark.parametrize("acts", [True, False])
async def test_a_command_whose_three_seconds_were_missed_is_not_carried_out(
    acts: bool, stage: Stage
) -> None:
    manager, route = stage.people["manager"], "POST /interactions/{interaction_id}/{token}/callback"
    stage.discord.faults.on(route, Reset(acts=acts))
    answer = await manager.command(stage.channel, "new")
    if acts:  # it stands in the channel that somebody waits for an answer
        assert "please try again" in (await said(stage, answer)).content
    else:
        assert answer.is_failed
    assert (await run(stage, "manager", "new")).content.startswith("Here it is")
    assert len([each for each in stage.guild.channels.values() if each.thread is not None]) == 1


async def test_a_refusal_is_a_sentence(stage: Stage, runner: LiveRunner) -> None:
    stage.operations.refusal = Refusal(Status.FAILED_PRECONDITION, "BUSY", "A turn is open.")
    async with stage.bridge.joined(runner):
        assert (await run(stage, "manager", "sleep")).content == "A turn is open."
        model = await run(stage, "manager", "model", {"model": "no model; at all"})
        assert "no conversation" in model.content.casefold()


async def test_new_and_fork_open_threads_with_sessions_of_their_own(
    stage: Stage, runner: LiveRunner
) -> None:
    async with stage.bridge.joined(runner):
        early = await run(stage, "asker", "fork")
        assert early.content.startswith("Nothing has been asked here yet")
        await runner.turn("remember me")
        new = await run(stage, "asker", "new", {"title": "A *new* idea"})
        fork = await run(stage, "asker", "fork")
        threads = {each.name: str(each.id) for each in stage.guild.channels.values() if each.thread}
        assert new.content == f"Here it is: <#{threads['A *new* idea']}>"
        forked = threads["Session of The-asker"]
        assert fork.content == f"Here it is, with this session's memory: <#{forked}>"
        await runner.turn("%recall", conversation_id=forked)
        assert "remember me" in "".join(
            event.body.markdown for event in runner.events if isinstance(event.body, ev.TextDelta)
        )


async def test_a_diff_is_shown_to_who_asked(stage: Stage, runner: LiveRunner) -> None:
    async with stage.bridge.joined(runner):
        empty = await run(stage, "asker", "diff")
        assert empty.content.startswith("Nothing has been asked there yet")
        await runner.turn("%tool echo content >made.txt")
        message = await run(stage, "asker", "diff")
    assert message.is_ephemeral
    assert "made.txt" in message.content
    assert "+content" in message.content


async def test_options_are_completed_with_models_and_sessions(
    stage: Stage, runner: LiveRunner
) -> None:
    manager = stage.people["manager"]
    models = await manager.autocomplete(stage.channel, "model", "model", "OP")
    assert models.choices == {"opus": "opus", "opusplan": "opusplan"}
    asleep = await manager.autocomplete(stage.channel, "status", "session", "")
    assert asleep.choices == {"#payments": "main"}
    thread = manager.open_thread(stage.channel, "The red build")
    async with stage.bridge.joined(runner):
        await runner.turn("hello", conversation_id="main")
        await runner.turn("hello", conversation_id="4711")
        await runner.turn("hello", conversation_id=str(thread.id))
        found = await manager.autocomplete(stage.channel, "diff", "session", "")
        assert found.choices == {
            "#payments": "main", "4711": "4711", "The red build": str(thread.id)
        }  # fmt: skip
        red = await manager.autocomplete(thread, "diff", "session", "RED")
        assert red.choices == {"The red build": str(thread.id)}
    nobody = await stage.people["passer_by"].autocomplete(stage.channel, "diff", "session", "")
    assert nobody.choices == {}


@pytest.mark.parametrize(
    ("who", "text", "answer"),
    [
        ("asker", "/status", "**payments** is asleep; the next message wakes it"),
        ("asker", "/cancel", "Nothing is running."),
        ("asker", "/restart", "You may not do that"),
        ("manager", "/restart", "The agent is asleep; it starts with the next message."),
        ("asker", "/help", "Write here to ask the agent."),
        ("asker", "/list-repos", "Repositories:\n- payments"),
        ("asker", "/clone x", "Repos are named in the configuration file"),
        ("passer_by", "/list-repos", "You may not ask here"),
    ],
)
async def test_commands_as_text_are_answered_where_they_were_written(
    who: str, text: str, answer: str, stage: Stage
) -> None:
    message = await stage.spoken(stage.people[who], text)
    stage.slash.text_command(message, stage.served)
    stage.slash.text_command(message, stage.served)  # as a RESUME may tell it twice
    reply = await stage.discord.until_seen(stage.channel, lambda each: each.reply_to is not None)
    assert reply.content.startswith(answer)
    assert reply.reply_to == int(message.message_id)
