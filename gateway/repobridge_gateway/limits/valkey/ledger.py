"""The ledger in Valkey, where several gateways and restarts find the same state.

Time is the gateway's: the scripts are given it, and the server's own clock only cleans up, with a
margin. A guild's keys share a hash tag, so that in a cluster whatever is noted together lies
together. A server that was emptied begins anew, and that is said.
"""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import date, timedelta
from typing import Any

from repobridge.errors import Refusal, Status
from repobridge.telemetry import Logger
from repobridge_gateway.limits.bookkeeping import day_of
from repobridge_gateway.limits.bucket import Bucket
from repobridge_gateway.limits.budget import THRESHOLDS, Amount
from repobridge_gateway.limits.instants import micros, seconds_of, slack
from repobridge_gateway.limits.ledger import (
    CHARGE_KEPT_SECONDS,
    RESERVED_SECONDS,
    TURN_KEPT_SECONDS,
    USAGE_DAYS,
    Answer,
    Charge,
    Crossing,
    Held,
    Limit,
    Reservation,
    Spending,
    Spent,
    Standing,
    UsageKey,
    UsageRow,
    Used,
)
from repobridge_gateway.limits.valkey.connection import (
    FAULTS,
    ValkeySettings,
    connect,
    translated,
)
from repobridge_gateway.limits.valkey.scripts import Scripts
from repobridge_gateway.limits.window import MOST_ENTRIES

_log = Logger(__name__)
_MARGIN_MILLISECONDS = 120_000
"""How far the clocks of gateways and server may be apart without a state being lost early."""
_TRIES = 5
_LONGEST_USAGE_DAYS = 400
"""Beyond them usage goes by itself, even where nobody trims."""


class ValkeyLedger:
    """A `Ledger`."""

    def __init__(self, settings: ValkeySettings, *, clock: Callable[[], float] = time.time) -> None:
        """Connects when it is first used."""
        self._client = connect(settings)
        self._scripts = Scripts(self._client, timeout_seconds=settings.timeout_seconds)
        self._prefix = settings.prefix
        self._clock = clock
        self._begun: set[str] = set()

    async def close(self) -> None:
        """Lets go of the connections."""
        await self._client.aclose()

    async def charge(self, charge: Charge) -> Answer:
        """Takes all that a message takes, or nothing."""
        now = self._now()
        takes = [take for take in charge.takes if not take.limit.is_unlimited]
        keys = [f"message:{charge.message_id}", *(f"limit:{take.slot}" for take in takes)]
        question = {
            "expiry": now + micros(CHARGE_KEPT_SECONDS),
            "limits": [{"slot": take.slot, **_limit(take.limit)} for take in takes],
        }
        return _answer(await self._run("charge", charge.guild_id, keys, question, now=now))

    async def reserve(self, reservation: Reservation) -> Answer:
        """Holds a part of each budget for a turn, or none."""
        now = self._now()
        budgets = _limited(reservation.budgets)
        keys = [f"reservation:{reservation.message_id}", *_account_keys(budgets)]
        question = {
            "message": reservation.message_id,
            "tokens": reservation.amount.tokens,
            "micro_usd": reservation.amount.micro_usd,
            "expiry": now + micros(RESERVED_SECONDS),
            "budgets": [_budget(held) for held in budgets],
        }
        return _answer(await self._run("reserve", reservation.guild_id, keys, question, now=now))

    async def release(self, guild_id: str, message_id: str) -> None:
        """Lets go of what is left of a reservation."""
        now = self._now()
        slots: list[str] = []
        # The script says of which accounts something is held; their keys have to be given to it.
        for _ in range(_TRIES):
            keys = [f"reservation:{message_id}", *(f"held:{slot}" for slot in slots)]
            question = {
                "message": message_id,
                "expiry": now + micros(RESERVED_SECONDS),
                "slots": slots,
            }
            (missing,) = await self._run("release", guild_id, keys, question, now=now)
            if not missing:
                return
            slots += missing
        raise _restless(message_id)

    async def spend(self, spending: Spending) -> Spent:
        """Notes what a turn has used, as far as it was not noted yet."""
        budgets = _limited(spending.budgets)
        # What is held is held of the same accounts, unless settings have changed meanwhile.
        slots = [held.slot for held in budgets] if spending.message_id else []
        for _ in range(_TRIES):
            missing, *answer = await self._spend(spending, budgets, slots)
            if not missing:
                return _spent(budgets, *answer)
            slots += missing
        raise _restless(spending.message_id)

    async def _spend(
        self, spending: Spending, budgets: Sequence[Held], slots: Sequence[str]
    ) -> Sequence[Any]:
        now = self._now()
        keys = [
            f"turn:{spending.bridge}:{spending.turn}",
            f"usage:{day_of(now).isoformat()}",
            f"reservation:{spending.message_id}",
            *(f"account:{held.slot}" for held in budgets),
            *(f"held:{slot}" for slot in slots),
        ]
        question = {
            "message": spending.message_id,
            "used": _numbers(spending.used),
            "turn_expiry": now + micros(TURN_KEPT_SECONDS),
            "expiry": now + micros(RESERVED_SECONDS),
            "usage_milliseconds": _LONGEST_USAGE_DAYS * 24 * 3600 * 1000,
            "row": json.dumps([spending.user_id, spending.bridge, spending.model]),
            "budgets": [_budget(held) for held in budgets],
            "slots": slots,
            "thresholds": THRESHOLDS,
        }
        return await self._run("spend", spending.guild_id, keys, question, now=now)

    async def standing(self, guild_id: str, budgets: Sequence[Held]) -> Sequence[Standing]:
        """How far budgets are spent, in their order."""
        question = {"budgets": [_budget(held) for held in budgets]}
        keys = _account_keys(budgets)
        (rows,) = await self._run("standing", guild_id, keys, question, now=self._now())
        return [
            Standing(
                slot=held.slot,
                spent=Amount(tokens=row[0], micro_usd=row[1]),
                reserved=Amount(tokens=row[2], micro_usd=row[3]),
                ends_at=seconds_of(row[4]),
            )
            for held, row in zip(budgets, rows, strict=True)
        ]

    async def usage(self, guild_id: str, *, since: date, until: date) -> Sequence[UsageRow]:
        """What was used in a guild from one day to another."""
        today = day_of(self._now())
        first = max(since, today - timedelta(days=_LONGEST_USAGE_DAYS))
        last = min(until, today + timedelta(days=1))  # another gateway's clock may be ahead
        days = [first + timedelta(days=more) for more in range((last - first).days + 1)]
        try:
            pipeline = self._client.pipeline(transaction=False)
            for day in days:
                pipeline.hgetall(self._key(guild_id, f"usage:{day.isoformat()}"))
            hashes = await pipeline.execute()
        except FAULTS as error:
            raise translated(error) from error
        found = (_usage_rows(day, guild_id, each) for day, each in zip(days, hashes, strict=True))
        return sorted(itertools.chain.from_iterable(found), key=lambda row: row.key)

    async def trim(self, *, usage_days: int = USAGE_DAYS) -> int:
        """Forgets usage before so many days; all else expires by itself."""
        oldest = (day_of(self._now()) - timedelta(days=usage_days)).isoformat()
        forgotten = 0
        try:
            async for key in self._client.scan_iter(match=self._key("*", "usage:*"), count=500):
                if str(key).rpartition(":")[2] < oldest:
                    forgotten += int(await self._client.delete(key))
        except FAULTS as error:
            raise translated(error) from error
        return forgotten

    def _now(self) -> int:
        return micros(self._clock())

    def _key(self, guild_id: str, rest: str) -> str:
        return f"{self._prefix}:{{guild-{guild_id}}}:{rest}"

    async def _run(
        self,
        name: str,
        guild_id: str,
        keys: Sequence[str],
        question: Mapping[str, object],
        *,
        now: int,
    ) -> Sequence[Any]:
        all_keys = [self._key(guild_id, key) for key in ("mark", *keys)]
        common = {"now": now, "mark": str(now), "margin": _MARGIN_MILLISECONDS}
        is_new, *answer = await self._scripts.run(name, all_keys, {**common, **question})
        if is_new and guild_id in self._begun:
            _log.warning("ledger was emptied, limits and budgets begin anew", guild=guild_id)
        self._begun.add(guild_id)
        return list(answer)


def _restless(message_id: str) -> Refusal:
    return Refusal(
        Status.UNAVAILABLE,
        "LEDGER_UNREACHABLE",
        f"The reservation of message {message_id} changed while it was looked at.",
    )


def _limited(budgets: Sequence[Held]) -> list[Held]:
    return [held for held in budgets if not held.budget.is_unlimited]


def _account_keys(budgets: Sequence[Held]) -> list[str]:
    return [f"{kind}:{held.slot}" for held in budgets for kind in ("account", "held")]


def _limit(limit: Limit) -> dict[str, int]:
    if isinstance(limit, Bucket):
        return {"interval": limit.interval, "filling": limit.filling}
    return {
        "length": limit.length,
        "requests": limit.requests,
        "step": limit.step,
        "slack": slack(limit.length),
        "most": MOST_ENTRIES,
    }


def _budget(held: Held) -> dict[str, object]:
    budget = held.budget
    return {
        "slot": held.slot,
        "tokens": budget.tokens,
        "micro_usd": budget.micro_usd,
        "period": budget.period,
        "slack": slack(budget.period),
    }


def _answer(answer: Sequence[Any]) -> Answer:
    is_granted, until, slot = answer
    return Answer(is_granted=bool(is_granted), until=seconds_of(until), refused_by=slot)


def _spent(budgets: Sequence[Held], added: Sequence[int], standings: Sequence[Any]) -> Spent:
    crossed: list[Crossing] = []
    exhausted: list[str] = []
    for held, (is_spent, percents) in zip(budgets, standings, strict=True):
        crossed += (Crossing(slot=held.slot, percent=percent) for percent in percents)
        if is_spent:
            exhausted.append(held.slot)
    return Spent(added=_used(added), crossed=tuple(crossed), exhausted=tuple(exhausted))


def _numbers(used: Used) -> list[int]:
    return [used.input, used.output, used.cache_read, used.cache_write, used.micro_usd]


def _used(numbers: Sequence[int]) -> Used:
    return Used(
        input=numbers[0],
        output=numbers[1],
        cache_read=numbers[2],
        cache_write=numbers[3],
        micro_usd=numbers[4],
    )


def _usage_rows(day: date, guild_id: str, fields: Mapping[str, str]) -> list[UsageRow]:
    """The rows of a day's hash: a field is a row's name and the number of its column."""
    found: dict[str, list[int]] = {}
    for field, count in fields.items():
        found.setdefault(field[:-1], [0] * 6)[int(field[-1]) - 1] = int(count)
    rows = []
    for name, (turns, *numbers) in found.items():
        user_id, bridge, model = json.loads(name)
        key = UsageKey(day=day, guild_id=guild_id, user_id=user_id, bridge=bridge, model=model)
        rows.append(UsageRow(key=key, turns=turns, used=_used(numbers)))
    return rows
