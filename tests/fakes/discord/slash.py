"""Slash commands as a person's client fills them in: looked up, checked, put into options."""

from __future__ import annotations

from collections.abc import Mapping

from tests.fakes.discord import permissions
from tests.fakes.discord.interactions import Interactions
from tests.fakes.discord.model import Json, Member, Message
from tests.fakes.discord.resolving import resolved
from tests.fakes.discord.world import World

_SUB_COMMAND, _SUB_GROUP = 1, 2
_SLASH, _ON_MESSAGE = 1, 3
_CHOSEN = (6, 7, 8)
_STRING, _INTEGER, _BOOLEAN, _NUMBER = 3, 4, 5, 10
_TYPES: Mapping[int, type] = {_STRING: str, _INTEGER: int, _BOOLEAN: bool, _NUMBER: float}


class Commands:
    """What a client knows of the bot's commands."""

    def __init__(self, world: World, interactions: Interactions) -> None:
        self._world = world
        self._interactions = interactions

    def data_of(
        self,
        member: Member,
        name: str,
        options: Mapping[str, object],
        *,
        focused: str | None = None,
    ) -> Json:
        """The data of an interaction; LookupError when the client would not offer it."""
        first, *rest = name.split(" ")
        command = self._find(member, first)
        data: Json = {"id": command["id"], "name": first, "type": _SLASH}
        if "guild_id" in command:
            data["guild_id"] = command["guild_id"]
        inner, place = command, data
        for part in rest:
            inner = _named(inner, part, (_SUB_COMMAND, _SUB_GROUP))
            step: Json = {"name": part, "type": inner["type"]}
            place["options"] = [step]
            place = step
        if any(option["type"] in (_SUB_COMMAND, _SUB_GROUP) for option in inner["options"]):
            raise LookupError(f"/{name} needs a part more")
        place["options"] = filled = _filled(inner, options, focused)
        meant = [item["value"] for item in filled if item["type"] in _CHOSEN]
        return data | ({"resolved": resolved(member, meant)} if meant else {})

    def on_message(self, member: Member, name: str, message: Message) -> Json:
        """The data of a command from a message's menu."""
        command = self._find(member, name, kind=_ON_MESSAGE)
        told = {str(message.id): self._world.json_of(message)}
        return {
            "id": command["id"],
            "name": name,
            "type": _ON_MESSAGE,
            "target_id": str(message.id),
            "resolved": {"messages": told},
        }

    def _find(self, member: Member, name: str, *, kind: int = _SLASH) -> Json:
        scopes = (member.guild.id, None)
        for command in (item for scope in scopes for item in self._interactions.commands_in(scope)):
            if command["name"] == name and command["type"] == kind:
                needed = int(command["default_member_permissions"] or 0)
                if needed & ~permissions.in_guild(member):
                    raise LookupError(f"/{name} is not for {member.user.name}")
                return command
        raise LookupError(f"there is no /{name}")


def _filled(command: Json, values: Mapping[str, object], focused: str | None) -> list[Json]:
    known = {option["name"]: option for option in command["options"]}
    if unknown := set(values) - set(known):
        raise LookupError(f"there is no option {sorted(unknown)}")
    told = []
    for name, option in known.items():
        if name in values:
            told.append(_option(option, values[name], is_focused=name == focused))
        elif option.get("required") and focused is None:
            raise LookupError(f"{name} is required")
    return told


def _option(option: Json, value: object, *, is_focused: bool) -> Json:
    told: Json = {"name": option["name"], "type": option["type"], "value": value}
    if is_focused:
        if not option.get("autocomplete"):
            raise LookupError(f"{option['name']} has no autocompletion")
        return told | {"focused": True}
    if option["type"] in _CHOSEN:
        return told | {"value": str(getattr(value, "id", value))}
    wanted = _TYPES.get(option["type"])
    if wanted is None:
        raise LookupError(f"options of type {option['type']} are not imitated")
    if not isinstance(value, wanted) or (wanted is not bool and isinstance(value, bool)):
        raise LookupError(f"{option['name']} has to be {wanted.__name__}")
    choices = [choice["value"] for choice in option.get("choices") or ()]
    if choices and value not in choices:
        raise LookupError(f"{option['name']} is one of {choices}")
    if isinstance(value, str):
        least, most = option.get("min_length") or 0, option.get("max_length") or 6000
        if not least <= len(value) <= most:
            raise LookupError(f"{option['name']} has {least} to {most} characters")
    return told


def _named(command: Json, name: str, kinds: tuple[int, ...]) -> Json:
    for option in command["options"]:
        if option["name"] == name and option["type"] in kinds:
            found: Json = option
            return found | {"options": found.get("options") or []}
    raise LookupError(f"there is no {name}")
