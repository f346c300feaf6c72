"""The examples of docs/limits.md are good ones, and mean what stands around them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

from repobridge import crd
from repobridge.crd_access import Limits
from repobridge_gateway.access import Permission
from repobridge_gateway.authority import Authority
from repobridge_gateway.chat import Person
from repobridge_gateway.config import load
from repobridge_gateway.limits.bucket import Bucket
from repobridge_gateway.limits.ledger import Limit
from repobridge_gateway.limits.policy import Asker, Said, takes_for
from repobridge_gateway.limits.window import Window
from repobridge_gateway.policy_settings import PolicySettings

PAGE = (Path(__file__).parents[3] / "docs" / "limits.md").read_text(encoding="utf-8")
GUILD, OTHER = "1123581321345589144", "1123581321345589155"
NAMED = {"51": "Developers", "52": "Maintainers", "53": "Guests"}
HOURLY = Window(seconds=3600, requests=60)
CHANNEL = Bucket(per_second=2, burst=10)


def example(title: str) -> str:
    (found,) = re.findall(rf"```yaml\n(# {re.escape(title)}\n.*?)```", PAGE, re.DOTALL)
    return str(found)


def said(title: str) -> Any:
    return yaml.safe_load(example(title))


def limits_of(
    authority: Authority, *roles: str, guild_id: str = GUILD, bridge: Limits | None = None
) -> list[Limit]:
    """What a message of somebody with these roles is held to."""
    person = Person(user_id="7", display_name="ann", role_ids=frozenset(roles))
    access = authority.at(guild_id)
    asker = Asker(
        guild_id=guild_id,
        bridge="uid",
        user_id=person.user_id,
        said=tuple(Said(role_id=r.role_id, limits=r.limits) for r in access.of(person)),
        has_unlimited_rate=access.may(person, Permission.UNLIMITED_RATE),
    )
    return [take.limit for take in takes_for(asker, authority.levels(guild_id, bridge=bridge))]


def test_the_table_says_what_holds_where_nothing_is_said() -> None:
    user, channel = limits_of(Authority())
    for name, limit in (("user", user), ("channel", channel)):
        assert isinstance(limit, Bucket)
        written = f"`{{perSecond: {limit.per_second:g}, burst: {limit.burst}}}`"
        (row,) = re.findall(rf"^\| `rate.{name}` \|.*$", PAGE, re.MULTILINE)
        assert written in row


def test_a_bridges_own_limits() -> None:
    resource = crd.parse({"metadata": {"name": "one"}, **said("a RepoBridge")})
    found = limits_of(Authority(), bridge=resource.spec.limits)
    assert found == [Bucket(per_second=0.1, burst=5), CHANNEL]


def test_the_limits_of_a_cluster() -> None:
    settings = PolicySettings.model_validate(said("values.yaml of the chart")["gateway"])
    authority = Authority(settings.policy(), roles_of=lambda guild_id: NAMED)
    here = Bucket(per_second=5, burst=20)
    user, faster = Bucket(per_second=0.5, burst=3), Bucket(per_second=1, burst=10)
    assert limits_of(authority) == [user, HOURLY, here]
    assert limits_of(authority, guild_id=OTHER) == [user, HOURLY, CHANNEL]
    assert limits_of(authority, "51") == [faster, HOURLY, here]
    assert limits_of(authority, "52") == [here]
    assert limits_of(authority, "53") == [user, Window(seconds=3600, requests=5), here]
    assert limits_of(authority, "51", "52", "53") == [here]


def test_the_limits_of_one_machine(tmp_path: Path) -> None:
    checkout = tmp_path / "payments"
    checkout.mkdir()
    path = tmp_path / "llm-bridge.yaml"
    text = example("llm-bridge.yaml").replace("/home/me/src/payments", str(checkout))
    path.write_text(text, encoding="utf-8")
    found = limits_of(Authority(load(path, {}).policy))
    assert found == [Bucket(per_second=1, burst=5), HOURLY, CHANNEL]
