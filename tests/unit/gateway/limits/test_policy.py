"""Which limits hold for whom, as a bridge, its guild, the settings and somebody's roles say."""

from __future__ import annotations

import pytest

from repobridge.crd_access import Bucket as BucketSpec
from repobridge.crd_access import Budget as BudgetSpec
from repobridge.crd_access import BudgetScope, Limits, Rate
from repobridge.crd_access import Window as WindowSpec
from repobridge_gateway.limits.bucket import Bucket
from repobridge_gateway.limits.budget import Budget
from repobridge_gateway.limits.ledger import Held, Take
from repobridge_gateway.limits.policy import Asker, Levels, Said, budgets_for, takes_for
from repobridge_gateway.limits.window import Window

ADA, CHANNEL = "user:1:5", "channel:b"
HOUR, DAY = 3600, 24 * 3600
ASKER = Asker(guild_id="1", bridge="b", user_id="5")
TERMINAL = Asker(guild_id="", bridge="b")


def user(per_second: float, burst: int) -> Limits:
    return Limits(rate=Rate(user=BucketSpec(per_second=per_second, burst=burst)))


def channel(per_second: float, burst: int) -> Limits:
    return Limits(rate=Rate(channel=BucketSpec(per_second=per_second, burst=burst)))


def windows(*pairs: tuple[str, int]) -> Limits:
    specs = tuple(WindowSpec(per=per, requests=requests) for per, requests in pairs)
    return Limits(rate=Rate(windows=specs))


def budget(
    scope: BudgetScope, *, tokens: int | None = None, usd: float | None = None, period: str = "24h"
) -> BudgetSpec:
    return BudgetSpec(per=scope, tokens=tokens, usd=usd, period=period)


def limits(*budgets: BudgetSpec) -> Limits:
    return Limits(budgets=budgets)


def asker(*said: Said, rate: bool = False, tokens: bool = False) -> Asker:
    return Asker(
        guild_id="1",
        bridge="b",
        user_id="5",
        said=said,
        has_unlimited_rate=rate,
        has_unlimited_tokens=tokens,
    )


def role(role_id: str, limits: Limits | None = None) -> Said:
    return Said(role_id=role_id, limits=limits)


def bucket(subject: str, per_second: float, burst: int) -> Take:
    return Take(subject=subject, limit=Bucket(per_second=per_second, burst=burst))


def window(seconds: float, requests: int) -> Take:
    return Take(subject=ADA, limit=Window(seconds=seconds, requests=requests))


def held(subject: str, *, tokens: int = 0, micro_usd: int = 0, seconds: float = DAY) -> Held:
    amounts = Budget(tokens=tokens, micro_usd=micro_usd, period_seconds=seconds)
    return Held(subject=subject, budget=amounts)


USERS, CHANNELS = bucket(ADA, 0.5, 3), bucket(CHANNEL, 2, 10)
OFF = Limits(rate=Rate(enabled=False))


@pytest.mark.parametrize(
    ("who", "levels", "takes"),
    [
        pytest.param(ASKER, Levels(), [USERS, CHANNELS], id="the defaults"),
        pytest.param(TERMINAL, Levels(), [CHANNELS], id="no user, no limit of users"),
        pytest.param(asker(rate=True), Levels(), [CHANNELS], id="unlimited, but for the channel"),
        pytest.param(
            ASKER,
            Levels(bridge=user(1, 1), guild=channel(3, 3), every=user(9, 9)),
            [bucket(ADA, 1, 1), bucket(CHANNEL, 3, 3)],
            id="bridge over guild over settings, field by field",
        ),
        pytest.param(ASKER, Levels(bridge=OFF), [], id="a bridge without limits of rate"),
        pytest.param(
            ASKER,
            Levels(bridge=Limits(rate=Rate(enabled=True)), every=OFF),
            [USERS, CHANNELS],
            id="a bridge with them in a guild without",
        ),
        pytest.param(
            ASKER, Levels(bridge=user(1, 1), guild=OFF), [], id="a field more enables nothing"
        ),
        pytest.param(
            ASKER,
            Levels(guild=windows(("1m", 5), ("1h", 50))),
            [USERS, window(60, 5), window(HOUR, 50), CHANNELS],
            id="windows beside the bucket",
        ),
        pytest.param(
            ASKER,
            Levels(bridge=windows(), guild=windows(("1m", 5))),
            [USERS, CHANNELS],
            id="a bridge that takes windows away",
        ),
        pytest.param(
            ASKER,
            Levels(guild=windows(("60m", 7), ("1h", 9))),
            [USERS, window(HOUR, 7), CHANNELS],
            id="of one period the fewest",
        ),
        pytest.param(
            asker(role("8", user(0.1, 1))),
            Levels(bridge=user(5, 5)),
            [bucket(ADA, 0.1, 1), CHANNELS],
            id="a role over its bridge, though it is stricter",
        ),
        pytest.param(
            asker(role("8", user(0.1, 1)), role("9", user(0.2, 1)), role("7")),
            Levels(),
            [bucket(ADA, 0.2, 1), CHANNELS],
            id="of several roles the most generous",
        ),
        pytest.param(
            asker(role("8", user(0.1, 1)), Said(limits=user(0.3, 2))),
            Levels(),
            [bucket(ADA, 0.3, 2), CHANNELS],
            id="a rule about the person adds up with roles",
        ),
        pytest.param(
            asker(role("8", windows(("1m", 5))), role("9", windows(("1m", 50), ("1h", 400)))),
            Levels(),
            [USERS, window(60, 50), window(HOUR, 400), CHANNELS],
            id="of several lists of windows the most generous, whole",
        ),
        pytest.param(
            asker(role("8", OFF), role("9", user(0.1, 1))),
            Levels(),
            [CHANNELS],
            id="a role without limits",
        ),
        pytest.param(
            asker(role("8", channel(100, 100))),
            Levels(),
            [USERS, CHANNELS],
            id="no role widens the channel",
        ),
        pytest.param(
            asker(role("8", user(0, 1)), role("9", user(5, 5))),
            Levels(),
            [CHANNELS],
            id="a nought is no limit, and most generous",
        ),
        pytest.param(
            ASKER,
            Levels(bridge=channel(0, 1), guild=windows(("1m", 0), ("60s", 4), ("1h", 0))),
            [USERS, window(60, 4)],
            id="noughts among others",
        ),
    ],
)
def test_takes(who: Asker, levels: Levels, takes: list[Take]) -> None:
    assert list(takes_for(who, levels)) == takes


U, R, B, G = BudgetScope.USER, BudgetScope.ROLE, BudgetScope.BRIDGE, BudgetScope.GUILD
GENERAL = limits(budget(U, tokens=10), budget(B, tokens=50), budget(G, usd=2.5, period="1h"))
FOR_ALL = [held("bridge:b", tokens=50), held("guild:1", micro_usd=2_500_000, seconds=HOUR)]


@pytest.mark.parametrize(
    ("who", "levels", "budgets"),
    [
        pytest.param(ASKER, Levels(), [], id="none by default"),
        pytest.param(
            ASKER, Levels(every=GENERAL), [held(ADA, tokens=10), *FOR_ALL], id="each scope"
        ),
        pytest.param(
            Asker(guild_id="1", bridge="b"), Levels(every=GENERAL), FOR_ALL, id="a terminal"
        ),
        pytest.param(
            asker(tokens=True),
            Levels(every=GENERAL),
            FOR_ALL,
            id="unlimited, but for what is shared",
        ),
        pytest.param(
            ASKER,
            Levels(bridge=limits(budget(U, tokens=99), budget(B, tokens=77)), every=GENERAL),
            [held(ADA, tokens=99), held("bridge:b", tokens=77), FOR_ALL[1]],
            id="a bridge over the settings, scope by scope",
        ),
        pytest.param(
            ASKER,
            Levels(bridge=limits(budget(G, usd=9, period="1h")), guild=GENERAL),
            [held(ADA, tokens=10), *FOR_ALL],
            id="no bridge raises the guild's budget",
        ),
        pytest.param(
            ASKER,
            Levels(
                bridge=limits(budget(G, tokens=5, period="60m")), guild=limits(GENERAL.budgets[2])
            ),
            [held("guild:1", tokens=5, micro_usd=2_500_000, seconds=HOUR)],
            id="but it may be content with less",
        ),
        pytest.param(
            ASKER,
            Levels(guild=limits(budget(U, tokens=10), budget(U, tokens=30, period="744h"))),
            [held(ADA, tokens=10), held(ADA, tokens=30, seconds=31 * DAY)],
            id="several periods each hold",
        ),
        pytest.param(
            asker(
                role("8", limits(budget(U, usd=1))), role("9", limits(budget(U, usd=3, tokens=1)))
            ),
            Levels(every=GENERAL),
            [held(ADA, tokens=1, micro_usd=3_000_000), *FOR_ALL],
            id="of several roles the most generous, by dollars first",
        ),
        pytest.param(
            asker(role("10"), role("9")),
            Levels(every=limits(budget(R, tokens=40))),
            [held("role:1:9", tokens=40)],
            id="each role's pot: the oldest role's",
        ),
        pytest.param(
            asker(role("9"), role("10", limits(budget(R, tokens=70)))),
            Levels(every=limits(budget(R, tokens=40))),
            [held("role:1:10", tokens=70)],
            id="the fullest pot of their roles",
        ),
        pytest.param(
            asker(Said(limits=limits(budget(R, tokens=70)))),
            Levels(),
            [],
            id="a pot of no role is nobody's",
        ),
        pytest.param(
            asker(role("9", limits(budget(B, tokens=20)))),
            Levels(every=limits(budget(B, tokens=50))),
            [held("bridge:b", tokens=20)],
            id="a role that may spend of its bridge's budget only so far",
        ),
        pytest.param(
            ASKER, Levels(every=limits(budget(U, usd=1e-9))), [held(ADA, micro_usd=1)], id="tiny"
        ),
    ],
)
def test_budgets(who: Asker, levels: Levels, budgets: list[Held]) -> None:
    assert list(budgets_for(who, levels)) == budgets
