"""A role's name counts only where nobody can have made another that people take for it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from repobridge_gateway.rolenames import NameFault, NameRefused, role_called


def test_the_only_role_of_a_name_is_found() -> None:
    assert role_called("Developers", {"1": "Admins", "2": "Developers"}) == "2"


@pytest.mark.parametrize(
    ("roles", "refused"),
    [
        ((), NameRefused(
            NameFault.MISSING, 'No role is called "Devs"; name one that is, or a roleId.')),
        (("devs",), NameRefused(
            NameFault.MISSING,
            'No role is called "Devs"; there is "devs"; name one that is, or a roleId.')),
        (("Devs", "Devs"), NameRefused(
            NameFault.AMBIGUOUS,
            '2 roles are called "Devs"; name the one you mean by its roleId.')),
        (("Devs", "DEVS"), NameRefused(
            NameFault.LOOK_ALIKE,
            'The role "Devs" looks like the role "DEVS"; name it by its roleId.')),
        (("Ｄｅｖｓ", "Devs"), NameRefused(
            NameFault.LOOK_ALIKE,
            'The role "Devs" looks like the role "Ｄｅｖｓ"; name it by its roleId.')),
        (("Devs ", "Devs"), NameRefused(
            NameFault.LOOK_ALIKE,
            'The role "Devs" looks like the role "Devs "; name it by its roleId.')),
    ],
)  # fmt: skip
def test_a_name_that_could_deceive_is_nobodys(roles: tuple[str, ...], refused: NameRefused) -> None:
    assert role_called("Devs", {str(number): name for number, name in enumerate(roles)}) == refused


@given(
    name=st.text(min_size=1, max_size=8),
    roles=st.dictionaries(st.text("0123456789", min_size=1), st.text(max_size=8), max_size=6),
)
def test_whoever_is_found_has_exactly_that_name_and_nobody_else_has(
    name: str, roles: dict[str, str]
) -> None:
    found = role_called(name, roles)
    if isinstance(found, str):
        assert [role_id for role_id, each in roles.items() if each == name] == [found]
        others = [each for role_id, each in roles.items() if role_id != found]
        assert all(each.casefold() != name.casefold() for each in others)
    else:
        same = [each for each in roles.values() if each == name]
        assert len(same) != 1 or found.fault is NameFault.LOOK_ALIKE
