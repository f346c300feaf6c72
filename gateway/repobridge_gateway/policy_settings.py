"""Who may do what, and how much, as the settings say it: for every guild, and for single ones.

The same fields in the gateway's settings of a cluster and in the file of `repobridge serve`; in the
form of `spec.access` and `spec.limits`, but strict about what nobody knows.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from pydantic_core import PydanticCustomError

from repobridge import crd, durations
from repobridge.crd_access import ModelName
from repobridge.crd_base import RULE_BROKEN, ListSet, Model, Rule, Snowflake
from repobridge_gateway import access
from repobridge_gateway.access import Permission
from repobridge_gateway.authority import Policy

_STRICT = ConfigDict(extra="forbid")


class BucketSettings(crd.Bucket):
    """A token bucket for messages."""

    model_config = _STRICT


class WindowSettings(crd.Window):
    """How many requests are answered in a period."""

    model_config = _STRICT


class BudgetSettings(crd.Budget):
    """How much may be spent in a period."""

    model_config = _STRICT


def _told_apart(what: str, key: Any) -> AfterValidator:
    """Refuses a list in which two entries are about the same."""

    def checked(items: tuple[Any, ...]) -> tuple[Any, ...]:
        counted = Counter(key(item) for item in items)
        for each, count in counted.items():
            if count > 1:
                places = [number for number, item in enumerate(items) if key(item) == each]
                message = f"entries {places[0]} and {places[1]} are about the same {what}"
                raise PydanticCustomError(RULE_BROKEN, "{message}", {"message": message})
        return items

    return AfterValidator(checked)


class RateSettings(crd.Rate):
    """How fast messages may come."""

    model_config = _STRICT
    user: BucketSettings | None = None
    """For each person."""
    channel: BucketSettings | None = None
    """For the channel as a whole."""
    windows: Annotated[
        tuple[WindowSettings, ...],
        Field(max_length=4),
        _told_apart("period", lambda window: durations.parse(window.per)),
    ] = ()
    """Further bounds for each person over longer times."""


class LimitsSettings(crd.Limits):
    """What keeps bridges from being used up."""

    model_config = _STRICT
    rate: RateSettings | None = None
    """How fast messages may come."""
    budgets: Annotated[
        tuple[BudgetSettings, ...],
        Field(max_length=4),
        _told_apart("budget", lambda budget: (budget.per, durations.parse(budget.period))),
    ] = ()
    """Further bounds, each of which holds."""


class AccessSettings(Model):
    """What the holders of a role, or one person, may do."""

    model_config = _STRICT
    RULES: ClassVar[tuple[Rule, ...]] = (
        Rule(
            cel="[has(self.role), has(self.roleId), has(self.userId)].filter(it, it).size() == 1",
            message="must name a role, a roleId or a userId; write one entry for each",
            holds=lambda a: [a.role, a.role_id, a.user_id].count(None) == 2,
        ),
    )
    role: Annotated[str, Field(min_length=1, max_length=100)] | None = None
    """A role by its name, which has to be the only one like it in the guild."""
    role_id: Snowflake | None = None
    """A role by its id."""
    user_id: Snowflake | None = None
    """A person by their id."""
    permissions: Annotated[
        tuple[Permission, ...], Field(min_length=1, max_length=len(Permission)), ListSet()
    ] = (Permission.PROMPT,)
    """What they may do."""
    models: Annotated[tuple[ModelName, ...], Field(max_length=8), ListSet()] = ()
    """Which models they may use, `*` for all; absent: the bridge's own alone."""
    limits: LimitsSettings | None = None
    """How much of it."""

    def rule(self) -> access.Rule:
        """The same for the decision."""
        return access.Rule(
            role_id=self.role_id or "",
            user_id=self.user_id or "",
            role_name=self.role or "",
            permissions=frozenset(self.permissions),
            models=frozenset(self.models),
            limits=self.limits,
        )


def _subject(entry: AccessSettings) -> tuple[str | None, ...]:
    return entry.role, entry.role_id, entry.user_id


AccessList = Annotated[
    tuple[AccessSettings, ...],
    Field(max_length=100),
    _told_apart("role or person", _subject),
]


class GuildSettings(Model):
    """What holds in one guild instead of what holds in all."""

    model_config = _STRICT
    access: AccessList = ()
    """Who may do what where a bridge says nothing."""
    limits: LimitsSettings | None = None
    """How much, where a bridge says nothing."""


class PolicySettings(BaseModel):
    """Who may do what, and how much, where a bridge says nothing."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    access: AccessList = ()
    """Who may do what where neither a bridge nor its guild says something; none: nobody."""
    limits: LimitsSettings = LimitsSettings()
    """How much, field by field where neither a bridge nor its guild says something."""
    guilds: Annotated[Mapping[Snowflake, GuildSettings], Field(max_length=2_500)] = Field(
        default_factory=dict
    )
    """What holds in single guilds instead, by their ids."""

    def policy(self) -> Policy:
        """The same for the decisions."""
        return Policy(
            rules=tuple(entry.rule() for entry in self.access),
            guilds={
                guild_id: tuple(entry.rule() for entry in guild.access)
                for guild_id, guild in self.guilds.items()
                if guild.access
            },
            limits=self.limits,
            guild_limits={
                guild_id: guild.limits
                for guild_id, guild in self.guilds.items()
                if guild.limits is not None
            },
        )

    @property
    def says_who_may(self) -> bool:
        """Whether anything is said of access."""
        return bool(self.access) or any(guild.access for guild in self.guilds.values())
