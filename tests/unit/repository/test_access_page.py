"""The examples of docs/access.md are good ones, and mean what stands around them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from repobridge import crd
from repobridge_gateway.access import Access, Permission, named
from repobridge_gateway.authority import Authority
from repobridge_gateway.chat import Person
from repobridge_gateway.config import load
from repobridge_gateway.fleet.servable import rules_of
from repobridge_gateway.policy_settings import PolicySettings

PAGE = (Path(__file__).parents[3] / "docs" / "access.md").read_text(encoding="utf-8")
GUILD, OTHER = "1123581321345589144", "1123581321345589155"
NAMED = {"51": "Developers", "52": "Maintainers"}
PROMPT, APPROVE, MANAGE = Permission.PROMPT, Permission.APPROVE, Permission.MANAGE
WIDE = {Permission.RELOAD_CONFIG, Permission.VIEW_ALL_USAGE}


def example(title: str) -> str:
    (found,) = re.findall(rf"```yaml\n(# {re.escape(title)}\n.*?)```", PAGE, re.DOTALL)
    return str(found)


def said(title: str) -> Any:
    return yaml.safe_load(example(title))


def person(*roles: str, user_id: str = "7") -> Person:
    return Person(user_id=user_id, display_name="ann", role_ids=frozenset(roles))


def may(access: Access, who: Person) -> set[Permission]:
    return {each for each in Permission if access.may(who, each)}


def names(guild_id: str) -> Mapping[str, str]:
    return NAMED


def test_a_bridges_own_rules() -> None:
    resource = crd.parse({"metadata": {"name": "one"}, **said("a RepoBridge")})
    access = Authority().of(rules_of(resource.spec.access)).at(GUILD)
    asks, manages = person("2123581321345589144"), person("2123581321345589155")
    one = person(user_id="3123581321345589144")
    assert [may(access, each) for each in (asks, manages, one, person())] == [
        {PROMPT},
        {PROMPT, APPROVE, MANAGE},
        {APPROVE},
        set(),
    ]
    own = resource.spec.agent.model
    assert named(access.models(asks), own=own) == ("sonnet",)
    assert named(access.models(manages), own=own) == ("opus", "sonnet")


def test_the_rules_of_a_cluster() -> None:
    settings = PolicySettings.model_validate(said("values.yaml of the chart")["gateway"])
    authority = Authority(settings.policy(), roles_of=names)
    developer, maintainer = person("51"), person("52")
    one = person(user_id="3123581321345589144")
    here, elsewhere = authority.at(GUILD), authority.at(OTHER)
    assert [may(here, each) for each in (developer, maintainer, one, person())] == [
        {PROMPT},
        {PROMPT, APPROVE, MANAGE},
        {PROMPT, *WIDE},
        {PROMPT},
    ]
    assert [may(elsewhere, each) for each in (developer, maintainer, one, person())] == [
        {PROMPT, APPROVE},
        set(),
        WIDE,
        set(),
    ]


def test_the_rules_of_one_machine(tmp_path: Path) -> None:
    checkout = tmp_path / "payments"
    checkout.mkdir()
    path = tmp_path / "llm-bridge.yaml"
    text = example("llm-bridge.yaml").replace("/home/me/src/payments", str(checkout))
    path.write_text(text, encoding="utf-8")
    access = Authority(load(path, {}).policy, roles_of=names).at(GUILD)
    assert [may(access, each) for each in (person("51"), person("51", "52"), person())] == [
        {PROMPT, APPROVE},
        {PROMPT, APPROVE, MANAGE},
        set(),
    ]


@pytest.mark.parametrize("permission", Permission)
def test_each_permission_has_its_line(permission: Permission) -> None:
    assert len(re.findall(rf"^\| `{permission.value}` \| .+ \|$", PAGE, re.MULTILINE)) == 1
