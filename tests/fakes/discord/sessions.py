"""Sessions of the websocket gateway: who gets which event, its number, and what can be replayed.

A session outlives its socket. What it missed is replayed on RESUME, as far as the buffer reaches
back and the session is not yet given up.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from tests.fakes.discord import permissions
from tests.fakes.discord.model import Event, Json
from tests.fakes.discord.world import World

GUILDS = 1 << 0
GUILD_MEMBERS = 1 << 1
GUILD_PRESENCES = 1 << 8
GUILD_MESSAGES = 1 << 9
GUILD_REACTIONS = 1 << 10
GUILD_TYPING = 1 << 11
MESSAGE_CONTENT = 1 << 15
KNOWN_INTENTS = (1 << 17) - 1 | 0b11 << 20 | 0b11 << 24

_INTENT_OF: Mapping[str, int] = {
    "GUILD_MEMBER_": GUILD_MEMBERS,
    "THREAD_MEMBERS_UPDATE": GUILDS | GUILD_MEMBERS,
    "MESSAGE_REACTION_": GUILD_REACTIONS,
    "MESSAGE_": GUILD_MESSAGES,
    "TYPING_START": GUILD_TYPING,
    "INTERACTION_CREATE": 0,
    "GUILD_": GUILDS,
    "CHANNEL_": GUILDS,
    "THREAD_": GUILDS,
}
_CONTENT: Mapping[str, object] = {"content": "", "embeds": [], "attachments": [], "components": []}
Send = Callable[[str], None]


@dataclass(frozen=True)
class Shard:
    """Which guilds a session serves."""

    number: int = 0
    count: int = 1

    def serves(self, guild_id: int) -> bool:
        """Discord's rule."""
        return (guild_id >> 22) % self.count == self.number


@dataclass(eq=False)
class Session:
    """One session of the bot; `send` is there while a socket is."""

    id: str
    intents: int
    shard: Shard
    buffer: deque[tuple[int, str]]
    sequence: int = 0
    send: Send | None = None
    resumes: int = 0
    left_at: float | None = None

    @property
    def is_connected(self) -> bool:
        """Whether a socket serves it now."""
        return self.send is not None

    def dispatch(self, name: str, data: Json) -> None:
        """Number an event, keep it for a RESUME, and send it when there is a socket."""
        self.sequence += 1
        text = json.dumps({"op": 0, "t": name, "s": self.sequence, "d": data})
        self.buffer.append((self.sequence, text))
        if self.send is not None:
            self.send(text)

    def missed_since(self, sequence: int) -> list[str] | None:
        """What to replay; None when the buffer does not reach back so far."""
        if sequence > self.sequence:
            return None
        missed = [text for number, text in self.buffer if number > sequence]
        return missed if len(missed) == self.sequence - sequence else None


class Sessions:
    """All sessions; dispatches each event to those that may see it."""

    def __init__(self, *, replay_events: int, session_seconds: float) -> None:
        self.all: dict[str, Session] = {}
        self.is_offline = False
        self._replay_events = replay_events
        self._session_seconds = session_seconds
        self._count = 0

    @property
    def connected(self) -> list[Session]:
        """Sessions with a socket."""
        return [session for session in self.all.values() if session.is_connected]

    def open(self, *, intents: int, shard: Shard) -> Session:
        """A new session."""
        self._count += 1
        name = f"{self._count:032x}"
        buffer: deque[tuple[int, str]] = deque(maxlen=self._replay_events)
        session = self.all[name] = Session(name, intents, shard, buffer)
        return session

    def find(self, session_id: object, *, now: float) -> Session | None:
        """A session that can be resumed."""
        session = self.all.get(str(session_id))
        if session is None:
            return None
        if session.left_at is not None and now - session.left_at > self._session_seconds:
            del self.all[session.id]
            return None
        return session

    def publish(self, world: World, event: Event) -> None:
        """Dispatch an event; while the gateway is offline it is lost."""
        if self.is_offline:
            return
        for session in self.all.values():
            data = seen_by(session, world, event)
            if data is not None:
                session.dispatch(event.name, data)


def seen_by(session: Session, world: World, event: Event) -> Json | None:
    """What a session gets of an event: nothing, all, or a message without its content."""
    if not session.shard.serves(event.guild_id) or not _wants(session, world, event):
        return None
    guild = world.guilds.get(event.guild_id)
    bot = None if guild is None else guild.members.get(world.bot.id)
    if bot is None:
        return event.data if event.name == "GUILD_DELETE" else None
    if event.channel is not None and not permissions.can_see(bot, event.channel):
        return None
    if event.name in ("MESSAGE_CREATE", "MESSAGE_UPDATE"):
        has_content = bool(session.intents & MESSAGE_CONTENT)
        return event.data if has_content else without_content(event.data, world.bot.id)
    if event.name == "THREAD_MEMBERS_UPDATE" and not session.intents & GUILD_MEMBERS:
        return _own_membership(event.data, world.bot.id)
    return event.data


def without_content(message: Json, bot_id: int) -> Json:
    """A message as a bot without the content intent gets it: own ones and mentions stay whole."""
    me = str(bot_id)
    if message["author"]["id"] == me or me in {user["id"] for user in message["mentions"]}:
        told = message
    else:
        told = message | dict(_CONTENT)
    answered = message.get("referenced_message")
    return told | {"referenced_message": without_content(answered, bot_id)} if answered else told


def _wants(session: Session, world: World, event: Event) -> bool:
    for prefix, intent in _INTENT_OF.items():
        if event.name.startswith(prefix):
            return intent == 0 or bool(session.intents & intent) or _is_own(world, event)
    raise AssertionError(f"no intent is known for {event.name}")


def _own_membership(data: Json, bot_id: int) -> Json | None:
    """Without the members intent a bot hears only of its own coming and going."""
    me = str(bot_id)
    added = [item for item in data.get("added_members", ()) if item["user_id"] == me]
    removed = [item for item in data.get("removed_member_ids", ()) if item == me]
    if not (added or removed):
        return None
    told = {key: data[key] for key in ("id", "guild_id", "member_count")}
    return told | ({"added_members": added} if added else {"removed_member_ids": removed})


def _is_own(world: World, event: Event) -> bool:
    """A bot hears of its own roles without the members intent."""
    if event.name != "GUILD_MEMBER_UPDATE":
        return False
    user: Json = event.data["user"]
    return bool(user["id"] == str(world.bot.id))
