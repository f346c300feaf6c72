"""Discord and a runner as plain memory: what the gateway lives between, and never crashes."""

from __future__ import annotations

from dataclasses import dataclass, field

from repobridge_gateway.chat import ChatMessage, MessageEdited, Person, Place, snowflake_at
from repobridge_gateway.outbox import Outgoing
from repobridge_gateway.steady import Steady
from tests.unit.gateway.store.chats import NOW

CONVERSATIONS = {"700": "main", "800": "thread", "900": "main"}
REMEMBERED_SECONDS = 180.0
"""How long this Discord remembers a nonce."""


class Clock:
    """True time, what the gateway's wall says, and the machine's own count."""

    def __init__(self) -> None:
        self.true = NOW
        self.skew = 0.0
        self._boots = 0
        self._booted = NOW - 1000

    def __call__(self) -> float:
        return self.true + self.skew

    def steady(self) -> Steady:
        return Steady(f"boot {self._boots}", self.true - self._booted)

    def reboot(self) -> None:
        self._boots += 1
        self._booted = self.true


@dataclass
class Post:
    """A person's message, with every text that it had."""

    message_id: str
    channel: str
    texts: list[str]
    is_deleted: bool = False


@dataclass(frozen=True)
class Own:
    """A message of ours."""

    message_id: str
    channel: str
    piece: tuple[str, int]


class Discord:
    """Channels, in which people and we write."""

    def __init__(self, clock: Clock) -> None:
        self.posts: dict[str, Post] = {}
        self.own: list[Own] = []
        self._clock = clock
        self._made = 0
        self._nonces: dict[str, tuple[float, str]] = {}

    def post(self, channel: str) -> Post:
        message_id = self._id()
        post = Post(message_id, channel, [f"{message_id} as it was"])
        self.posts[message_id] = post
        return post

    def edit(self, post: Post) -> MessageEdited:
        post.texts.append(f"{post.message_id} edited {len(post.texts)}")
        place = Place(guild_id="1", channel_id=post.channel)
        return MessageEdited(message_id=post.message_id, place=place, content=post.texts[-1])

    def history(self, channel: str, *, after: str, limit: int) -> list[ChatMessage]:
        found = [
            message_of(post)
            for post in self.posts.values()
            if post.channel == channel and int(post.message_id) > int(after) and not post.is_deleted
        ]
        return found[:limit]

    def create(self, piece: Outgoing) -> str:
        """Makes a message, or says which one the nonce has made."""
        at, message_id = self._nonces.get(piece.nonce, (float("-inf"), ""))
        if self._clock.true - at < REMEMBERED_SECONDS:
            return message_id
        message_id = self._id()
        self._nonces[piece.nonce] = (self._clock.true, message_id)
        self.own.append(Own(message_id, piece.channel_id, (piece.turn, piece.index)))
        return message_id

    def search(self, piece: Outgoing) -> str:
        named = (piece.turn, piece.index)
        return next((own.message_id for own in self.own if own.piece == named), "")

    def _id(self) -> str:
        self._made += 1
        return str(int(snowflake_at(self._clock.true)) + self._made)


def message_of(post: Post) -> ChatMessage:
    """The message as it reads now."""
    return ChatMessage(
        message_id=post.message_id,
        place=Place(guild_id="1", channel_id=post.channel),
        author=Person(user_id="5", display_name="Ada"),
        content=post.texts[-1],
    )


@dataclass
class Entry:
    """What the runner's log tells at one place."""

    pieces: tuple[Outgoing, ...] = ()
    ended: tuple[str, ...] = ()
    withdrawn: tuple[str, ...] = ()


@dataclass
class Runner:
    """A session's runner, as far as its durable side goes."""

    queued: dict[str, list[str]] = field(default_factory=dict)
    texts: dict[str, str] = field(default_factory=dict)
    executed: list[tuple[str, str]] = field(default_factory=list)
    log: list[Entry] = field(default_factory=list)
    channels: dict[str, str] = field(default_factory=dict)

    def submit(self, message: ChatMessage, conversation: str) -> bool:
        """Takes a message; whether it had it before."""
        if message.message_id in self.texts:
            return True
        self.texts[message.message_id] = message.content
        self.channels[message.message_id] = message.place.channel_id
        self.queued.setdefault(conversation, []).append(message.message_id)
        return False

    def amend(self, message_id: str, text: str) -> bool:
        """Whether it still could."""
        if not self._waits(message_id):
            return False
        self.texts[message_id] = text
        return True

    def withdraw(self, message_id: str) -> bool:
        """Whether it still could, or never had it."""
        if message_id not in self.texts:
            return True
        for queue in self.queued.values():
            if message_id in queue:
                queue.remove(message_id)
                self.log.append(Entry(withdrawn=(message_id,)))
                return True
        return any(message_id in entry.withdrawn for entry in self.log)

    def run(self, conversation: str, *, pieces: int) -> None:
        """Executes the next message and writes its answer."""
        if queue := self.queued.get(conversation):
            message_id = queue.pop(0)
            self.executed.append((message_id, self.texts[message_id]))
            turn, channel = f"turn {message_id}", self.channels[message_id]
            answer = tuple(outgoing(turn, index, channel=channel) for index in range(pieces))
            self.log.append(Entry(pieces=answer, ended=(message_id,)))

    def _waits(self, message_id: str) -> bool:
        return any(message_id in queue for queue in self.queued.values())


def outgoing(turn: str, index: int = 0, *, channel: str) -> Outgoing:
    """A rendered piece."""
    return Outgoing(
        turn=turn, index=index, nonce=f"{turn}/{index}", channel_id=channel, payload="{}"
    )
