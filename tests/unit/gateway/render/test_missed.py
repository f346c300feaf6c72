"""What is said of messages that were missed for too long."""

from __future__ import annotations

import pytest

from repobridge_gateway.render.custom_id import parse_custom_id
from repobridge_gateway.render.missed import group_of, render_missed
from repobridge_gateway.render.pieces import Button, ButtonStyle, Piece, Row


def test_the_notice_says_how_many_and_offers_to_run_them_or_not() -> None:
    key = "00000000000000000000000017"
    assert render_missed(1200, group=17) == Piece(
        "⚠ 1,200 messages from while I was away are not run: more than a day old, or beyond the"
        " first 50.",
        components=(
            Row(
                (
                    Button("Run them", f"rb1:missed:{key}:run", ButtonStyle.PRIMARY),
                    Button("Leave them", f"rb1:missed:{key}:discard"),
                )
            ),
        ),
    )
    assert render_missed(1, group=17).content == (
        "⚠ 1 message from while I was away is not run: more than a day old, or beyond the first 50."
    )


@pytest.mark.parametrize("group", [1, 17, 2**62])
def test_a_click_tells_its_group(group: int) -> None:
    row = render_missed(2, group=group).components[0]
    clicked = [parse_custom_id(each.custom_id) for each in row.items]
    assert [group_of(each) for each in clicked if each] == [group, group]


@pytest.mark.parametrize(
    "name",
    [
        "rb1:missed:01ARZ3NDEKTSV4RRFFQ69G5FAV:run",
        "rb1:turn:00000000000000000000000017:discard",
    ],
)
def test_a_click_on_anything_else_has_no_group(name: str) -> None:
    clicked = parse_custom_id(name)
    assert clicked is not None
    assert group_of(clicked) is None
