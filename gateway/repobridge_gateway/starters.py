"""A message as the first prompt of the thread that was opened from it.

Discord gives such a thread the id of its message. In the thread's session the message is another
one than in the channel's, where it may be waiting, running or answered: it has an id of its own,
made from the first, so that whoever makes it again makes the same.
"""

from __future__ import annotations

from dataclasses import replace

from repobridge_gateway import commands
from repobridge_gateway.chat import ChatMessage, Person, Place
from repobridge_gateway.commands import ToAgent
from repobridge_gateway.lines import one_line

STARTER_BIT = 1 << 11
"""The highest bit of an id's counter: no message of the same moment gets so far."""
_TITLE_LENGTH = 80


def starter_id(message_id: str) -> str:
    """The id of a message as the first prompt of its thread; of that id, the message's again."""
    return str(int(message_id) ^ STARTER_BIT)


def is_starter(message: ChatMessage) -> bool:
    """Whether a message is the first prompt of its thread."""
    return message.message_id == starter_id(message.place.channel_id)


def stands_at(message: ChatMessage) -> tuple[str, str]:
    """The channel in which a message stands, and its id there."""
    if is_starter(message):
        return message.place.parent_id or "", message.place.channel_id
    return message.place.channel_id, message.message_id


def make_starter(message: ChatMessage, wanted_by: Person) -> ChatMessage | None:
    """The first prompt of a message's thread; None for what is nothing to ask an agent."""
    has_text = bool(message.content.strip())
    if not (has_text or message.attachments):
        return None
    if not isinstance(commands.parse(message.content), ToAgent):
        return None
    is_own = wanted_by.user_id == message.author.user_id
    place = message.place
    return replace(
        message,
        message_id=starter_id(message.message_id),
        place=Place(
            guild_id=place.guild_id,
            channel_id=message.message_id,
            parent_id=place.channel_id,
            is_ours=True,
        ),
        author=wanted_by if is_own else message.author,
        reply_to="",
        sponsor=None if is_own else wanted_by,
    )


def title_of(message: ChatMessage, *, me: str) -> str:
    """What a message's thread is called: its first line, or who wrote it."""
    text = message.content.replace(f"<@{me}>", "").replace(f"<@!{me}>", "").strip()
    first = one_line(text.split("\n", 1)[0], longest=_TITLE_LENGTH)
    return first or one_line(f"Session of {message.author.display_name}", longest=_TITLE_LENGTH)


def quoted(message: ChatMessage, text: str) -> str:
    """The text of a message as it is asked: whose words they are, where the asker's are others."""
    if message.sponsor is None:
        return text
    return f"{one_line(message.author.display_name)} wrote:\n\n{text}"
