"""Who may do what: by role id and person id; several that fit add up, and unknown ones do not."""

from __future__ import annotations

import pytest

from repobridge_gateway.access import (
    EVERY_MODEL,
    OPEN,
    Access,
    Members,
    Permission,
    Rule,
    named,
    refusal_sentence,
)
from repobridge_gateway.chat import ChatError, Fault, Person
from repobridge_gateway.pacer import Overloaded

PROMPT, APPROVE, MANAGE = Permission.PROMPT, Permission.APPROVE, Permission.MANAGE
ACCESS = Access(
    rules=(
        Rule(role_id="1", permissions=frozenset({PROMPT})),
        Rule(role_id="2", permissions=frozenset({APPROVE})),
        Rule(user_id="900", permissions=frozenset({PROMPT, MANAGE})),
    )
)


def person(*roles: str, user_id: str = "7", knows: bool = True, as_of: float = 0.0) -> Person:
    role_ids = frozenset(roles) if knows else None
    return Person(user_id=user_id, display_name="ann", role_ids=role_ids, as_of=as_of)


@pytest.mark.parametrize(
    ("who", "may"),
    [
        (person(), set()),
        (person("3"), set()),
        (person("1"), {PROMPT}),
        (person("1", "2"), {PROMPT, APPROVE}),
        (person(user_id="900"), {PROMPT, MANAGE}),
        (person("2", user_id="900"), {PROMPT, APPROVE, MANAGE}),
        (person(knows=False), set()),
        (person("900"), set()),  # a role of that id is no person of that id
        (person(user_id="1"), set()),
    ],
)
def test_who_may_do_what(who: Person, may: set[Permission]) -> None:
    assert {each for each in Permission if ACCESS.may(who, each)} == may


def test_without_rules_nobody_may_and_reads_why_and_an_open_channel_is_everybodys() -> None:
    nobody = Access()
    assert not any(nobody.may(person("1"), each) for each in Permission)
    assert "this bridge has no access rules" in refusal_sentence(nobody, PROMPT)
    done_there = {PROMPT, APPROVE, MANAGE}
    assert {each for each in Permission if OPEN.may(person(knows=False), each)} == done_there
    assert OPEN.models(person(knows=False)) == {EVERY_MODEL}
    assert (OPEN.asks_for_roles, ACCESS.asks_for_roles) == (False, True)


def test_of_very_many_roles_some_are_named() -> None:
    rules = tuple(Rule(role_id=str(10**18 + n), permissions=frozenset({PROMPT})) for n in range(99))
    said = refusal_sentence(Access(rules=rules), PROMPT)
    assert said.startswith("You may not ask here; <@&1000000000000000000> <@&")
    assert (said.count("<@&"), said.endswith("> and 79 more may.")) == (20, True)


@pytest.mark.parametrize(
    ("who", "own", "models"),
    [
        (person("1"), "opus", ("opus",)),
        (person("1"), "", ("default",)),
        (person("2"), "opus", ("haiku", "sonnet")),
        (person("1", "2", "3"), "opus", ("haiku", "opus", "sonnet")),
        (person("3"), "", ("default", "opus")),
        (person(user_id="900"), "opus", ("*",)),
        (person(), "opus", ("opus",)),
    ],
)
def test_models_that_several_rules_give_add_up_and_without_any_it_is_the_bridges_own(
    who: Person, own: str, models: tuple[str, ...]
) -> None:
    access = Access(
        rules=(
            Rule(role_id="1", permissions=frozenset({PROMPT})),
            Rule(role_id="2", models=frozenset({"haiku", "sonnet"})),
            Rule(role_id="3", models=frozenset({"opus", "own"})),
            Rule(user_id="900", models=frozenset({"*"})),
        )
    )
    assert named(access.models(who), own=own) == models


def test_what_is_guild_wide_no_bridges_own_rule_gives() -> None:
    everything = Rule(role_id="1", permissions=frozenset(Permission))
    bridge = Access(rules=(everything,), wide=())
    may = {each for each in Permission if bridge.may(person("1"), each)}
    assert may == set(Permission) - {Permission.RELOAD_CONFIG, Permission.VIEW_ALL_USAGE}
    guild = Access(rules=(), wide=(everything,))
    assert {each for each in Permission if guild.may(person("1"), each)} == {
        Permission.RELOAD_CONFIG,
        Permission.VIEW_ALL_USAGE,
    }


def test_who_may_is_named_by_role() -> None:
    assert refusal_sentence(ACCESS, APPROVE) == "You may not decide that; <@&2> may."
    assert refusal_sentence(ACCESS, MANAGE) == "You may not do that here."


class Guild:
    """Where roles are learned from."""

    def __init__(self) -> None:
        self.asked = 0

    async def member(self, guild_id: str, user_id: str, *, now: float) -> Person:
        self.asked += 1
        if user_id == "gone":
            raise ChatError(Fault.GONE, "Unknown Member", code=10007)
        if user_id == "one-of-many":
            raise Overloaded
        return person("1", user_id=user_id, as_of=now)


async def test_roles_are_asked_for_when_they_are_unknown_or_old_and_at_most_once_a_minute() -> None:
    now, guild = 1000.0, Guild()
    members = Members(guild, clock=lambda: now)
    told = person("5", as_of=990.0)
    assert await members.fresh("g", told) is told
    assert (await members.fresh("g", person(knows=False))).role_ids == frozenset({"1"})
    assert (await members.fresh("g", person("5", as_of=900.0))).role_ids == frozenset({"1"})
    assert guild.asked == 1
    now = 1061.0
    await members.fresh("g", person(knows=False))
    assert guild.asked == 2
    now = 1000.0  # the clock was set back: what it says of then is worth nothing
    await members.fresh("g", person(knows=False))
    assert guild.asked == 3
    for user_id, fault in {"gone": Fault.GONE, "one-of-many": Fault.LIMITED}.items():
        with pytest.raises(ChatError) as refused:
            await members.fresh("g", person(user_id=user_id, knows=False))
        assert refused.value.fault is fault
