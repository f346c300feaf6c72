"""Whom a message pings: what its text names, where the sender may and `allowed_mentions` lets."""

from __future__ import annotations

import re
from dataclasses import dataclass

from tests.fakes.discord.model import Channel, Json, Message, User
from tests.fakes.discord.refusal import FormErrors

_USER = re.compile(r"<@!?(\d{15,20})>")
_ROLE = re.compile(r"<@&(\d{15,20})>")
_EVERYONE = re.compile(r"@(?:everyone|here)\b")
_KINDS = ("users", "roles", "everyone")


@dataclass(frozen=True)
class Pings:
    """Who is told of a message."""

    users: list[User]
    roles: list[int]
    everyone: bool


def check_allowed(errors: FormErrors, allowed: Json) -> None:
    """Refuse what contradicts itself: a kind in `parse` and ids of that kind."""
    for index, kind in enumerate(allowed.get("parse") or ()):
        if kind not in _KINDS:
            message = f"Value must be one of {_KINDS}."
            errors.add(f"allowed_mentions.parse.{index}", "BASE_TYPE_CHOICES", message)
        elif allowed.get(kind):
            errors.add(
                "allowed_mentions",
                "MESSAGE_ALLOWED_MENTIONS_PARSE_EXCLUSIVE",
                f"parse:[{kind!r}] and {kind}: [ids...] are mutually exclusive.",
            )
    for kind in ("users", "roles"):
        errors.check_count(f"allowed_mentions.{kind}", len(allowed.get(kind) or ()), most=100)


def pings_of(
    channel: Channel,
    text: str,
    *,
    may_ping_all: bool,
    allowed: Json | None = None,
    answered: Message | None = None,
    pings_answered: bool = True,
) -> Pings:
    """What a text pings; `allowed` None is a person's, or a bot's that gave none."""
    guild = channel.guild
    users = [
        guild.members[user_id].user
        for user_id in _ids(_USER, text)
        if user_id in guild.members and _lets(allowed, "users", user_id)
    ]
    if allowed is not None:
        pings_answered = bool(allowed.get("replied_user", False))
    if answered is not None and pings_answered and answered.author not in users:
        users.append(answered.author)
    roles = [
        role_id
        for role_id in _ids(_ROLE, text)
        if role_id in guild.roles
        and _lets(allowed, "roles", role_id)
        and (may_ping_all or guild.roles[role_id].is_mentionable)
    ]
    everyone = may_ping_all and bool(_EVERYONE.search(text))
    return Pings(users, roles, everyone and _lets(allowed, "everyone", 0))


def _lets(allowed: Json | None, kind: str, snowflake: int) -> bool:
    if allowed is None or kind in (allowed.get("parse") or ()):
        return True
    return str(snowflake) in {str(item) for item in allowed.get(kind) or ()}


def _ids(pattern: re.Pattern[str], text: str) -> list[int]:
    return list(dict.fromkeys(int(found) for found in pattern.findall(text)))
