"""What the ids that a person chose stand for, as interactions tell it."""

from __future__ import annotations

from collections.abc import Sequence

from tests.fakes.discord.forms import Forbidden
from tests.fakes.discord.model import Json, Member
from tests.fakes.discord.payloads import channel_json, member_json, role_json, user_json
from tests.fakes.discord.permissions import in_channel


def resolved(chooser: Member, values: Sequence[str]) -> Json:
    """What ids stand for that someone chose."""
    guild = chooser.guild
    found: Json = {}
    for value in values:
        snowflake = int(value)
        if (member := guild.members.get(snowflake)) is not None:
            found.setdefault("users", {})[value] = user_json(member.user)
            told = member_json(member, with_user=False)
            found.setdefault("members", {})[value] = told
        elif (role := guild.roles.get(snowflake)) is not None:
            found.setdefault("roles", {})[value] = role_json(role)
        elif (channel := guild.channels.get(snowflake)) is not None:
            given = str(int(in_channel(chooser, channel)))
            told = channel_json(channel) | {"permissions": given}
            found.setdefault("channels", {})[value] = told
        else:
            raise Forbidden(f"there is no {value}")
    return found
