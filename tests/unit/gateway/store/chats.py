"""Messages, edits and pieces as tests of the store make them, and a store in a directory."""

from __future__ import annotations

from pathlib import Path

from repobridge_gateway.chat import ChatMessage, MessageEdited, Person, Place, snowflake_at
from repobridge_gateway.inbox import InboxState, Kept
from repobridge_gateway.outbox import Outgoing
from repobridge_gateway.store.sqlite import SqliteStore

NOW = 1_790_000_000.0
BRIDGE = "7c9e6679-7425-40de-944b-e07fc1f90ae7"
OTHER_BRIDGE = "550e8400-e29b-41d4-a716-446655440000"
CHANNEL = "700"
THREAD = "800"


class Clock:
    """A clock that stands until a test moves it."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> float:
        return self.now


def snowflake(number: int, *, at: float = NOW - 3600) -> str:
    """The number-th id of a time."""
    return str(int(snowflake_at(at)) + number)


def message(
    number: int, *, channel: str = CHANNEL, content: str = "", at: float = NOW - 3600
) -> ChatMessage:
    """The number-th message of a person."""
    return ChatMessage(
        message_id=snowflake(number, at=at),
        place=Place(guild_id="1", channel_id=channel, parent_id=None),
        author=Person(user_id="5", display_name="Ada", role_ids=frozenset({"9"}), as_of=at),
        content=content or f"message {number}",
    )


def edit(number: int, content: str, *, channel: str = CHANNEL) -> MessageEdited:
    """An edit of that message."""
    place = Place(guild_id="1", channel_id=channel)
    return MessageEdited(message_id=snowflake(number), place=place, content=content)


def kept(number: int = 1, *, state: InboxState = InboxState.READY, taken: bool = False) -> Kept:
    """That message in the inbox."""
    return Kept(
        message=message(number), bridge=BRIDGE, conversation="main", state=state, is_taken=taken
    )


def piece(
    turn: str, index: int = 0, *, channel: str = CHANNEL, files: tuple[bytes, ...] = ()
) -> Outgoing:
    """A rendered piece."""
    return Outgoing(
        turn=turn,
        index=index,
        nonce=f"{turn}/{index}",
        channel_id=channel,
        payload=f'{{"content": "{turn} {index}"}}',
        reply_to="123",
        files=files,
    )


async def open_store(directory: Path, clock: Clock | None = None) -> SqliteStore:
    """A store whose clock is the test's."""
    return await SqliteStore.open(directory, clock=clock or Clock())
