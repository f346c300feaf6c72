"""What a chat told us, as JSON that a later version of this program still reads."""

from __future__ import annotations

import json
from typing import Any

from repobridge_gateway.chat import Attachment, ChatMessage, Person, Place


def message_to_json(message: ChatMessage) -> str:
    """A message as text."""
    raw = {
        "id": message.message_id,
        "guild": message.place.guild_id,
        "channel": message.place.channel_id,
        "parent": message.place.parent_id,
        "author": _person(message.author),
        "content": message.content,
        "attachments": [
            [a.attachment_id, a.name, a.size, a.media_type, a.url] for a in message.attachments
        ],
        "reply_to": message.reply_to,
        "mentions_us": message.mentions_us,
        "sponsor": message.sponsor and _person(message.sponsor),
    }
    return json.dumps(raw)


def message_from_json(text: str) -> ChatMessage:
    """The message of `message_to_json`."""
    raw = json.loads(text)
    return ChatMessage(
        message_id=raw["id"],
        place=Place(guild_id=raw["guild"], channel_id=raw["channel"], parent_id=raw["parent"]),
        author=_person_from(raw["author"]),
        content=raw["content"],
        attachments=tuple(
            Attachment(attachment_id=each, name=name, size=size, media_type=media_type, url=url)
            for each, name, size, media_type, url in raw["attachments"]
        ),
        reply_to=raw["reply_to"],
        mentions_us=raw["mentions_us"],
        sponsor=_person_from(raw["sponsor"]) if raw.get("sponsor") else None,
    )


def person_to_json(person: Person) -> str:
    """A person as text."""
    return json.dumps(_person(person))


def person_from_json(text: str) -> Person:
    """The person of `person_to_json`."""
    return _person_from(json.loads(text))


def _person(person: Person) -> dict[str, Any]:
    roles = None if person.role_ids is None else sorted(person.role_ids)
    return {
        "id": person.user_id,
        "name": person.display_name,
        "roles": roles,
        "as_of": person.as_of,
    }


def _person_from(raw: dict[str, Any]) -> Person:
    return Person(
        user_id=raw["id"],
        display_name=raw["name"],
        role_ids=None if raw["roles"] is None else frozenset(raw["roles"]),
        as_of=raw["as_of"],
    )
