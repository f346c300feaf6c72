"""Whose rules hold for a bridge: its own, else its guild's, else those for all guilds.

The settings may name roles. A name is looked up once, when its guild's roles are known; until then,
and where it could deceive, the rule grants nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from repobridge.crd_access import Limits
from repobridge.telemetry import Logger
from repobridge_gateway.access import Access, Rule
from repobridge_gateway.limits.policy import Levels
from repobridge_gateway.metrics import GatewayMetrics
from repobridge_gateway.rolenames import NameRefused, role_called

_log = Logger(__name__)
RolesOf = Callable[[str], Mapping[str, str] | None]
"""The names of a guild's roles by their ids; None while nobody has told."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """What the settings say."""

    rules: tuple[Rule, ...] = ()
    """For every guild that has none of its own."""
    guilds: Mapping[str, tuple[Rule, ...]] = field(default_factory=dict)
    limits: Limits | None = None
    """How much, for every guild, field by field."""
    guild_limits: Mapping[str, Limits] = field(default_factory=dict)


NOBODY = Policy()


class Authority:
    """Knows what holds where."""

    def __init__(
        self,
        policy: Policy = NOBODY,
        *,
        roles_of: RolesOf = lambda guild_id: None,
        metrics: GatewayMetrics | None = None,
    ) -> None:
        self._policy = policy
        self._roles_of = roles_of
        self._metrics = metrics or GatewayMetrics()
        self._names: dict[tuple[str, str], str | None] = {}
        """By guild and name; None: refused."""
        self._made: dict[str, Access] = {}

    def learn_from(self, roles_of: RolesOf) -> None:
        """Says who knows the roles of guilds."""
        self._roles_of = roles_of

    def at(self, guild_id: str) -> Access:
        """What holds in a guild for bridges that have no rules of their own."""
        made = self._made.get(guild_id)
        if made is None:
            own, every = self._policy.guilds.get(guild_id, ()), self._policy.rules
            wide = self._found((*own, *every), guild_id)
            made = Access(
                rules=self._found(own or every, guild_id),
                wide=wide,
                is_pending=any(rule.role_name for rule in wide) and not self._knows(guild_id),
            )
            if not made.is_pending:
                self._made[guild_id] = made
        return made

    def obey(self, policy: Policy) -> None:
        """Has other rules hold from now on.

        A role that was found by its name keeps what it was found to be as long as the rules name
        it; names that were refused are looked up again.
        """
        guilds = tuple(self._made)
        self._policy = policy
        self._names = {
            (guild_id, name): found
            for (guild_id, name), found in self._names.items()
            if found is not None and name in _named(policy, guild_id)
        }
        self._made = {}
        for guild_id in guilds:
            self.look(guild_id)

    def look(self, guild_id: str) -> None:
        """Says that a guild's roles are known: what is wrong with names is told now."""
        self.at(guild_id)

    def of(self, own: tuple[Rule, ...]) -> BridgeAccess:
        """What holds for a bridge with these rules; none: what holds in its guild."""
        return BridgeAccess(own, self)

    def levels(self, guild_id: str, *, bridge: Limits | None) -> Levels:
        """How much everybody may in a guild, in the channel of a bridge that says this of it."""
        policy = self._policy
        guild = policy.guild_limits.get(guild_id)
        return Levels(bridge=bridge, guild=guild, every=policy.limits)

    def _knows(self, guild_id: str) -> bool:
        return self._roles_of(guild_id) is not None

    def _found(self, rules: tuple[Rule, ...], guild_id: str) -> tuple[Rule, ...]:
        return tuple(
            for_guild(
                replace(rule, role_id=role_id, role_name="")
                if rule.role_name and (role_id := self._id_of(rule.role_name, guild_id))
                else rule,
                guild_id,
            )
            for rule in rules
        )

    def _id_of(self, name: str, guild_id: str) -> str | None:
        if (guild_id, name) in self._names:
            return self._names[guild_id, name]
        roles = self._roles_of(guild_id)
        if roles is None:
            return None
        found = role_called(name, roles)
        if isinstance(found, NameRefused):
            _log.error("role grants nothing", guild=guild_id, role=name, error=found.sentence)
            self._metrics.role_refused(found.fault)
            found_id = None
        else:
            _log.info("role found", guild=guild_id, role=name, role_id=found)
            found_id = found
        self._names[guild_id, name] = found_id
        return found_id


@dataclass(frozen=True, slots=True)
class BridgeAccess:
    """What holds for one bridge, whose guild its channel tells."""

    own: tuple[Rule, ...]
    authority: Authority
    _made: dict[str, tuple[Access, Access]] = field(
        default_factory=dict, init=False, compare=False, repr=False
    )
    """By guild, what was made of which."""

    def at(self, guild_id: str) -> Access:
        """The rules as they are now."""
        around = self.authority.at(guild_id)
        if not self.own:
            return around
        before = self._made.get(guild_id)
        if before is None or before[0] is not around:
            rules = tuple(for_guild(rule, guild_id) for rule in self.own)
            before = self._made[guild_id] = around, Access(rules=rules, wide=around.wide)
        return before[1]


def _named(policy: Policy, guild_id: str) -> frozenset[str]:
    """The roles that the rules for a guild name."""
    rules = (*policy.guilds.get(guild_id, ()), *policy.rules)
    return frozenset(rule.role_name for rule in rules if rule.role_name)


def for_guild(rule: Rule, guild_id: str) -> Rule:
    """A rule as it is in a guild, where the role with the guild's own id is everybody's."""
    return replace(rule, role_id="") if guild_id and rule.role_id == guild_id else rule
