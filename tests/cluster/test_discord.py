"""Bridges on a real node as people in Discord have them: the chart's gateway, and the real CLI."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from tests.cluster.chat import Team, at_discord
from tests.cluster.people import AGENT, PATIENCE_SECONDS, WORKSPACE, Person, said
from tests.fakes.anthropic import FakeAnthropic, Gate, Text, bash

pytestmark = pytest.mark.timeout(900)  # the first build of the images takes minutes
_RUN = "python3 -c \"print('ran', file=open('ran', 'a'))\""


@pytest.fixture
async def team(person: Person) -> AsyncIterator[Team]:
    """Goes before the bridges of the person do."""
    async with at_discord(person.product) as team:
        yield team


async def test_a_message_wakes_its_bridge_and_the_channel_goes_on_after_a_sleep(
    team: Team, person: Person, model: FakeAnthropic
) -> None:
    channel = await team.serve(
        "talked", agent=AGENT, workspace=WORKSPACE, scaling={"idleTimeout": "5s"}
    )
    bob = team.discord.add_person(team.guild, "bob")
    model.script(bash("echo made | tee made"), Text("Made it.\n"))
    asked = team.ann.say(channel, "my number is 17; make a file")
    await team.discord.until(lambda: "👀" in team.discord.seen(channel)[0].reactions)

    question = await team.discord.until_seen(
        channel, lambda seen: "Allow once" in seen.labels, timeout=PATIENCE_SECONDS
    )
    refused = await bob.click(question, "Allow once")
    await team.discord.until(lambda: refused.follow_ups)
    assert [each.is_ephemeral for each in refused.follow_ups] == [True]
    await team.ann.click(question, "Allow once")
    answer = await team.answer_to(asked)
    assert (answer.content, answer.pings) == ("Made it.", ("ann",))
    assert [result.text for result in model.requests[-1].tool_results] == ["made"]
    waking = [text for text in team.written(channel) if text.startswith("⏳ Waking up")]
    assert "▸ scheduling" in waking[0]
    assert "▸ starting" in waking[-1]

    # Nobody asks anything: it goes to sleep by itself, and remembers.
    await person.until_gone("pod/rb-talked-0")
    again = team.ann.say(channel, "what was it?")
    await team.answer_to(again)
    assert said(model) == ["my number is 17; make a file", "what was it?"]
    await team.until_quiet(channel)
    assert team.replies(channel) == {asked.id: 1, again.id: 1}

    # Of the bridge, the gateway has changed nothing but the wish, which nobody owns.
    bridge = await person.get("rb", "talked", "--show-managed-fields")
    fields = bridge["metadata"]["managedFields"]
    writers = {(each["manager"], each.get("subresource")) for each in fields}
    assert writers == {("repobridge-operator", "status"), ("kubectl", None)}
    assert '"level": "ERROR"' not in await team.gateway.log()


async def test_each_message_is_answered_once_whatever_is_killed_or_goes_to_sleep(
    team: Team, person: Person, model: FakeAnthropic
) -> None:
    gates = {name: Gate() for name in ("cut", "held", "tired")}
    agent = {**AGENT, "allowedTools": ["Bash(python3:*)"]}
    for name, gate in gates.items():
        model.when(f"the {name} one", bash(_RUN), Text(["one\n", gate, "two\n"]))
    channels = {name: await team.serve(name, agent=agent, workspace=WORKSPACE) for name in gates}
    asked = {name: [team.ann.say(channels[name], f"the {name} one")] for name in gates}
    for name, gate in gates.items():
        await team.reached(gate, channels[name])

    # One comes while its bridge is on its way to sleep, one when it has arrived there.
    await person.product.scale("tired", 0)
    await person.product.until("tired", "Draining", seconds=PATIENCE_SECONDS)
    asked["tired"].append(team.ann.say(channels["tired"], "during"))
    await gates["tired"].open()
    await team.answer_to(asked["tired"][-1])
    await person.product.scale("tired", 0)
    await person.product.until("tired", "Asleep", seconds=PATIENCE_SECONDS)
    asked["tired"].append(team.ann.say(channels["tired"], "after"))

    # A pod and the gateway die in the middle of an answer.
    await team.discord.until_seen(
        channels["held"], lambda seen: seen.author == "repobridge" and "one" in seen.content
    )
    await person.kubectl("delete", "pod", "rb-cut-0", "--force", "--grace-period=0")
    await team.gateway.kill()
    await gates["cut"].open()
    await team.answer_to(asked["cut"][0])
    # What a message has the agent do is done once, also by the pod that goes on with it.
    ran = await person.kubectl("exec", "rb-cut-0", "--", "cat", "/workspace/checkout/ran")
    assert ran == "ran\n"

    # An answer comes to its end while no gateway is there.
    async with team.gateway.absent():
        await gates["held"].open()
        await _ended_its_turn(person, "held")
        asked["held"].append(team.ann.say(channels["held"], "while nobody listens"))

    for name, messages in asked.items():
        for message in messages:
            await team.answer_to(message)
        await team.until_quiet(channels[name])
        assert team.replies(channels[name]) == {message.id: 1 for message in messages}
        # Beside each answer one message showed the wake and the turn, whichever gateway it was.
        assert len(team.beside_answers(channels[name])) == len(messages)
    (first, _) = [each for each in team.discord.seen(channels["held"]) if each.reply_to]
    assert first.content == "one\ntwo"


async def _ended_its_turn(person: Person, name: str) -> None:
    async with asyncio.timeout(PATIENCE_SECONDS):
        while " Ready " not in (await person.bridge("sessions", name)).out:
            await asyncio.sleep(0.1)
