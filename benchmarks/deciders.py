"""Who decides whether a message may come: the gateway's ledgers, throttled-py and limits.

All are asked for the same: somebody's own bucket, somebody's window, a channel's bucket. The
libraries do less. They remember no message, so that one that comes twice counts twice. They know
one limit at a time: of several, those before the one that refuses are used all the same. And limits
has no bucket; a window of as many in the time that fills one takes its place.
"""

from __future__ import annotations

import itertools
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from limits import RateLimitItem, RateLimitItemPerHour, RateLimitItemPerSecond
from limits.aio.storage import Storage
from limits.aio.strategies import MovingWindowRateLimiter
from throttled import RateLimiterType
from throttled.asyncio import BaseStore, Throttled, rate_limiter
from throttled.asyncio.rate_limiter import Quota

from repobridge_gateway.limits.bucket import Bucket
from repobridge_gateway.limits.ledger import Charge, Ledger, Limit, Take
from repobridge_gateway.limits.window import Window

Decide = Callable[[int], Awaitable[bool]]
"""Whether a message of somebody, who is a number, may come."""
MOST_MESSAGES = 20
"""So many of one person have room in each of the limits."""
_PEOPLE_IN_A_CHANNEL = 10
_FIRST_MESSAGE = 1_123_581_321_345_589_144


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One limit, as each of the three is told of it."""

    whose: Callable[[int], str]
    ours: Limit
    algorithm: RateLimiterType
    quota: Quota
    item: RateLimitItem


def _person(number: int) -> str:
    return f"user:1123581321345589144:{number}"


def _channel(number: int) -> str:
    return f"channel:7c9e6679-7425-40de-944b-{number // _PEOPLE_IN_A_CHANNEL:012}"


BUCKET = Rule(
    whose=_person,
    ours=Bucket(per_second=1, burst=30),
    algorithm=RateLimiterType.TOKEN_BUCKET,
    quota=rate_limiter.per_sec(1, burst=30),
    item=RateLimitItemPerSecond(30, 30, namespace="bucket"),
)
WINDOW = Rule(
    whose=_person,
    ours=Window(seconds=3600, requests=60),
    algorithm=RateLimiterType.SLIDING_WINDOW,
    quota=rate_limiter.per_hour(60),
    item=RateLimitItemPerHour(60, namespace="window"),
)
CHANNEL = Rule(
    whose=_channel,
    ours=Bucket(per_second=10, burst=300),
    algorithm=RateLimiterType.TOKEN_BUCKET,
    quota=rate_limiter.per_sec(10, burst=300),
    item=RateLimitItemPerSecond(300, 30, namespace="channel"),
)
ONE, THREE = (BUCKET,), (BUCKET, WINDOW, CHANNEL)


def by_ledger(ledger: Ledger, rules: Sequence[Rule]) -> Decide:
    """The gateway's way: all limits in one step, and the message is known from then on."""
    messages = itertools.count(_FIRST_MESSAGE)

    async def decide(person: int) -> bool:
        takes = tuple(Take(subject=rule.whose(person), limit=rule.ours) for rule in rules)
        charge = Charge(guild_id="1", message_id=str(next(messages)), takes=takes)
        return (await ledger.charge(charge)).is_granted

    return decide


def by_throttled(store: BaseStore, rules: Sequence[Rule]) -> Decide:
    """That of throttled-py: one step for each limit."""
    steps = [
        (rule.whose, Throttled(using=rule.algorithm.value, quota=rule.quota, store=store))
        for rule in rules
    ]

    async def decide(person: int) -> bool:
        for whose, throttled in steps:
            if (await throttled.limit(whose(person))).limited:
                return False
        return True

    return decide


def by_limits(storage: Storage, rules: Sequence[Rule]) -> Decide:
    """That of limits, with windows that move as ours do: one step for each limit."""
    limiter = MovingWindowRateLimiter(storage)

    async def decide(person: int) -> bool:
        for rule in rules:
            if not await limiter.hit(rule.item, rule.whose(person)):
                return False
        return True

    return decide
