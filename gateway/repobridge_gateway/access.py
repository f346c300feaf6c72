"""Who may do what in a bridge's channel: by role id and user id, decided at each act."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

from repobridge.crd import Limits
from repobridge_gateway.chat import ChatError, Fault, Person
from repobridge_gateway.pacer import Overloaded

FRESH_SECONDS = 60.0
"""How old what is known of somebody's roles may be when something is done in their name."""
EVERY_MODEL = "*"
OWN_MODEL = "own"
"""The model that a bridge is set to use, whichever it is; its runner knows."""
DEFAULT_MODEL = "default"
"""What the model of an agent is called that was told of none."""
_REMEMBERED = 10_000
_MOST_NAMED = 20


class Permission(StrEnum):
    """What somebody may do; the values are those of `spec.access` and of the settings."""

    PROMPT = "prompt"
    APPROVE = "approve"
    MANAGE = "manage"
    MANAGE_PROMPTS = "manage_prompts"
    UNLIMITED_RATE = "unlimited_rate"
    UNLIMITED_TOKENS = "unlimited_tokens"
    RELOAD_CONFIG = "reload_config"
    VIEW_ALL_USAGE = "view_all_usage"


GUILD_WIDE = frozenset({Permission.RELOAD_CONFIG, Permission.VIEW_ALL_USAGE})
"""What reaches beyond one bridge, so that no bridge may grant it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """What a role, or one person, may do; where it names neither, everybody in the guild."""

    role_id: str = ""
    user_id: str = ""
    role_name: str = ""
    """Of a role whose id is still to be found: the rule fits nobody before that."""
    permissions: frozenset[Permission] = frozenset()
    models: frozenset[str] = frozenset()
    """Which models they may use; none: the bridge's own alone."""
    limits: Limits | None = None
    """How much of it, where that is said of them."""

    @property
    def is_everybodys(self) -> bool:
        """Whether it fits whoever can write in the channel."""
        return not (self.role_id or self.user_id or self.role_name)

    def fits(self, person: Person) -> bool:
        """Whether it is about somebody; of roles that nobody knows none counts."""
        if self.role_id:
            return self.role_id in (person.role_ids or ())
        return self.user_id == person.user_id if self.user_id else self.is_everybodys


@dataclass(frozen=True, slots=True)
class _Holders:
    """Who has a permission."""

    is_everybody: bool
    role_ids: frozenset[str]
    user_ids: frozenset[str]

    def include(self, person: Person) -> bool:
        if self.is_everybody or person.user_id in self.user_ids:
            return True
        return person.role_ids is not None and not self.role_ids.isdisjoint(person.role_ids)


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """The rules that hold in one bridge's channel; several that fit somebody add up."""

    rules: tuple[Rule, ...] = ()
    wide: tuple[Rule, ...] = ()
    """Of the guild and of the settings: all that counts of them is what is guild-wide."""
    is_pending: bool = False
    """Some of them name roles of a guild that has not told us its roles yet."""
    _known: dict[Permission, _Holders] = field(
        default_factory=dict, init=False, compare=False, repr=False
    )

    def at(self, guild_id: str) -> Access:
        """The same, wherever it is asked for."""
        return self

    def may(self, person: Person, permission: Permission) -> bool:
        """Whether somebody may; of roles that nobody knows none counts."""
        return self._holders(permission).include(person)

    def is_everybodys(self, permission: Permission) -> bool:
        """Whether whoever can write in the channel may."""
        return self._holders(permission).is_everybody

    @property
    def is_empty(self) -> bool:
        """Nobody may do anything."""
        return not self.rules

    @property
    def asks_for_roles(self) -> bool:
        """Whether something depends on who somebody is."""
        return not all(rule.is_everybodys for rule in self.rules)

    def role_ids_for(self, permission: Permission) -> tuple[str, ...]:
        """The roles that may, in the order of the rules."""
        fit = (rule.role_id for rule in self._giving(permission))
        return tuple(dict.fromkeys(role_id for role_id in fit if role_id))

    def of(self, person: Person) -> tuple[Rule, ...]:
        """The rules that are about somebody."""
        return tuple(rule for rule in self.rules if rule.fits(person))

    def models(self, person: Person) -> frozenset[str]:
        """The models that somebody may use; `*` stands for all, `own` for the bridge's own."""
        said = frozenset().union(*(rule.models for rule in self.of(person)))
        return said or frozenset({OWN_MODEL})

    def _giving(self, permission: Permission) -> Iterable[Rule]:
        rules = self.wide if permission in GUILD_WIDE else self.rules
        return (rule for rule in rules if permission in rule.permissions)

    def _holders(self, permission: Permission) -> _Holders:
        found = self._known.get(permission)
        if found is None:
            rules = tuple(self._giving(permission))
            found = self._known[permission] = _Holders(
                is_everybody=any(rule.is_everybodys for rule in rules),
                role_ids=frozenset(rule.role_id for rule in rules if rule.role_id),
                user_ids=frozenset(rule.user_id for rule in rules if rule.user_id),
            )
        return found


class AccessSource(Protocol):
    """Knows the rules that hold for a bridge in the guild of its channel."""

    def at(self, guild_id: str) -> Access:
        """The rules as they are now."""


OPEN = Access(
    rules=(
        Rule(
            permissions=frozenset({Permission.PROMPT, Permission.APPROVE, Permission.MANAGE}),
            models=frozenset({EVERY_MODEL}),
        ),
    )
)
"""Whoever can write in the channel may do what is done there: a file that says nothing of access.
The limits hold for everybody, and what is guild-wide is nobody's."""


class MemberSource(Protocol):
    """Where somebody's roles are learned from."""

    async def member(self, guild_id: str, user_id: str, *, now: float) -> Person:
        """Somebody as they are in a guild now; raises ChatError."""


class Members:
    """People as they are now, asked for at most once a minute."""

    def __init__(self, source: MemberSource, *, clock: Callable[[], float]) -> None:
        self._source = source
        self._clock = clock
        self._known: dict[tuple[str, str], Person] = {}

    async def fresh(self, guild_id: str, person: Person) -> Person:
        """Somebody with roles that are no older than a minute; raises ChatError."""
        now = self._clock()
        if _is_fresh(person, now):
            return person
        known = self._known.get((guild_id, person.user_id))
        if known is not None and _is_fresh(known, now):
            return known
        try:
            found = await self._source.member(guild_id, person.user_id, now=now)
        except Overloaded as error:
            raise ChatError(Fault.LIMITED, "Too many calls to Discord wait.") from error
        if len(self._known) >= _REMEMBERED:
            self._known.clear()
        self._known[guild_id, person.user_id] = found
        return found


def _is_fresh(person: Person, now: float) -> bool:
    return person.role_ids is not None and 0 <= now - person.as_of <= FRESH_SECONDS


_DEEDS: Mapping[Permission, str] = {
    Permission.PROMPT: "ask here",
    Permission.APPROVE: "decide that",
    Permission.MANAGE: "do that",
    Permission.MANAGE_PROMPTS: "change prompts here",
    Permission.RELOAD_CONFIG: "have the settings read again",
    Permission.VIEW_ALL_USAGE: "see what others used",
}


def refusal_sentence(access: Access, permission: Permission) -> str:
    """What somebody reads who may not."""
    what = _DEEDS.get(permission, "do that")
    if access.is_empty and permission not in GUILD_WIDE:
        return (
            f"Nobody may {what} yet: this bridge has no access rules. Whoever runs it adds roles"
            " under `access`."
        )
    role_ids = access.role_ids_for(permission)
    roles = " ".join(f"<@&{role_id}>" for role_id in role_ids[:_MOST_NAMED])
    if len(role_ids) > _MOST_NAMED:
        roles += f" and {len(role_ids) - _MOST_NAMED} more"
    return f"You may not {what}; {roles} may." if roles else f"You may not {what} here."


def named(models: Iterable[str], *, own: str) -> tuple[str, ...]:
    """Models by their names, where the bridge's own is `own`; empty: its agent chooses."""
    names = {(own or DEFAULT_MODEL) if each == OWN_MODEL else each for each in models}
    return tuple(sorted(names))


def model_refusal(models: Iterable[str], model: str, *, own: str) -> str:
    """What somebody reads who may use these models, and not the one that they chose; empty: may."""
    names = named(models, own=own)
    if model in names or EVERY_MODEL in names:
        return ""
    return f"You may not choose {model} here; you may use {', '.join(names)}."


__all__ = [
    "DEFAULT_MODEL", "EVERY_MODEL", "FRESH_SECONDS", "GUILD_WIDE", "OPEN", "OWN_MODEL", "Access",
    "AccessSource", "MemberSource", "Members", "Permission", "Rule", "model_refusal", "named",
    "refusal_sentence",
]  # fmt: skip
