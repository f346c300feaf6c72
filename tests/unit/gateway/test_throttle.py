"""Messages are charged once, and whoever is beyond a limit is told so once."""

from __future__ import annotations

from dataclasses import replace

import pytest

from repobridge.crd_access import Bucket, Limits, Rate, Window
from repobridge.errors import Refusal, Status
from repobridge_gateway.access import Access, Permission, Rule
from repobridge_gateway.authority import Authority, Policy
from repobridge_gateway.channels import Served
from repobridge_gateway.chat import Person, Place
from repobridge_gateway.limits.ledger import Ledger
from repobridge_gateway.limits.memory import MemoryLedger
from repobridge_gateway.metrics import GatewayMetrics
from repobridge_gateway.throttle import Denied, Throttle
from repobridge_gateway.toldonce import TOLD_AGAIN_SECONDS
from tests.unit.gateway.bridges import HandBridge

PLACE = Place(guild_id="1", channel_id="100", parent_id="")
THREAD = Place(guild_id="1", channel_id="101", parent_id="100")
ELSEWHERE = Place(guild_id="2", channel_id="200", parent_id="")
EVERY = Limits(
    rate=Rate(user=Bucket(per_second=0.1, burst=2), channel=Bucket(per_second=1, burst=4))
)
GUILD = Limits(rate=Rate(user=Bucket(per_second=0.1, burst=3)))
TOO_SOON = "That came too soon after your last messages, so it was not run"
TOO_MUCH = "More is written here than is allowed at once, so that was not run"


def person(name: str, *roles: str) -> Person:
    return Person(user_id=name, display_name=name, role_ids=frozenset(roles))


ANN, BOB = person("ann"), person("bob")


class Hall:
    """A throttle with a clock, and one bridge."""

    def __init__(self, policy: Policy, *rules: Rule, limits: Limits | None = None) -> None:
        self.now = 1_000.0
        self.metrics = GatewayMetrics()
        self.ledger: Ledger | None = MemoryLedger(clock=lambda: self.now)
        self.throttle = Throttle(
            self._ledger,
            authority=Authority(policy),
            metrics=self.metrics,
            clock=lambda: self.now,
        )
        self.served = Served(
            uid="uid",
            bridge=HandBridge(wanted=lambda: None),
            channel_id="100",
            created_at=0.0,
            access=Access(rules=rules),
            limits=limits,
        )
        self._count = 0

    def _ledger(self) -> Ledger:
        if self.ledger is None:
            raise Refusal(Status.UNAVAILABLE, "DOWN", "It is down.")
        return self.ledger

    async def ask(
        self, who: Person = ANN, place: Place = PLACE, *, name: str = ""
    ) -> Denied | None:
        """One message more, or a certain one."""
        self._count += 1
        name = name or str(self._count)
        return await self.throttle.charge(name, served=self.served, person=who, place=place)

    async def fits(self, who: Person = ANN, place: Place = PLACE, *, most: int = 20) -> int:
        """How many messages are taken at once."""
        for count in range(most):
            if await self.ask(who, place) is not None:
                return count
        return most

    def limited(self, limit: str) -> float:
        name = "repobridge_gateway_messages_limited_total"
        return self.metrics.registry.get_sample_value(name, {"limit": limit}) or 0.0


async def test_beyond_a_limit_one_reads_once_when_there_is_room_again() -> None:
    hall = Hall(Policy(limits=EVERY))
    answers = [await hall.ask() for _ in range(4)]
    told = Denied(1_010.0, f"{TOO_SOON}; it can be sent again <t:1010:R>.")
    assert answers == [None, None, told, Denied(1_010.0)]
    assert hall.limited("user") == 2
    hall.now = 1_010.0
    assert [await hall.ask(), await hall.ask()] == [None, Denied(1_020.0)]
    hall.now = 1_000.0 + TOLD_AGAIN_SECONDS
    assert [await hall.fits(), await hall.ask()] == [2, Denied(hall.now + 10.0)]
    hall.now += TOLD_AGAIN_SECONDS
    assert await hall.fits() == 2
    assert (await hall.ask()) == Denied(hall.now + 10.0)


async def test_a_message_is_charged_once_and_answered_the_same_each_time() -> None:
    hall = Hall(Policy(limits=EVERY))
    assert [await hall.ask(name="a") for _ in range(5)] == [None] * 5
    assert await hall.ask(name="b") is None
    first = await hall.ask(name="c")
    assert first is not None
    assert first.sentence
    assert await hall.ask(name="c") == first
    assert [await hall.ask(name="a"), await hall.ask(name="b")] == [None, None]


async def test_a_channels_limit_holds_for_all_together_and_is_told_once() -> None:
    hall = Hall(Policy(limits=EVERY))
    assert [await hall.ask(person(name)) for name in "abcd"] == [None] * 4
    told = [await hall.ask(person("e")), await hall.ask(person("f")), await hall.ask(BOB, THREAD)]
    sentence = f"{TOO_MUCH}; it can be sent again <t:1001:R>."
    assert told == [Denied(1_001.0, sentence), Denied(1_001.0), Denied(1_001.0, sentence)]
    assert hall.limited("channel") == 3


async def test_what_a_bridge_says_goes_before_its_guild_and_that_before_all() -> None:
    policy = Policy(limits=EVERY, guild_limits={"1": GUILD})
    assert await Hall(policy).fits() == 3
    assert await Hall(policy).fits(place=ELSEWHERE) == 2
    own = Limits(rate=Rate(user=Bucket(per_second=0.1, burst=1)))
    assert await Hall(policy, limits=own).fits() == 1
    off = Limits(rate=Rate(enabled=False))
    assert await Hall(policy, limits=off).fits() == 20
    assert await Hall(Policy()).fits() == 3  # nobody says anything


async def test_roles_say_how_much_their_holders_may() -> None:
    more = Limits(rate=Rate(user=Bucket(per_second=1, burst=3)))
    hourly = Limits(
        rate=Rate(user=Bucket(per_second=0, burst=9), windows=(Window(per="1h", requests=1),))
    )
    hall = Hall(
        Policy(limits=EVERY),
        Rule(role_id="more", limits=more),
        Rule(role_id="hourly", limits=hourly),
        Rule(role_id="free", permissions=frozenset({Permission.UNLIMITED_RATE})),
    )
    assert await hall.fits(person("a", "more")) == 3
    hall.now += 60
    assert await hall.fits(person("b", "free")) == 4  # the channel's
    hall.now += 60
    assert await hall.fits(person("c", "hourly")) == 1
    assert hall.limited("window") == 1
    hall.now += 60
    assert await hall.fits(replace(person("d"), role_ids=None)) == 2  # of whom nobody knows


async def test_a_terminal_is_held_to_the_channels_limit_beside_others() -> None:
    hall = Hall(Policy(limits=EVERY))
    for name in "abc":
        await hall.throttle.charge_terminal(name, uid="uid", name="payments")
    assert await hall.ask() is None
    with pytest.raises(Refusal) as refused:
        await hall.throttle.charge_terminal("d", uid="uid", name="payments")
    assert (refused.value.status, refused.value.reason, refused.value.message) == (
        Status.RESOURCE_EXHAUSTED,
        "RATE_LIMITED",
        "More is written to payments than is allowed at once; it can be sent again in 1 s.",
    )
    await hall.throttle.charge_terminal("e", uid="other", name="other")


async def test_while_the_ledger_is_down_nothing_is_taken_and_nobody_is_told() -> None:
    hall = Hall(Policy(limits=EVERY))
    ledger, hall.ledger = hall.ledger, None
    for _ in range(5):
        with pytest.raises(Refusal, match="It is down"):
            await hall.ask(name="a")
    hall.ledger = ledger
    assert await hall.ask(name="a") is None
    assert await hall.fits() == 1
