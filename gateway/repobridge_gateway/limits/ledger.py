"""What a ledger of limits does: it remembers what was taken, reserved and spent, each thing once.

All that one call notes is noted together or not at all, and a call that is repeated under the same
id (after a crash, a resumed connection, by a second gateway) notes nothing and answers the same.
Calls raise a Refusal whose status is UNAVAILABLE (try again), RESOURCE_EXHAUSTED or INTERNAL.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from datetime import date
from typing import Protocol

from repobridge_gateway.limits.bucket import Bucket
from repobridge_gateway.limits.budget import Amount, Budget
from repobridge_gateway.limits.window import Window

CHARGE_KEPT_SECONDS = 24 * 3600.0
"""How long a message that was charged, or refused, is known."""
RESERVED_SECONDS = 24 * 3600.0
"""How long a reservation holds that nobody releases."""
TURN_KEPT_SECONDS = 7 * 24 * 3600.0
"""How long what a turn has spent is known, from the last time that it spent."""
USAGE_DAYS = 90
"""How many days of usage are kept, unless settings say otherwise."""

Limit = Bucket | Window


@dataclass(frozen=True, slots=True, kw_only=True)
class Take:
    """One limit that a message is held against, and whose it is."""

    subject: str
    """`user:GUILD:ID`, `role:GUILD:ID`, `channel:BRIDGE UID`: ids, never names."""
    limit: Limit
    slot: str = field(init=False, repr=False, compare=False)
    """Where its state is kept: one for each length of a window."""

    def __post_init__(self) -> None:
        limit = self.limit
        kind = "bucket" if isinstance(limit, Bucket) else f"window:{limit.length}"
        object.__setattr__(self, "slot", f"{self.subject}/{kind}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Charge:
    """All that one message takes: each of it, or nothing."""

    guild_id: str
    """Empty for terminals; whatever is noted together is of one guild."""
    message_id: str
    takes: tuple[Take, ...]

    def __post_init__(self) -> None:
        _refuse_twins([take.slot for take in self.takes])


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """Whether there was room."""

    is_granted: bool
    until: float = 0.0
    """If not, from when on there is, in seconds since the epoch: the latest of what refuses."""
    refused_by: str = ""
    """If not, the slot of the limit that refuses for the longest."""


GRANTED = Answer(is_granted=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """One budget that a turn is held against, and whose it is."""

    subject: str
    """`user:GUILD:ID`, `role:GUILD:ID`, `bridge:UID` or `guild:ID`."""
    budget: Budget

    @property
    def slot(self) -> str:
        """Where its account is kept: one for each period."""
        return f"{self.subject}/budget:{self.budget.period}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reservation:
    """What a turn may need, before it runs."""

    guild_id: str
    message_id: str
    budgets: tuple[Held, ...]
    amount: Amount

    def __post_init__(self) -> None:
        _refuse_twins([held.slot for held in self.budgets])


@dataclass(frozen=True, slots=True, kw_only=True)
class Used:
    """What a model was used for."""

    input: int = 0
    output: int = 0
    cache_read: int = 0
    cache_write: int = 0
    micro_usd: int = 0

    @property
    def amount(self) -> Amount:
        """What counts for budgets: not what was read from a cache, which is nearly everything."""
        tokens = self.input + self.output + self.cache_write
        return Amount(tokens=tokens, micro_usd=self.micro_usd)

    def beyond(self, noted: Used) -> Used:
        """What is new in it; nothing of it is below nothing."""
        return Used(
            **{
                each.name: max(0, getattr(self, each.name) - getattr(noted, each.name))
                for each in fields(self)
            }
        )

    def __add__(self, other: Used) -> Used:
        return Used(
            **{
                each.name: getattr(self, each.name) + getattr(other, each.name)
                for each in fields(self)
            }
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Spending:
    """What a turn has used so far, from its beginning on, and whose it is."""

    guild_id: str
    bridge: str
    """Its UID."""
    turn: str
    user_id: str = ""
    """Whose turn it is; empty: nobody's that is known by an id."""
    model: str
    used: Used
    budgets: tuple[Held, ...] = ()
    message_id: str = ""
    """Whose reservation shrinks by it; empty: none."""

    def __post_init__(self) -> None:
        _refuse_twins([held.slot for held in self.budgets])


@dataclass(frozen=True, slots=True, kw_only=True)
class Crossing:
    """A budget of which so many percent are spent since this call."""

    slot: str
    percent: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Spent:
    """What a spending came to."""

    added: Used = Used()
    """What was not noted before."""
    crossed: tuple[Crossing, ...] = ()
    """Told once: by the call that crossed it."""
    exhausted: tuple[str, ...] = ()
    """Slots of the budgets of which nothing is left, told as long as it is so."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """How far a budget is spent now."""

    slot: str
    spent: Amount
    reserved: Amount
    ends_at: float = 0.0
    """When its period ends; 0: none has begun."""


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class UsageKey:
    """Whose usage it is, of what, and on which day by UTC."""

    day: date
    guild_id: str
    user_id: str
    bridge: str
    model: str


@dataclass(frozen=True, slots=True, kw_only=True)
class UsageRow:
    """What was used."""

    key: UsageKey
    turns: int
    used: Used


class Ledger(Protocol):
    """Remembers what was taken, reserved, spent and used."""

    async def charge(self, charge: Charge) -> Answer:
        """Takes all that a message takes, or nothing; both are remembered under its id."""

    async def reserve(self, reservation: Reservation) -> Answer:
        """Holds a part of each budget for a turn, or none; a refusal is not remembered."""

    async def spend(self, spending: Spending) -> Spent:
        """Notes what a turn has used, as far as it was not noted yet."""

    async def release(self, guild_id: str, message_id: str) -> None:
        """Lets go of what is left of a reservation: its turn is over, or never came."""

    async def standing(self, guild_id: str, budgets: Sequence[Held]) -> Sequence[Standing]:
        """How far budgets are spent, in their order."""

    async def usage(self, guild_id: str, *, since: date, until: date) -> Sequence[UsageRow]:
        """What was used in a guild from one day to another, both included, in the keys' order."""

    async def trim(self, *, usage_days: int = USAGE_DAYS) -> int:
        """Forgets what is over, and usage before so many days; how many entries that it knew of."""


def _refuse_twins(slots: Sequence[str]) -> None:
    if len(slots) > 1 and len(set(slots)) < len(slots):
        raise ValueError(f"one limit stands twice in {list(slots)}")
