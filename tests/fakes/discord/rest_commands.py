"""REST: application commands, overwritten as a whole, globally or for a guild."""

from __future__ import annotations

import re
from typing import Any

from tests.fakes.discord.call import Call, Result, Route
from tests.fakes.discord.model import Json
from tests.fakes.discord.refusal import FormErrors, refusal

_NAME = re.compile(r"[-_'\w]{1,32}")
_SUB_COMMAND, _SUB_GROUP = 1, 2
_CHOOSABLE = (3, 4, 10)
_GLOBAL = "/applications/{application_id}/commands"
_GUILD = "/applications/{application_id}/guilds/{guild_id}/commands"


def overwrite(call: Call) -> Result:
    """Replace all commands of that scope; those with a known name keep their id."""
    scope = _scope(call)
    told = call.body
    check_commands(told)
    old = {(item["name"], item["type"]): item for item in call.interactions.commands_in(scope)}
    commands = []
    for item in told:
        before = old.get((item["name"], item.get("type", 1)))
        command_id = before["id"] if before else str(call.world.snowflakes.make())
        commands.append(_stored(call, item, command_id, scope))
    call.interactions.register(scope, commands)
    return list(commands)


def get_all(call: Call) -> Result:
    """The commands of that scope."""
    return list(call.interactions.commands_in(_scope(call)))


def get_one(call: Call) -> Result:
    """One command."""
    return _find(call)


def delete_one(call: Call) -> Result:
    """Take one command away."""
    gone = _find(call)
    scope = _scope(call)
    left = [item for item in call.interactions.commands_in(scope) if item is not gone]
    call.interactions.register(scope, left)
    return None


ROUTES = (
    Route("PUT", _GLOBAL, overwrite),
    Route("GET", _GLOBAL, get_all),
    Route("GET", f"{_GLOBAL}/{{command_id}}", get_one),
    Route("DELETE", f"{_GLOBAL}/{{command_id}}", delete_one),
    Route("PUT", _GUILD, overwrite),
    Route("GET", _GUILD, get_all),
    Route("GET", f"{_GUILD}/{{command_id}}", get_one),
    Route("DELETE", f"{_GUILD}/{{command_id}}", delete_one),
)


def check_commands(commands: Any) -> None:
    """At most 100, with names, descriptions and options within their limits."""
    errors = FormErrors()
    if not isinstance(commands, list):
        errors.add("_", "LIST_TYPE_CONVERT", "Only iterables may be used in a ListType")
        errors.raise_if_any()
    errors.check_count("commands", len(commands), most=100)
    seen: set[tuple[str, int]] = set()
    for i, command in enumerate(commands):
        name, kind = str(command.get("name") or ""), int(command.get("type") or 1)
        if kind == 1:
            _check_names(errors, str(i), command)
            _check_options(errors, f"{i}.options", command.get("options") or [])
            if _size(command) > 8000:
                message = "Command exceeds maximum size (8000)"
                errors.add(str(i), "APPLICATION_COMMAND_TOO_LARGE", message)
        else:
            errors.check_length(f"{i}.name", name, least=1, most=32)
        if (name, kind) in seen:
            message = "Application command names must be unique"
            errors.add(f"{i}.name", "APPLICATION_COMMANDS_DUPLICATE_NAME", message)
        seen.add((name, kind))
    errors.raise_if_any()


def _check_names(errors: FormErrors, where: str, item: Json) -> None:
    name = str(item.get("name") or "")
    errors.check_length(f"{where}.name", name, least=1, most=32)
    if not _NAME.fullmatch(name) or name != name.lower():
        message = "Command name is invalid"
        errors.add(f"{where}.name", "APPLICATION_COMMAND_INVALID_NAME", message)
    description = str(item.get("description") or "")
    errors.check_length(f"{where}.description", description, least=1, most=100)


def _check_options(errors: FormErrors, where: str, options: list[Json]) -> None:
    errors.check_count(where, len(options), most=25)
    seen: set[str] = set()
    had_optional = False
    for i, option in enumerate(options):
        place = f"{where}.{i}"
        _check_names(errors, place, option)
        if option.get("name") in seen:
            message = "Option name already exists in command options"
            errors.add(f"{place}.name", "APPLICATION_COMMAND_OPTIONS_NAME_ALREADY_EXISTS", message)
        seen.add(str(option.get("name")))
        if option.get("type") not in range(1, 12):
            errors.add(f"{place}.type", "BASE_TYPE_CHOICES", "Value must be one of 1 to 11.")
        if option.get("type") in (_SUB_COMMAND, _SUB_GROUP):
            _check_options(errors, f"{place}.options", option.get("options") or [])
            continue
        if option.get("required") and had_optional:
            message = "Required options must be placed before non-required options"
            errors.add(place, "APPLICATION_COMMAND_OPTIONS_REQUIRED_INVALID", message)
        had_optional |= not option.get("required")
        _check_choices(errors, place, option)


def _check_choices(errors: FormErrors, where: str, option: Json) -> None:
    choices = option.get("choices") or []
    errors.check_count(f"{where}.choices", len(choices), most=25)
    for k, choice in enumerate(choices):
        place = f"{where}.choices.{k}"
        errors.check_length(f"{place}.name", str(choice.get("name") or ""), least=1, most=100)
        errors.check_length(f"{place}.value", str(choice.get("value", "")), least=1, most=100)
    if option.get("autocomplete") and (choices or option.get("type") not in _CHOOSABLE):
        message = "Autocomplete is only for strings and numbers without choices"
        errors.add(where, "APPLICATION_COMMAND_OPTIONS_AUTOCOMPLETE_INVALID", message)


def _size(item: Json) -> int:
    own = len(str(item.get("name") or "")) + len(str(item.get("description") or ""))
    values = sum(
        len(str(choice.get("name"))) + len(str(choice.get("value")))
        for choice in item.get("choices") or ()
    )
    return own + values + sum(_size(option) for option in item.get("options") or ())


def _scope(call: Call) -> int | None:
    """The guild, or None for all."""
    if call.id_of("application_id") != call.world.application.id:
        raise refusal(10002)
    return call.guild()[0].id if "guild_id" in call.params else None


def _find(call: Call) -> Json:
    wanted = str(call.id_of("command_id"))
    for item in call.interactions.commands_in(_scope(call)):
        if item["id"] == wanted:
            return item
    raise refusal(10063)


def _stored(call: Call, told: Json, command_id: str, scope: int | None) -> Json:
    stored: Json = {
        "id": command_id,
        "application_id": str(call.world.application.id),
        "version": str(call.world.snowflakes.make()),
        "type": told.get("type", 1),
        "name": told["name"],
        "description": told.get("description", ""),
        "options": told.get("options") or [],
        "default_member_permissions": told.get("default_member_permissions"),
        "nsfw": False,
        "contexts": told.get("contexts"),
        "integration_types": told.get("integration_types") or [0],
    }
    return stored if scope is None else stored | {"guild_id": str(scope)}
