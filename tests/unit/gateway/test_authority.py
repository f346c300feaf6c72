"""Whose rules hold where: the bridge's, else its guild's, else those for all; names once found."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from repobridge_gateway.access import Access, Permission, Rule
from repobridge_gateway.authority import Authority, Policy
from repobridge_gateway.chat import Person
from repobridge_gateway.metrics import GatewayMetrics

ACME, OTHER = "1123581321345589144", "2123581321345589144"
PROMPT, MANAGE = Permission.PROMPT, Permission.MANAGE
RELOAD, VIEW = Permission.RELOAD_CONFIG, Permission.VIEW_ALL_USAGE


def rule(role_id: str = "", *permissions: Permission, name: str = "", user: str = "") -> Rule:
    return Rule(role_id=role_id, role_name=name, user_id=user, permissions=frozenset(permissions))


def holder(*roles: str) -> Person:
    return Person(user_id="7", display_name="ann", role_ids=frozenset(roles))


class Guilds:
    """Roles of guilds, as far as Discord has told."""

    def __init__(self) -> None:
        self.roles: dict[str, dict[str, str]] = {}

    def of(self, guild_id: str) -> Mapping[str, str] | None:
        return self.roles.get(guild_id)


BRIDGES, GUILDS, ALL = rule("1", PROMPT), rule("2", PROMPT, VIEW), rule("3", PROMPT, RELOAD)
POLICY = Policy(rules=(ALL,), guilds={ACME: (GUILDS,)})


@pytest.mark.parametrize(
    ("own", "guild_id", "holding", "wide"),
    [
        ((BRIDGES,), ACME, (BRIDGES,), (GUILDS, ALL)),
        ((BRIDGES,), OTHER, (BRIDGES,), (ALL,)),
        ((), ACME, (GUILDS,), (GUILDS, ALL)),
        ((), OTHER, (ALL,), (ALL,)),
    ],
)
def test_a_bridges_rules_go_before_its_guilds_and_those_before_the_default(
    own: tuple[Rule, ...], guild_id: str, holding: tuple[Rule, ...], wide: tuple[Rule, ...]
) -> None:
    access = Authority(POLICY).of(own).at(guild_id)
    assert access == Access(rules=holding, wide=wide)
    assert Authority(POLICY).of(own).at(guild_id) == access


def test_what_is_guild_wide_counts_whatever_a_bridge_says() -> None:
    access = Authority(POLICY).of((BRIDGES, rule("2", *Permission))).at(ACME)
    assert access.may(holder("2"), VIEW)
    assert access.may(holder("3"), RELOAD)
    assert not access.may(holder("2"), RELOAD)
    assert not access.may(holder("3"), PROMPT)


def test_the_role_with_the_guilds_own_id_is_everybodys_there_and_nobodys_elsewhere() -> None:
    authority = Authority(Policy(rules=(rule(ACME, PROMPT),)))
    assert authority.at(ACME).is_everybodys(PROMPT)
    assert not authority.at(OTHER).may(holder(), PROMPT)
    assert authority.of((rule(OTHER, MANAGE),)).at(OTHER).may(holder(), MANAGE)
    guilds = Guilds()
    guilds.roles[ACME] = {ACME: "@everyone"}
    named = Authority(Policy(rules=(rule("", PROMPT, name="@everyone"),)), roles_of=guilds.of)
    assert named.at(ACME).is_everybodys(PROMPT)


def test_a_role_that_is_named_is_pending_until_its_guild_is_known_and_then_is_its_id() -> None:
    guilds = Guilds()
    authority = Authority(Policy(rules=(rule("", PROMPT, name="Devs"),)), roles_of=guilds.of)
    bridge = authority.of(())
    assert bridge.at(ACME).is_pending
    assert not bridge.at(ACME).may(holder("5"), PROMPT)
    guilds.roles[ACME] = {ACME: "@everyone", "5": "Devs"}
    authority.look(ACME)
    assert bridge.at(ACME) == Access(rules=(rule("5", PROMPT),), wide=(rule("5", PROMPT),))
    guilds.roles[ACME] = {"5": "Renamed", "6": "Devs"}
    assert bridge.at(ACME).may(holder("5"), PROMPT)
    assert not bridge.at(ACME).may(holder("6"), PROMPT)
    assert bridge.at(OTHER).is_pending


def test_a_name_that_deceives_grants_nothing_says_so_once_and_others_hold(
    caplog: pytest.LogCaptureFixture,
) -> None:
    guilds, metrics = Guilds(), GatewayMetrics()
    guilds.roles[ACME] = {"5": "Devs", "6": "devs", "7": "Ops"}
    policy = Policy(rules=(rule("", PROMPT, name="Devs"), rule("", MANAGE, name="Ops")))
    authority = Authority(policy, roles_of=guilds.of, metrics=metrics)
    for _ in range(3):
        access = authority.of(()).at(ACME)
    assert (access.is_pending, access.may(holder("5", "6"), PROMPT)) == (False, False)
    assert access.may(holder("7"), MANAGE)
    name = "repobridge_gateway_role_names_refused_total"
    assert metrics.registry.get_sample_value(name, {"fault": "look-alike"}) == 1
    assert metrics.registry.get_sample_value(name, {"fault": "missing"}) == 0
    told = [each.message for each in caplog.records if each.levelname == "ERROR"]
    assert told == ["role grants nothing"]
    guilds.roles[ACME] = {"5": "Devs", "7": "Ops"}  # what was refused stays so until a restart
    assert not authority.at(ACME).may(holder("5"), PROMPT)


def test_rules_that_are_changed_hold_at_once_for_bridges_with_rules_of_their_own_too() -> None:
    authority = Authority(POLICY)
    plain, own = authority.of(()), authority.of((BRIDGES,))
    before = (plain.at(ACME), own.at(ACME))
    authority.obey(Policy(rules=(rule("4", PROMPT, VIEW),)))
    assert before == (
        Access(rules=(GUILDS,), wide=(GUILDS, ALL)),
        Access(rules=(BRIDGES,), wide=(GUILDS, ALL)),
    )
    wide = (rule("4", PROMPT, VIEW),)
    assert plain.at(ACME) == Access(rules=wide, wide=wide)
    assert own.at(ACME) == Access(rules=(BRIDGES,), wide=wide)


def test_changed_rules_keep_what_a_name_was_found_to_be_and_look_up_what_was_refused() -> None:
    guilds, metrics = Guilds(), GatewayMetrics()
    guilds.roles[ACME] = {"5": "Devs", "6": "Ops", "7": "ops"}
    devs, ops = rule("", PROMPT, name="Devs"), rule("", MANAGE, name="Ops")
    authority = Authority(Policy(rules=(devs, ops)), roles_of=guilds.of, metrics=metrics)
    assert not authority.at(ACME).may(holder("6"), MANAGE)
    guilds.roles[ACME] = {"8": "Devs", "5": "Renamed", "6": "Ops"}
    authority.obey(Policy(rules=(ops, devs, rule("9", PROMPT))))
    assert authority.at(ACME).may(holder("6"), MANAGE)
    assert authority.at(ACME).may(holder("5"), PROMPT)
    assert not authority.at(ACME).may(holder("8"), PROMPT)
    # What no rule names any more is looked up anew where one does again.
    authority.obey(Policy(rules=(ops,)))
    authority.obey(Policy(rules=(ops, devs)))
    assert authority.at(ACME).may(holder("8"), PROMPT)
    assert not authority.at(ACME).may(holder("5"), PROMPT)
