"""Who may do what in a bridge's channel, and how much of it."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, ClassVar

from pydantic import Field

from repobridge.crd_base import (
    Duration,
    ListSet,
    Model,
    Rule,
    Snowflake,
    duration_between,
    matching,
)


class Bucket(Model):
    """A token bucket for messages."""

    per_second: Annotated[float, Field(ge=0, le=1000, allow_inf_nan=False)]
    """Messages a second over time; 0: no limit."""
    burst: Annotated[int, Field(ge=1, le=1000)]
    """How many of them at once."""


class Window(Model):
    """How many requests are answered in a period."""

    per: Annotated[Duration, duration_between("1m", "744h")]
    """The period, such as 1h."""
    requests: Annotated[int, Field(ge=0, le=1_000_000)]
    """How many; 0: no limit."""


class Rate(Model):
    """How fast messages may come; what is absent is as the gateway's settings have it."""

    enabled: bool = True
    """False: this bridge has no limits of rate."""
    user: Bucket | None = None
    """For each person."""
    channel: Bucket | None = None
    """For the channel as a whole."""
    windows: Annotated[tuple[Window, ...], Field(max_length=4)] = ()
    """Further bounds for each person over longer times."""


class BudgetScope(StrEnum):
    """Whose budget it is."""

    USER = "user"
    ROLE = "role"
    BRIDGE = "bridge"
    GUILD = "guild"


class Budget(Model):
    """How much may be spent in a period."""

    RULES: ClassVar[tuple[Rule, ...]] = (
        Rule(
            cel="has(self.tokens) || has(self.usd)",
            message="needs tokens, usd, or both",
            holds=lambda b: b.tokens is not None or b.usd is not None,
        ),
    )
    per: BudgetScope
    """Whose budget it is: each user's, each role's, the bridge's, or the guild's."""
    tokens: Annotated[int, Field(ge=1, le=1_000_000_000_000)] | None = None
    """Tokens that may be used, in and out."""
    usd: Annotated[float, Field(gt=0, le=1_000_000, allow_inf_nan=False)] | None = None
    """US dollars that may be spent."""
    period: Annotated[Duration, duration_between("1m", "8784h")] = "24h"
    """How long until the budget is whole again."""


class Limits(Model):
    """What keeps a bridge from being used up; absent: what the gateway's settings say."""

    rate: Rate | None = None
    budgets: Annotated[tuple[Budget, ...], Field(max_length=4)] = ()
    """Further bounds, each of which holds."""


class Permission(StrEnum):
    """Something that people do in a channel."""

    PROMPT = "prompt"
    APPROVE = "approve"
    MANAGE = "manage"
    MANAGE_PROMPTS = "manage_prompts"
    UNLIMITED_RATE = "unlimited_rate"
    UNLIMITED_TOKENS = "unlimited_tokens"


ModelName = Annotated[
    str,
    Field(min_length=1, max_length=64),
    matching(r"\*|[A-Za-z0-9_@][!-~]*", "must be a model's name, such as opus, or * for all"),
]


class Access(Model):
    """What the holders of a role, or one person, may do."""

    RULES: ClassVar[tuple[Rule, ...]] = (
        Rule(
            cel="has(self.roleId) != has(self.userId)",
            message="must name either a roleId or a userId; write two entries for both",
            holds=lambda a: (a.role_id is None) != (a.user_id is None),
        ),
    )
    role_id: Snowflake | None = None
    """The id of a role of the guild."""
    user_id: Snowflake | None = None
    """The id of a person."""
    permissions: Annotated[tuple[Permission, ...], Field(min_length=1, max_length=6), ListSet()] = (
        Permission.PROMPT,
    )
    """prompt: write to the agent; approve: decide what it asks; manage: restart it, stop others'
    turns, allow things for good; manage_prompts: change a chat's prompts; unlimited_rate,
    unlimited_tokens: not be held to the limits for each person."""
    models: Annotated[tuple[ModelName, ...], Field(max_length=8), ListSet()] = ()
    """Which models they may use, by the names that are given to the agent: * for all, own for the
    bridge's own, default for the agent's choice; absent: the bridge's own alone."""
    limits: Limits | None = None
