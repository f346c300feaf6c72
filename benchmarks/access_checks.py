"""What it costs to know whether somebody may, against looking a pair up in a dictionary."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from benchmarks.benchmark import Benchmark, Setting
from benchmarks.measure import interleaved, seconds
from benchmarks.result import Comparison, Row, Unit, at_most
from repobridge_gateway import commands
from repobridge_gateway.access import Members, Permission, Rule, refusal_sentence
from repobridge_gateway.admission import admission
from repobridge_gateway.authority import Authority, Policy
from repobridge_gateway.channels import Served
from repobridge_gateway.chat import ChatError, Fault, Person
from tests.unit.gateway.bridges import HandBridge

NANOSECONDS = Unit("ns", "s", 1e9, 0)
_GUILD = "1123581321345589144"
_RULES = 20
_ROLES = 10
"""Of each person, few of which any rule names."""
_CHECKS = 10_000
"""Make one sample."""


def _rules(start: int) -> tuple[Rule, ...]:
    rights = frozenset({Permission.PROMPT, Permission.APPROVE})
    return tuple(
        Rule(role_id=str(start + number), permissions=rights, models=frozenset({"opus"}))
        for number in range(_RULES)
    )


def _person(*, first_role: int) -> Person:
    roles = frozenset(str(first_role + number) for number in range(_ROLES))
    return Person(user_id="7", display_name="ann", role_ids=roles, as_of=0.0)


class _NobodyAsked:
    """All roles that count came with their messages."""

    async def member(self, guild_id: str, user_id: str, *, now: float) -> Person:
        """Is not called."""
        raise ChatError(Fault.UNKNOWN, "Discord was asked.")


async def run(setting: Setting) -> Sequence[Row]:
    """A permission alone, a refusal with its sentence, and all that is asked of a message."""
    authority = Authority(Policy(guilds={_GUILD: _rules(1000)}))
    access = authority.of(_rules(0))
    holder, stranger = _person(first_role=_RULES - 1), _person(first_role=5000)
    key = holder.user_id, Permission.PROMPT.value
    table = {key: True}

    async def looked_up() -> None:
        for _ in range(_CHECKS):
            table.get(key)

    async def may() -> None:
        for _ in range(_CHECKS):
            access.at(_GUILD).may(holder, Permission.PROMPT)

    async def refused() -> None:
        for _ in range(_CHECKS):
            here = access.at(_GUILD)
            if not here.may(stranger, Permission.PROMPT):
                refusal_sentence(here, Permission.PROMPT)

    async def admitted() -> None:
        for _ in range(_CHECKS):
            text = commands.parse("What does this do?")
            await admission(served, holder, text, guild_id=_GUILD, members=members)

    members = Members(_NobodyAsked(), clock=lambda: 0.0)
    served = Served(
        uid="uid",
        bridge=HandBridge(wanted=lambda: None),
        channel_id="1",
        created_at=0.0,
        access=access,
    )
    acts = {
        "a permission": (may, None),
        "a refusal with its sentence": (refused, None),
        "a message: text, permission, models": (admitted, at_most(50e-6)),
    }
    return [
        Row(
            f"access: {name}",
            await interleaved(_each(act), _each(looked_up), pairs=setting.pairs),
            NANOSECONDS,
            Comparison.NONE,
            goal=goal,
            baseline_name="dict.get",
        )
        for name, (act, goal) in acts.items()
    ]


def _each(act: Callable[[], Awaitable[None]]) -> Callable[[], Awaitable[float]]:
    """The time of one of the checks that an act makes."""

    async def measured() -> float:
        return await seconds(act) / _CHECKS

    return measured


BENCHMARK = Benchmark(
    name="access",
    about="whether somebody may, with 20 rules and 10 roles, against one look into a dictionary",
    run=run,
)
