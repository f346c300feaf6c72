"""Which bridges are served where: what the operator says, and what nobody has said yet."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from repobridge import crd
from repobridge.claims import TenancyRule
from repobridge.crd import RepoBridge
from repobridge_gateway.access import Permission, Rule
from repobridge_gateway.fleet.servable import Servable, rules_of, servable

CHANNEL, OTHER = "1123581321345589144", "1123581321345589155"
GUILD = "3123581321345589144"
BORN = datetime(2026, 1, 1, tzinfo=UTC)


def bridge(
    uid: str, channel: str = CHANNEL, *, holds: str | None = None, age: int = 0, **metadata: object
) -> RepoBridge:
    created = (BORN - timedelta(days=age)).isoformat()
    return crd.parse(
        {
            "metadata": {
                "name": f"bridge-{uid}",
                "namespace": "payments",
                "uid": uid,
                "creationTimestamp": created,
                **metadata,
            },
            "spec": {"discord": {"channelId": channel}},
            "status": {"channelId": channel if holds is None else holds},
        }
    )


def test_a_bridge_that_the_operator_gave_its_channel_is_served() -> None:
    one, two = bridge("1"), bridge("2", OTHER)
    assert servable([one, two], tenancy=(), guilds={}) == Servable(
        {CHANNEL: one, OTHER: two}, frozenset()
    )


def test_a_bridge_waits_for_the_operator_and_goes_with_its_deletion() -> None:
    fresh, moved = bridge("1", holds=""), bridge("2", OTHER, holds=CHANNEL)
    deleted = bridge("3", deletionTimestamp=BORN.isoformat())
    assert servable([fresh, moved, deleted], tenancy=(), guilds={}).by_channel == {}


def test_of_two_that_seem_to_hold_a_channel_the_older_is_served() -> None:
    young, old = bridge("1"), bridge("2", age=1)
    assert servable([young, old], tenancy=(), guilds={}).by_channel == {CHANNEL: old}


def test_where_the_guild_matters_nobody_is_served_before_it_is_known() -> None:
    one = bridge("1")
    tenancy = [TenancyRule(namespaces=frozenset({"payments"}), guilds=frozenset({GUILD}))]
    unknown = Servable({}, frozenset({CHANNEL}))
    assert servable([one], tenancy=tenancy, guilds={}) == unknown
    mine = Servable({CHANNEL: one}, frozenset())
    assert servable([one], tenancy=tenancy, guilds={CHANNEL: GUILD}) == mine
    foreign = Servable({}, frozenset())
    assert servable([one], tenancy=tenancy, guilds={CHANNEL: "1"}) == foreign
    named = [TenancyRule(namespaces=frozenset({"payments"}), channels=frozenset({CHANNEL}))]
    assert servable([one], tenancy=named, guilds={}) == mine


def test_access_is_by_role_and_by_person() -> None:
    spec = {
        "access": [
            {
                "roleId": "2123581321345589144",
                "permissions": ["prompt", "manage"],
                "models": ["opus", "*"],
            },
            {"userId": "2123581321345589155", "limits": {"rate": {"enabled": False}}},
        ]
    }
    found = crd.parse({"metadata": {"name": "one"}, "spec": spec}).spec.access
    assert rules_of(found) == (
        Rule(
            role_id="2123581321345589144",
            permissions=frozenset({Permission.PROMPT, Permission.MANAGE}),
            models=frozenset({"opus", "*"}),
        ),
        Rule(
            user_id="2123581321345589155",
            permissions=frozenset({Permission.PROMPT}),
            limits=crd.Limits(rate=crd.Rate(enabled=False)),
        ),
    )
