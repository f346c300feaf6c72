"""An imitation of Discord: its REST API and its websocket gateway, for bots made with discord.py.

    async with Discord(limits=GENEROUS) as fake:
        guild = fake.add_guild("acme")
        channel = fake.add_channel(guild, "api")
        alice = fake.add_person(guild, "alice")
        async with running(MyClient(intents=intents), fake):       # from .client
            question = alice.say(channel, "What does this do?")
            await fake.until(lambda: "👀" in fake.seen(channel)[0].reactions)
            answer = await alice.click(fake.seen(channel)[-1], "Allow once")
            assert answer.text == "Allowed."
            await fake.gateway.cut()                               # and it has to resume
            fake.faults.on("POST /channels/{channel_id}/messages", Reset(acts=True))
        assert fake.failures == []

It listens on loopback only and lives in the test's event loop, which has to stay free. It refuses
what Discord refuses; what it can't do it notes in `failures`. `python -m tests.fakes.discord` runs
it by itself, with a page to read and write in its channels.
"""

from tests.fakes.anthropic.gate import Gate
from tests.fakes.discord.clock import Clock, RunningClock, StandingClock
from tests.fakes.discord.control import DEFAULT_TOKEN, Discord
from tests.fakes.discord.faults import (
    ActThenHold,
    Cloudflare,
    Fault,
    Held,
    Reset,
    Status,
    TooMany,
)
from tests.fakes.discord.forms import Forbidden, Value
from tests.fakes.discord.interactions import Callback, Kind
from tests.fakes.discord.limits import GENEROUS, REALISTIC, Limit, Limits
from tests.fakes.discord.model import Channel, Guild, Message, MessageType, Role, User
from tests.fakes.discord.people import Person, Webhook
from tests.fakes.discord.permissions import EVERYTHING, PEOPLE, Permission
from tests.fakes.discord.record import Request
from tests.fakes.discord.seen import (
    Answer,
    SeenButton,
    SeenFile,
    SeenInput,
    SeenMessage,
    SeenModal,
    SeenSelect,
)

__all__ = [
    "DEFAULT_TOKEN",
    "EVERYTHING",
    "GENEROUS",
    "PEOPLE",
    "REALISTIC",
    "ActThenHold",
    "Answer",
    "Callback",
    "Channel",
    "Clock",
    "Cloudflare",
    "Discord",
    "Fault",
    "Forbidden",
    "Gate",
    "Guild",
    "Held",
    "Kind",
    "Limit",
    "Limits",
    "Message",
    "MessageType",
    "Permission",
    "Person",
    "Request",
    "Reset",
    "Role",
    "RunningClock",
    "SeenButton",
    "SeenFile",
    "SeenInput",
    "SeenMessage",
    "SeenModal",
    "SeenSelect",
    "StandingClock",
    "Status",
    "TooMany",
    "User",
    "Value",
    "Webhook",
]
