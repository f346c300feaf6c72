from __future__ import annotations

import dataclasses
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from repobridge.session import events as ev
from repobridge_gateway.render.timeline import Earlier, Tool, ToolState
from repobridge_gateway.render.turn_view import MOST_TEXT, MOST_TOOLS, TurnView
from tests.unit.gateway.render.turns import ADA, COST, END, TURN, events, view_of


def test_a_whole_turn_is_what_its_events_told() -> None:
    view = view_of(*TURN, END, COST)
    assert view.opened == TURN[0][1]
    assert (view.opened_at, view.ended_at, view.seconds(9e9)) == (1000.0, 1040.0, 40.0)
    assert view.text == (
        "I'll look at the limits first.\n\nTwo tests fail, because `refill` rounds down."
    )
    assert view.last_text == "Two tests fail, because `refill` rounds down."
    assert view.text_before(view.last_text) == "I'll look at the limits first."
    assert [(tool.name, tool.depth, tool.state) for tool in view.tools.values()] == [
        ("Read", 0, ToolState.OK),
        ("Read", 0, ToolState.OK),
        ("Read", 0, ToolState.OK),
        ("Task", 0, ToolState.OK),
        ("Grep", 1, ToolState.OK),
        ("Bash", 0, ToolState.FAILED),
        ("Bash", 0, ToolState.DENIED),
    ]
    assert view.tools["u6"] == Tool(
        tool_use_id="u6",
        name="Bash",
        title="Bash: make test",
        started_at=1009.5,
        state=ToolState.FAILED,
        seconds=3.5,
        summary="2 failed, 10 passed\nE assert",
    )
    assert (view.requests, view.waiting_since) == ({}, None)
    assert view.usage == COST[1]
    assert view.model == "claude-opus"
    assert view.ended == END[1]


def test_a_request_waits_until_it_is_resolved() -> None:
    view = view_of(*TURN[:15])
    assert (list(view.requests), view.waiting_since) == (["r1"], 1009.6)
    assert view_of(*TURN[:15], END).requests == {}


def test_a_sub_agents_last_words_are_kept_while_it_works() -> None:
    assert view_of(*TURN[:10]).words == {"u4": "Three callers found"}
    assert view_of(*TURN[:13]).words == {}
    by_itself = ev.TextDelta("s2", 0, "hello", parent_tool_use_id="agent-7")
    assert view_of(*TURN[:9], (4.0, by_itself)).words == {"u4": "hello"}
    assert view_of((4.0, by_itself)).words == {}
    assert view_of((4.0, by_itself)).text == ""


def test_a_replayed_or_older_event_changes_nothing() -> None:
    told = events(*TURN, END, COST)
    once = TurnView("t1").feed_all(told)
    again = TurnView("t1").feed_all(told)
    assert [again.feed(event) for event in told] == [False] * len(told)
    assert again == once


@given(st.integers(0, len(TURN)), st.randoms(use_true_random=False))
def test_from_any_prefix_it_comes_to_the_same(cut: int, chance: random.Random) -> None:
    told = events(*TURN, END, COST)
    view = TurnView("t1").feed_all(told[:cut])
    for event in told[chance.randint(0, cut) :]:
        view.feed(event)
    assert view == TurnView("t1").feed_all(told)


def test_another_turns_events_are_not_this_ones() -> None:
    view = TurnView("t1")
    assert view.feed(events(*TURN, turn="t2")[0]) is False
    assert view == TurnView("t1")


def test_a_follower_who_comes_late_is_told_of_the_turn_once() -> None:
    opened = ev.TurnOpened(ev.TurnOrigin.MESSAGE, model="opus")
    late = ev.Event(opened, turn_id="t1", at=990.0)
    view = TurnView("t1")
    assert [view.feed(late), view.feed(late)] == [True, False]
    assert view.seconds(1000.0) == 10.0


def test_a_turn_that_goes_on_after_a_crash_keeps_its_beginning() -> None:
    again = ev.TurnOpened(ev.TurnOrigin.RESUME, "m1", ADA, "opus")
    view = view_of(*TURN[:3], (50.0, again))
    assert (view.is_resumed, view.opened, view.opened_at) == (True, TURN[0][1], 1000.0)
    assert view_of((50.0, again)).opened == again


def test_a_delta_that_comes_twice_is_said_once() -> None:
    delta = ev.TextDelta("b", 0, "once ")
    assert view_of((0, delta), (1, delta), (2, ev.TextDelta("b", 1, "more"))).text == "once more"


def test_what_still_ran_at_the_end_is_over() -> None:
    started = ev.ToolStarted("u", "Bash", "Bash: sleep 9")
    behind = ev.ToolStarted("v", "Bash", "Bash: serve", background=True)
    view = view_of((0, started), (1, behind), (9, ev.TurnEnded(ev.TurnOutcome.INTERRUPTED)))
    assert [tool.state for tool in view.tools.values()] == [ToolState.CANCELLED, ToolState.RUNNING]


def test_the_final_text_is_told_from_what_came_before_whatever_its_white_space() -> None:
    view = view_of(
        (0, ev.TextDelta("a", 0, "First thought.")),
        (1, ev.ToolStarted("u", "Read", "Read: a")),
        (2, ev.TextDelta("b", 0, "One.\n\n")),
        (3, ev.TextDelta("c", 0, "Two.\n")),
    )
    assert view.text_before("One.\nTwo.") == "First thought."
    assert view.text_before("Two.") == "First thought.\n\nOne."
    assert view.text_before("Something else.") == "First thought.\n\nOne.\n\nTwo."
    assert view.text_before("") == "First thought.\n\nOne.\n\nTwo."


def test_of_many_tools_the_oldest_are_counted() -> None:
    told: list[tuple[float, ev.Body]] = []
    for number in range(2 * MOST_TOOLS):
        told.append((number, ev.ToolStarted(f"u{number}", "Read", "Read: a")))
        outcome = ev.ToolOutcome.FAILED if number == 3 else ev.ToolOutcome.OK
        told.append((number, ev.ToolEnded(f"u{number}", outcome)))
    view = view_of(*told)
    assert len(view.tools) <= MOST_TOOLS
    assert view.earlier_tools == Earlier(2 * MOST_TOOLS - len(view.tools), 1)


def test_of_an_endless_text_the_end_is_kept() -> None:
    big = "x" * (MOST_TEXT // 3)
    view = view_of(*((number, ev.TextDelta(f"b{number}", 0, big)) for number in range(5)))
    assert view.is_text_cut is True
    assert list(view.blocks) == ["b2", "b3", "b4"]
    one = view_of(*((number, ev.TextDelta("b", number, big)) for number in range(5)))
    assert len(one.text) <= MOST_TEXT


def test_many_small_deltas_make_one_text() -> None:
    told = [(number / 100, ev.TextDelta("b", number, f"{number} ")) for number in range(3000)]
    assert view_of(*told).text == "".join(f"{number} " for number in range(3000))


@pytest.mark.parametrize("length", [0, 10, 10_000])
def test_the_end_of_the_text_is_whole_blocks(length: int) -> None:
    view = view_of(*TURN)
    wanted = view.text if length == 10_000 else view.last_text
    assert view.end_of_text(length) == wanted


def test_time_does_not_run_backwards() -> None:
    view = view_of(TURN[0])
    assert view.seconds(0.0) == 0.0
    assert dataclasses.replace(view, opened_at=None).seconds(5.0) == 0.0
