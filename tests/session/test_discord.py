"""One machine in Discord: `repobridge serve`, the real CLI, and the imitation of Discord."""

from __future__ import annotations

import re
import signal
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import pytest

from tests.fakes.anthropic import FakeAnthropic, Gate, Text, bash
from tests.fakes.discord import GENEROUS, Channel, Discord, Person, SeenMessage
from tests.live_serve import LiveServe, live_serve

pytestmark = pytest.mark.timeout(300)


@dataclass
class Team:
    """A guild with a channel for the repository, and who writes there."""

    discord: Discord
    channel: Channel
    ann: Person
    directory: Path
    repository: Path
    claude: Path
    api: FakeAnthropic

    def serving(
        self, *, idle_timeout: str = "10m", arguments: tuple[str, ...] = (), access: str = "[]"
    ) -> AbstractAsyncContextManager[LiveServe]:
        return live_serve(
            self.directory,
            self.repository,
            claude=self.claude,
            api=self.api,
            idle_timeout=idle_timeout,
            repo=f'provider: discord, channel_id: "{self.channel.id}"',
            arguments=arguments,
            defaults=(
                "providers:\n  discord:\n"
                f"    bot_token: {self.discord.token}\n    api_base: {self.discord.api_base}\n"
                f"serve: {{access: {access}}}\n"
            ),
        )

    def answers(self, channel: Channel | None = None) -> list[SeenMessage]:
        """What stands there as a reply."""
        shown = self.discord.seen(channel or self.channel)
        return [each for each in shown if each.author == "repobridge" and each.reply_to]

    async def answer_to(self, message_id: int, channel: Channel | None = None) -> SeenMessage:
        """The reply to a message."""

        def find() -> SeenMessage | None:
            return next((a for a in self.answers(channel) if a.reply_to == message_id), None)

        found = await self.discord.until(find)
        assert found is not None
        return found


@pytest.fixture
async def team(
    tmp_path: Path, repository: Path, claude_path: Path, anthropic_api: FakeAnthropic
) -> AsyncIterator[Team]:
    async with Discord(limits=GENEROUS) as discord:
        guild = discord.add_guild("acme")
        channel = discord.add_channel(guild, "payments")
        ann = discord.add_person(guild, "ann")
        yield Team(discord, channel, ann, tmp_path, repository, claude_path, anthropic_api)
        assert discord.failures == []


async def test_a_message_is_seen_answered_as_a_reply_and_remembered_across_a_sleep(
    team: Team,
) -> None:
    team.api.script(lambda _: Text(["An answer\n", "of two lines.\n"]))
    async with team.serving(
        idle_timeout="1s", arguments=("--metrics-address", "127.0.0.1:0")
    ) as serve:
        await team.discord.until(lambda: team.discord.gateway.connected)
        first = team.ann.say(team.channel, "What does this do?")
        answer = await team.answer_to(first.id)
        assert answer.content == "An answer\nof two lines."
        assert answer.pings == ("ann",)
        await team.discord.until(lambda: "👀" in team.discord.seen(team.channel)[0].reactions)
        await serve.logged("stopping idle llm")

        second = team.ann.say(team.channel, "And then?")
        await team.answer_to(second.id)
        told = await metrics_of(serve)
        assert told["repobridge_gateway_kept_seconds_count"] == 2
        assert told["repobridge_gateway_handover_seconds_count"] == 2
        assert told["repobridge_gateway_first_text_seconds_count"] == 2
        assert told['repobridge_gateway_wake_seconds_count{outcome="awake"}'] == 2
        assert told['repobridge_gateway_discord_answers_total{kind="ok"}'] > 10
        asked = team.api.requests[-1]
        assert any("What does this do?" in prompt for prompt in asked.prompts)
        # Beside question and answer, one message showed each turn, and has shrunk by now.
        await team.discord.until(
            lambda: [m.content.startswith("-# ✓ Done") for m in _others(team)] == [True, True]
        )


def _asks(message: SeenMessage, what: str) -> bool:
    return "Allow once" in message.labels and what in message.content


async def metrics_of(serve: LiveServe) -> dict[str, float]:
    """What it counts, by name and labels."""
    found = re.search(r"metrics served .*port=(\d+)", await serve.logged("metrics served"))
    assert found is not None
    url = f"http://127.0.0.1:{found[1]}/metrics"
    async with aiohttp.ClientSession() as session, session.get(url) as answer:
        lines = (await answer.text()).splitlines()
    samples = (line.rpartition(" ") for line in lines if not line.startswith("#"))
    return {name: float(value) for name, _, value in samples}


def _others(team: Team) -> list[SeenMessage]:
    shown = team.discord.seen(team.channel)
    return [each for each in shown if each.author == "repobridge" and not _is_answer(each)]


def _is_answer(message: SeenMessage) -> bool:
    return not message.content.startswith("-#") and not message.content.startswith("⏳")


async def test_a_thread_is_a_session_of_its_own(team: Team) -> None:
    team.api.script(lambda _: Text("Yes.\n"))
    async with team.serving():
        await team.discord.until(lambda: team.discord.gateway.connected)
        asked = team.ann.say(team.channel, "In the channel")
        await team.answer_to(asked.id)
        thread = team.ann.open_thread(asked, "a matter of its own")
        within = team.ann.say(thread, "In the thread")
        assert (await team.answer_to(within.id, thread)).content == "Yes."
        (of_thread,) = [r for r in team.api.requests if "In the thread" in r.last_user_text]
        assert not any("In the channel" in prompt for prompt in of_thread.prompts)

        marked = team.ann.say(team.channel, "To be marked")
        await team.answer_to(marked.id)
        team.ann.react(marked, "🧵")

        def answer_in_thread() -> SeenMessage | None:
            found = (each for each in team.discord.threads(team.channel) if each.id == marked.id)
            shown = [message for each in found for message in team.discord.seen(each)]
            return next((each for each in shown if each.content == "Yes."), None)

        await team.discord.until(answer_in_thread)
        asked_there = team.api.requests[-1]
        assert "To be marked" in asked_there.last_user_text
        assert not any("In the channel" in prompt for prompt in asked_there.prompts)


async def test_what_the_agent_wants_to_do_is_decided_by_whose_role_the_file_names(
    team: Team,
) -> None:
    team.api.script(bash("touch allowed"), bash("touch denied"), Text("Then not.\n"))
    guild = team.channel.guild
    role, bob = team.discord.add_role(guild, "Developers"), team.discord.add_person(guild, "bob")
    team.discord.set_roles(team.ann, guild, [role])
    async with team.serving(access="[{role: Developers, permissions: [prompt, approve]}]"):
        await team.discord.until(lambda: team.discord.gateway.connected)
        refused = await team.answer_to(bob.say(team.channel, "Make three files, please").id)
        assert refused.content == f"You may not ask here; <@&{role.id}> may."
        asked = team.ann.say(team.channel, "Make two files, please")
        first = await team.discord.until_seen(team.channel, lambda m: _asks(m, "touch allowed"))
        no = await bob.click(first, "Allow once")
        await team.discord.until(lambda: no.follow_ups)
        assert no.follow_ups[0].content == f"You may not decide that; <@&{role.id}> may."
        await team.ann.click(first, "Allow once")
        settled = await team.discord.until_seen(
            team.channel, lambda m: m.id == first.id and not m.buttons
        )
        assert "Allowed once by Ann" in settled.content

        second = await team.discord.until_seen(team.channel, lambda m: _asks(m, "touch denied"))
        form = await team.ann.click(second, "Deny…")
        assert form.modal is not None
        (field,) = form.modal.inputs
        await team.ann.submit(form, {field.custom_id: "one is enough"})
        assert (await team.answer_to(asked.id)).content == "Then not."
        [result] = team.api.requests[-1].tool_results
        assert "one is enough" in result.text
    assert (team.repository / "allowed").exists()
    assert not (team.repository / "denied").exists()


async def test_commands_say_how_a_session_stands_and_put_it_to_sleep(team: Team) -> None:
    team.api.script(lambda _: Text("Yes.\n"))
    registered = "PUT /applications/{application_id}/guilds/{guild_id}/commands"
    async with team.serving() as serve:
        await team.discord.until(lambda: any(r.route == registered for r in team.discord.requests))
        resting = await team.ann.command(team.channel, "status")
        await team.discord.until(lambda: "asleep" in resting.text)
        assert resting.is_ephemeral
        await team.answer_to(team.ann.say(team.channel, "Are you there?").id)
        standing = await team.ann.command(team.channel, "status")
        await team.discord.until(lambda: "tokens" in standing.text)
        assert "sleeps in" in standing.text
        how = await team.ann.command(team.channel, "attach")
        await team.discord.until(lambda: "repobridge attach demo" in how.text)
        await team.ann.command(team.channel, "sleep")
        await serve.logged("stopping idle llm")
        written = team.ann.say(team.channel, "/status")
        assert "sleep" in (await team.answer_to(written.id)).content


async def test_a_serve_that_is_killed_in_mid_turn_answers_once_all_the_same(team: Team) -> None:
    gate = Gate()
    team.api.when("the long one", Text(["It takes\n", gate, "its time.\n"]))
    async with team.serving() as serve:
        await team.discord.until(lambda: team.discord.gateway.connected)
        asked = team.ann.say(team.channel, "the long one")
        await gate.reached()
        await serve.stop(signal.SIGKILL)
    meanwhile = team.ann.say(team.channel, "while nobody listens")
    await gate.open()
    async with team.serving():
        answer = await team.answer_to(asked.id)
        assert "its time." in answer.content
        await team.answer_to(meanwhile.id)
        assert len(team.answers()) == 2
