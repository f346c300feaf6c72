"""Clicks, menus, forms and commands in the imitation of Discord, and how long they last."""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import discord
import pytest
from discord import app_commands

from tests.fakes.discord import (
    GENEROUS,
    Callback,
    Channel,
    Discord,
    Forbidden,
    Message,
    MessageType,
    Permission,
    Person,
    StandingClock,
    Value,
)
from tests.fakes.discord.client import Bot, running
from tests.fakes.discord.raw import RawRest

BUTTON = {"type": 2, "style": 1, "label": "Allow once", "custom_id": "rb1:allow"}
Act = Callable[[discord.Interaction[Bot]], Awaitable[object]]


class Answering(Bot):
    """Answers each interaction with what the test says, and never by a view."""

    def __init__(self, fake: Discord) -> None:
        super().__init__(fake)
        self.act: Act | None = None
        self.tree = app_commands.CommandTree(self)

    async def on_interaction(self, interaction: discord.Interaction[Bot]) -> None:
        if self.act is not None:
            await self.act(interaction)


@pytest.fixture
def channel(fake: Discord) -> Channel:
    return fake.add_channel(fake.add_guild("acme"), "api")


@pytest.fixture
def alice(fake: Discord, channel: Channel) -> Person:
    return fake.add_person(channel.guild, "alice", fake.add_role(channel.guild, "approver"))


@pytest.fixture
def asked(fake: Discord, channel: Channel) -> Message:
    rows = [
        {"type": 1, "components": [BUTTON, BUTTON | {"custom_id": "no", "label": "Deny…"}]},
        {
            "type": 1,
            "components": [
                {
                    "type": 3,
                    "custom_id": "menu",
                    "max_values": 2,
                    "options": [{"label": name.upper(), "value": name} for name in "abc"],
                }
            ],
        },
        {"type": 1, "components": [{"type": 5, "custom_id": "who"}]},
    ]
    return fake.say_as_bot(channel, "may I?", components=rows)


@pytest.fixture
async def bot(fake: Discord, channel: Channel, alice: Person) -> AsyncIterator[Answering]:
    async with running(Answering(fake), fake) as client:
        yield client
    assert fake.failures == []


async def test_a_click_carries_who_where_and_what(
    fake: Discord, alice: Person, asked: Message, bot: Answering
) -> None:
    async def act(interaction: discord.Interaction[Bot]) -> None:
        await interaction.response.send_message("Allowed.", ephemeral=True)

    bot.act = act
    answer = await alice.click(asked, "Allow once")
    told: discord.Interaction[Bot] = bot.told("interaction")[0]
    assert isinstance(told.user, discord.Member)
    assert told.message is not None
    assert told.data is not None
    assert (told.user.id, [role.name for role in told.user.roles]) == (
        alice.id,
        ["@everyone", "approver"],
    )
    assert (told.channel_id, told.message.id) == (asked.channel.id, asked.id)
    assert told.data == {"custom_id": "rb1:allow", "component_type": 2, "id": 2}
    assert (answer.kind, answer.text, answer.is_ephemeral) == (Callback.MESSAGE, "Allowed.", True)
    assert [item.content for item in fake.seen(asked.channel, by=alice)] == ["may I?", "Allowed."]
    assert [item.content for item in fake.seen(asked.channel)] == ["may I?"]


async def test_an_update_changes_the_message_and_takes_its_buttons(
    fake: Discord, alice: Person, asked: Message, bot: Answering
) -> None:
    async def act(interaction: discord.Interaction[Bot]) -> None:
        await interaction.response.edit_message(content="allowed by alice", view=None)

    bot.act = act
    answer = await alice.click(asked, "rb1:allow")
    assert (answer.kind, answer.text) == (Callback.UPDATE, "allowed by alice")
    shown = fake.seen(asked.channel)[0]
    assert (shown.content, shown.labels) == ("allowed by alice", [])
    with pytest.raises(Forbidden):
        await alice.click(asked, "Allow once")


async def test_a_deferred_answer_is_filled_by_the_first_follow_up(
    fake: Discord, alice: Person, asked: Message, bot: Answering
) -> None:
    done = asyncio.Event()

    async def act(interaction: discord.Interaction[Bot]) -> None:
        await interaction.response.defer(thinking=True)
        await done.wait()
        await interaction.followup.send("first")
        await interaction.followup.send("second", file=discord.File(io.BytesIO(b"x"), "x.txt"))
        await interaction.edit_original_response(content="first, changed")

    bot.act = act
    answer = await alice.click(asked, "Allow once")
    assert answer.message is not None
    assert (answer.kind, answer.message.is_loading) == (Callback.DEFERRED_MESSAGE, True)
    done.set()
    await fake.until(lambda: answer.text == "first, changed")
    assert answer.message is not None
    assert not answer.message.is_loading
    assert [item.content for item in answer.follow_ups] == ["second"]
    assert [item.name for item in answer.follow_ups[0].files] == ["x.txt"]


async def test_a_deferred_update_leaves_the_message_until_it_is_edited(
    fake: Discord, alice: Person, asked: Message, bot: Answering
) -> None:
    async def act(interaction: discord.Interaction[Bot]) -> None:
        await interaction.response.defer()
        await interaction.edit_original_response(content="decided")
        await interaction.followup.send("for you", ephemeral=True)

    bot.act = act
    answer = await alice.click(asked, "Allow once")
    assert answer.kind is Callback.DEFERRED_UPDATE
    await fake.until(lambda: bool(answer.follow_ups))
    assert fake.seen(asked.channel)[0].content == "decided"
    assert answer.follow_ups[0].is_ephemeral


async def test_menus_carry_values_and_whom_they_stand_for(
    fake: Discord, alice: Person, asked: Message, bot: Answering
) -> None:
    async def act(interaction: discord.Interaction[Bot]) -> None:
        await interaction.response.defer()

    bot.act = act
    await alice.select(asked, "menu", ["a", "c"])
    await alice.select(asked, "who", [str(alice.id)])
    first, second = (item.data for item in bot.told("interaction"))
    assert first["values"] == ["a", "c"]
    assert second["resolved"]["users"][str(alice.id)]["username"] == "alice"
    for values in (["a", "b", "c"], ["d"], []):
        with pytest.raises(Forbidden):
            await alice.select(asked, "menu", values)


class Reason(discord.ui.Modal):
    """A form with each kind of field that the gateway uses."""

    def __init__(self) -> None:
        super().__init__(title="Why?", custom_id="rb1:reason", timeout=None)
        text = discord.ui.TextInput[Reason](custom_id="text", min_length=3, max_length=4000)
        self.add_item(discord.ui.Label(text="Reason", component=text))
        options = [discord.SelectOption(label=name, value=name) for name in "ab"]
        menu = discord.ui.Select[Reason](custom_id="menu", options=options, required=False)
        self.add_item(discord.ui.Label(text="Kind", component=menu))
        radios = discord.ui.RadioGroup[Reason](custom_id="radio", required=False)
        boxes = discord.ui.CheckboxGroup[Reason](custom_id="boxes", max_values=10)
        for number in range(10):
            radios.add_option(label=f"radio {number}", value=str(number))
            boxes.add_option(label=f"box {number}", value=str(number))
        self.add_item(discord.ui.Label(text="One", component=radios))
        self.add_item(discord.ui.Label(text="Some", component=boxes))
        tick = discord.ui.Checkbox[Reason](custom_id="tick")
        self.add_item(discord.ui.Label(text="Sure", component=tick))


async def test_a_form_opens_and_comes_back_filled_in(
    fake: Discord, alice: Person, asked: Message, bot: Answering
) -> None:
    async def act(interaction: discord.Interaction[Bot]) -> None:
        if interaction.type is discord.InteractionType.component:
            await interaction.response.send_modal(Reason())
        else:
            await interaction.response.edit_message(content="denied", view=None)

    bot.act = act
    opened = await alice.click(asked, "Deny…")
    assert opened.modal is not None
    assert [(item.label, item.is_required) for item in opened.modal.inputs] == [
        ("Reason", True),
        ("Kind", False),
        ("One", False),
        ("Some", True),
        ("Sure", True),
    ]
    whole: dict[str, Value] = {"text": "not now", "menu": ["b"], "boxes": ["1", "9"]}
    wrong: list[dict[str, Value]] = [
        {},
        whole | {"text": "no"},
        whole | {"menu": ["z"]},
        whole | {"boxes": []},
        whole | {"other": "x"},
    ]
    for values in wrong:
        with pytest.raises(Forbidden):
            await alice.submit(opened, values)
    answer = await alice.submit(opened, whole | {"radio": "3", "tick": True})
    assert (answer.kind, answer.text) == (Callback.UPDATE, "denied")
    data: Any = bot.told("interaction")[1].data
    parts = [row["component"] for row in data["components"]]
    assert [(item["custom_id"], item.get("value", item.get("values"))) for item in parts] == [
        ("text", "not now"),
        ("menu", ["b"]),
        ("radio", "3"),
        ("boxes", ["1", "9"]),
        ("tick", True),
    ]


async def test_commands_are_registered_run_and_completed(
    fake: Discord, channel: Channel, alice: Person, bot: Answering
) -> None:
    guild = discord.Object(channel.guild.id)

    @app_commands.describe(session="which one", fast="without asking")
    async def fork(interaction: discord.Interaction[Bot], session: str, fast: bool = False) -> None:
        await interaction.response.send_message(f"{session} {fast}")

    async def offer(
        interaction: discord.Interaction[Bot], typed: str
    ) -> list[app_commands.Choice[str]]:
        return [
            app_commands.Choice(name=f"{typed}{number}", value=str(number)) for number in range(2)
        ]

    command = app_commands.Command[Any, ..., None](
        name="fork", description="Go on apart", callback=fork
    )
    command.autocomplete("session")(offer)
    bot.tree.add_command(command, guild=guild)
    synced = await bot.tree.sync(guild=guild)
    assert [item.id for item in await bot.tree.sync(guild=guild)] == [synced[0].id]
    answer = await alice.command(channel, "fork", session="s1", fast=True)
    assert (answer.kind, answer.text) == (Callback.MESSAGE, "s1 True")
    assert fake.seen(channel)[-1].type is MessageType.CHAT_INPUT_COMMAND
    offered = await alice.autocomplete(channel, "fork", "session", "s")
    assert offered.choices == {"s0": "0", "s1": "1"}
    for name, options in (("fork", {}), ("fork", {"session": 3}), ("stop", {})):
        with pytest.raises(Forbidden):
            await alice.command(channel, name, **options)
    everyone = fake.everyone(channel.guild)
    fake.overwrite(channel, everyone, deny=Permission.USE_APPLICATION_COMMANDS)
    with pytest.raises(Forbidden):
        await alice.command(channel, "fork", session="s1")


async def test_parts_of_commands_are_reached_by_their_names(
    channel: Channel, alice: Person, bot: Answering
) -> None:
    group = app_commands.Group(name="bridge", description="The bridge")

    async def show(interaction: discord.Interaction[Bot], lines: int) -> None:
        await interaction.response.send_message(f"{lines} lines", ephemeral=True)

    group.add_command(
        app_commands.Command[Any, ..., None](name="show", description="Show", callback=show)
    )
    bot.tree.add_command(group)
    await bot.tree.sync()
    answer = await alice.command(channel, "bridge show", lines=3)
    assert (answer.text, answer.is_ephemeral) == ("3 lines", True)
    with pytest.raises(Forbidden):
        await alice.command(channel, "bridge")


async def test_a_message_has_a_menu_and_options_can_be_people(
    fake: Discord, channel: Channel, alice: Person, bot: Answering
) -> None:
    async def open_thread(interaction: discord.Interaction[Bot], message: discord.Message) -> None:
        await interaction.response.send_message(f"of {message.content!r}")

    async def give(
        interaction: discord.Interaction[Bot],
        who: discord.Member,
        where: app_commands.AppCommandChannel | None = None,
    ) -> None:
        place = None if where is None else (where.name, where.permissions.send_messages)
        await interaction.response.send_message(f"to {who.name} in {place}")

    bot.tree.add_command(app_commands.ContextMenu(name="Open a thread", callback=open_thread))
    bot.tree.add_command(
        app_commands.Command[Any, ..., None](name="give", description="Give", callback=give)
    )
    await bot.tree.sync()
    answer = await alice.use(alice.say(channel, "hello"), "Open a thread")
    assert answer.text == "of 'hello'"
    owner = fake.owner_of(channel.guild)
    given = await alice.command(channel, "give", who=owner, where=channel)
    assert given.text == "to owner-of-acme in ('api', True)"
    with pytest.raises(Forbidden):
        await alice.command(channel, "give", who=1)


async def test_three_seconds_to_answer_and_fifteen_minutes_to_go_on() -> None:
    clock = StandingClock()
    async with Discord(clock=clock, limits=GENEROUS) as fake:
        channel = fake.add_channel(fake.add_guild("acme"), "api")
        alice = fake.add_person(channel.guild, "alice")
        row = {"type": 1, "components": [BUTTON]}
        asked = fake.say_as_bot(channel, "may I?", components=[row])
        async with running(Answering(fake), fake) as bot:
            click = asyncio.create_task(alice.click(asked, "Allow once"))
            late = (await fake.until(lambda: bot.told("interaction")))[0]
            clock.advance(3.1)
            assert (await click).is_failed
            with pytest.raises(discord.NotFound) as refused:
                await late.response.send_message("late")
            assert refused.value.code == 10062

            async def act(interaction: discord.Interaction[Bot]) -> None:
                await interaction.response.send_message("in time")

            bot.act = act
            answer = await alice.click(asked, "Allow once")
            kept = bot.told("interaction")[-1]
            clock.advance(14 * 60)
            await kept.edit_original_response(content="changed")
            clock.advance(2 * 60)
            with pytest.raises(discord.HTTPException) as over:
                await kept.edit_original_response(content="too late")
            assert (over.value.status, over.value.code) == (401, 50027)
            assert answer.text == "changed"


async def test_nobody_there_makes_an_interaction_fail() -> None:
    clock = StandingClock()
    async with Discord(clock=clock) as fake:
        channel = fake.add_channel(fake.add_guild("acme"), "api")
        alice = fake.add_person(channel.guild, "alice")
        asked = fake.say_as_bot(channel, "?", components=[{"type": 1, "components": [BUTTON]}])
        click = asyncio.create_task(alice.click(asked, "Allow once"))
        await asyncio.sleep(0)
        clock.advance(4)
        assert (await click).is_failed


async def test_a_first_answer_is_taken_once_and_must_fit(
    fake: Discord, alice: Person, asked: Message, bot: Answering, rest: RawRest
) -> None:
    codes: list[object] = []

    async def act(interaction: discord.Interaction[Bot]) -> None:
        path = f"/interactions/{interaction.id}/{interaction.token}/callback"
        token = f"/webhooks/{interaction.application_id}/{interaction.token}"
        codes.append((await rest("POST", token, {"content": "early"})).code)
        wrong = await rest("POST", path, {"type": 8, "data": {"choices": []}})
        codes.append(wrong.errors_at("type"))
        modal = {"type": 9, "data": {"title": "x", "custom_id": "y", "components": [{}] * 6}}
        codes.append((await rest("POST", path, modal)).errors_at("data.components"))
        long = await rest("POST", path, {"type": 4, "data": {"content": "x" * 2001}})
        codes.append(long.errors_at("data.content"))
        empty = await rest("POST", path, {"type": 4, "data": {}})
        codes.append(empty.code)
        codes.append((await rest("POST", path, {"type": 6})).status)
        codes.append((await rest("POST", path, {"type": 6})).code)
        codes.append((await rest("POST", f"{token[:-3]}xyz", {"content": "x"})).code)
        codes.append((await rest("GET", f"{token}/messages/@original")).body["id"])
        interaction.client.dispatch("acted")

    bot.act = act
    await alice.click(asked, "Allow once")
    await fake.until(lambda: bool(bot.told("acted")))
    assert codes == [
        10015,
        ["BASE_TYPE_CHOICES"],
        ["BASE_TYPE_BAD_LENGTH"],
        ["BASE_TYPE_MAX_LENGTH"],
        50006,
        204,
        40060,
        10015,
        str(asked.id),
    ]


async def test_an_answer_deleted_alone_or_with_its_channel_takes_no_more_text(
    fake: Discord, alice: Person, asked: Message, bot: Answering
) -> None:
    codes: list[int] = []
    deleted = asyncio.Event()

    async def act(interaction: discord.Interaction[Bot]) -> None:
        await interaction.response.defer(thinking=True)
        await deleted.wait()
        for send in (interaction.followup.send("late"), interaction.original_response()):
            with pytest.raises(discord.NotFound) as refused:
                await send
            codes.append(refused.value.code)
        interaction.client.dispatch("acted")

    bot.act = act
    answer = await alice.click(asked, "Allow once")
    assert answer.message is not None
    fake.owner_of(asked.channel.guild).delete(answer.message)
    deleted.set()
    await fake.until(lambda: len(bot.told("acted")) == 1)
    deleted.clear()
    await alice.click(asked, "Allow once")
    fake.delete_channel(asked.channel)
    deleted.set()
    await fake.until(lambda: len(bot.told("acted")) == 2)
    assert codes == [10008, 10008, 10003, 10003]
