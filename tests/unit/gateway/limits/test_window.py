"""A window, whatever the clock does."""

from __future__ import annotations

from bisect import bisect_right

import pytest
from hypothesis import given
from hypothesis import strategies as st

from repobridge_gateway.limits.instants import micros, seconds_of, slack
from repobridge_gateway.limits.verdict import Verdict
from repobridge_gateway.limits.window import Window, WindowState, take

NOW = micros(1_790_000_000.0)
SECOND = micros(1.0)
MINUTE = Window(seconds=60, requests=3)
EXACT = st.builds(
    Window,
    seconds=st.floats(min_value=1e-3, max_value=3600),
    requests=st.integers(min_value=1, max_value=64),
)
LARGE = st.builds(
    Window,
    seconds=st.floats(min_value=1e-3, max_value=3600),
    requests=st.integers(min_value=65, max_value=150),
)


def asked(window: Window, parts: list[int]) -> list[int]:
    """Instants whose distances are thousandths of the window's length."""
    return [NOW + sum(parts[:count]) * window.length // 1000 for count in range(len(parts))]


def granted_at(window: Window, instants: list[int]) -> list[int]:
    """At which of these instants somebody who asks at all of them is served."""
    state, granted = WindowState(), []
    for now in instants:
        state, verdict = take(window, state, now=now)
        assert len(state.entries) <= 130
        if verdict.is_granted:
            granted.append(now)
    return granted


def most_in_any(window: Window, granted: list[int]) -> int:
    ends = (bisect_right(granted, at + window.length - 1) for at in granted)
    return max((end - start for start, end in enumerate(ends)), default=0)


def test_the_fourth_is_served_when_the_first_is_a_minute_ago() -> None:
    granted = granted_at(MINUTE, [NOW + ten * 10 * SECOND for ten in range(13)])
    assert [(at - NOW) // SECOND for at in granted] == [0, 10, 20, 60, 70, 80, 120]


def test_who_is_refused_is_told_when_to_come_again() -> None:
    state = WindowState(((NOW, 2), (NOW + SECOND, 1)))
    again, verdict = take(MINUTE, state, now=NOW + 2 * SECOND)
    assert (again, verdict) == (state, Verdict(is_granted=False, until=NOW + 60 * SECOND))


@given(EXACT | LARGE, st.lists(st.integers(min_value=0, max_value=60), max_size=400))
def test_never_more_than_the_limit_in_any_stretch(window: Window, parts: list[int]) -> None:
    granted = granted_at(window, asked(window, parts))
    assert most_in_any(window, granted) <= window.requests


@given(EXACT, st.lists(st.integers(min_value=0, max_value=60), max_size=200))
def test_up_to_64_requests_nobody_is_refused_who_may(window: Window, parts: list[int]) -> None:
    instants = asked(window, parts)
    exact: list[int] = []
    for now in instants:
        if sum(at + window.length > now for at in exact) < window.requests:
            exact.append(now)
    assert granted_at(window, instants) == exact


@given(LARGE, st.lists(st.integers(min_value=0, max_value=60), max_size=400))
def test_beyond_64_requests_one_waits_at_most_a_64th_longer(
    window: Window, parts: list[int]
) -> None:
    state, granted = WindowState(), list[int]()
    for now in asked(window, parts):
        state, verdict = take(window, state, now=now)
        if verdict.is_granted:
            granted.append(now)
        else:
            assert now < verdict.until <= granted[-window.requests] + window.length + window.step


@given(EXACT | LARGE, st.lists(st.integers(min_value=0, max_value=40), max_size=200))
def test_who_comes_when_told_is_served(window: Window, parts: list[int]) -> None:
    state, now = WindowState(), NOW
    for part in parts:
        now += part * window.length // 1000
        state, verdict = take(window, state, now=now)
        if not verdict.is_granted:
            assert not take(window, state, now=verdict.until - 1)[1].is_granted
            now = micros(seconds_of(verdict.until))
            state, verdict = take(window, state, now=now)
            assert verdict.is_granted


@given(EXACT | LARGE, st.data())
def test_a_clock_that_jitters_grants_nothing(window: Window, data: st.DataObject) -> None:
    jitter = st.integers(min_value=0, max_value=slack(window.length))
    instants = [NOW - data.draw(jitter) for _ in range(window.requests + 5)]
    assert len(granted_at(window, [NOW, *instants])) <= window.requests


@given(EXACT | LARGE, st.integers(min_value=0, max_value=NOW), st.integers(1, 200))
def test_a_clock_set_back_blocks_for_one_length_at_most(
    window: Window, back: int, taken: int
) -> None:
    state = WindowState()
    for step in range(taken):
        state, _ = take(window, state, now=NOW + step * window.length // 300)
    now = NOW - back
    state, verdict = take(window, state, now=now)
    if not verdict.is_granted:
        assert verdict.until <= now + window.length + slack(window.length)
        assert take(window, state, now=verdict.until)[1].is_granted


@given(st.lists(st.integers(min_value=-500, max_value=500), max_size=400))
def test_a_clock_that_jumps_about_makes_no_state_that_grows(parts: list[int]) -> None:
    window = Window(seconds=60, requests=100_000)
    granted = granted_at(window, asked(window, parts))
    assert len(granted) == len(parts)


def test_a_limit_that_was_lowered_counts_what_came_before() -> None:
    wide = Window(seconds=60, requests=1000)
    state = WindowState()
    for step in range(500):
        state, _ = take(wide, state, now=NOW + step * SECOND // 10)
    state, verdict = take(MINUTE, state, now=NOW + 50 * SECOND)
    assert not verdict.is_granted
    assert take(MINUTE, state, now=verdict.until)[1].is_granted


def test_no_requests_are_no_limit() -> None:
    assert Window(seconds=60, requests=0).is_unlimited


@pytest.mark.parametrize(
    ("seconds", "requests"),
    [(0, 1), (-1, 1), (1e-9, 1), (float("nan"), 1), (float("inf"), 1), (60, -1)],
)
def test_what_is_no_window_is_refused(seconds: float, requests: int) -> None:
    with pytest.raises(ValueError, match="is no limit"):
        Window(seconds=seconds, requests=requests)
