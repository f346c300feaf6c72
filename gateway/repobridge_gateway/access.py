"""Who may do what in a bridge's channel: by role id and user id, decided at each act."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from repobridge_gateway.chat import Person

FRESH_SECONDS = 60.0
"""How old what is known of somebody's roles may be when something is done in their name."""
_REMEMBERED = 10_000


class Permission(Enum):
    """What somebody may do; the values are those of `spec.access`."""

    PROMPT = "prompt"
    APPROVE = "approve"
    MANAGE = "manage"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """What a role, or one person, may do."""

    role_id: str = ""
    user_id: str = ""
    permissions: frozenset[Permission] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """The rules of one bridge; several that fit somebody add up."""

    rules: tuple[Rule, ...] = ()
    everybody: frozenset[Permission] = frozenset()
    """What whoever can write in the channel may do."""

    def may(self, person: Person, permission: Permission) -> bool:
        """Whether somebody may; of roles that nobody knows none counts."""
        if permission in self.everybody:
            return True
        roles = person.role_ids or frozenset()
        return any(
            permission in rule.permissions
            and (rule.role_id in roles if rule.role_id else rule.user_id == person.user_id)
            for rule in self.rules
        )

    @property
    def is_empty(self) -> bool:
        """Nobody may do anything."""
        return not self.rules and not self.everybody

    def role_ids_for(self, permission: Permission) -> tuple[str, ...]:
        """The roles that may, in the order of the rules."""
        fit = (rule.role_id for rule in self.rules if permission in rule.permissions)
        return tuple(dict.fromkeys(role_id for role_id in fit if role_id))


OPEN = Access(everybody=frozenset(Permission))
"""Whoever can write in the channel may do everything: a file that says nothing of access."""


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
        found = await self._source.member(guild_id, person.user_id, now=now)
        if len(self._known) >= _REMEMBERED:
            self._known.clear()
        self._known[guild_id, person.user_id] = found
        return found


def _is_fresh(person: Person, now: float) -> bool:
    return person.role_ids is not None and 0 <= now - person.as_of <= FRESH_SECONDS


def refusal_sentence(access: Access, permission: Permission) -> str:
    """What somebody reads who may not."""
    what = {
        Permission.PROMPT: "ask here",
        Permission.APPROVE: "decide that",
        Permission.MANAGE: "do that",
    }[permission]
    if access.is_empty:
        return (
            f"Nobody may {what} yet: this bridge has no access rules. Whoever runs it adds roles"
            " under `spec.access`."
        )
    roles = " ".join(f"<@&{role_id}>" for role_id in access.role_ids_for(permission))
    return f"You may not {what}; {roles} may." if roles else f"You may not {what} here."


__all__ = [
    "FRESH_SECONDS", "OPEN", "Access", "MemberSource", "Members", "Permission", "Rule",
    "refusal_sentence",
]  # fmt: skip
