"""A token bucket, whatever the clock does."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from repobridge_gateway.limits.bucket import Bucket, BucketState, take
from repobridge_gateway.limits.instants import LONGEST, micros, seconds_of
from repobridge_gateway.limits.verdict import Verdict

NOW = micros(1_790_000_000.0)
SECOND = micros(1.0)
BUCKETS = st.builds(
    Bucket,
    per_second=st.floats(min_value=1e-9, max_value=1000),
    burst=st.integers(min_value=1, max_value=50),
)


def granted_at(bucket: Bucket, instants: list[int]) -> list[int]:
    """At which of these instants somebody who asks at all of them is served."""
    state, granted = BucketState(), []
    for now in instants:
        state, verdict = take(bucket, state, now=now)
        if verdict.is_granted:
            granted.append(now)
    return granted


def test_a_burst_is_served_at_once_and_then_one_each_interval() -> None:
    asked = [NOW + half * SECOND // 2 for half in range(12)]
    granted = granted_at(Bucket(per_second=0.5, burst=3), asked)
    assert [(at - NOW) / SECOND for at in granted] == [0, 0.5, 1, 2, 4]


def test_who_is_refused_is_told_when_to_come_again() -> None:
    bucket = Bucket(per_second=0.5, burst=1)
    state, _ = take(bucket, BucketState(), now=NOW)
    again, verdict = take(bucket, state, now=NOW + SECOND)
    assert (again, verdict) == (state, Verdict(is_granted=False, until=NOW + 2 * SECOND))


@given(BUCKETS, st.lists(st.integers(min_value=0, max_value=3 * SECOND), max_size=200))
def test_never_more_than_the_limit_in_any_stretch(bucket: Bucket, steps: list[int]) -> None:
    asked = [NOW + sum(steps[:count]) for count in range(len(steps))]
    granted = granted_at(bucket, asked)
    for first, start in enumerate(granted):
        for last, end in enumerate(granted[first:], first):
            more = (end - start) / SECOND * bucket.per_second
            assert last - first + 1 <= bucket.burst + more * (1 + 1e-9)


@given(BUCKETS, st.lists(st.integers(min_value=0, max_value=10 * SECOND), max_size=60))
def test_who_comes_when_told_is_served_and_not_a_microsecond_earlier(
    bucket: Bucket, steps: list[int]
) -> None:
    state, now = BucketState(), NOW
    for step in steps:
        now += step
        state, verdict = take(bucket, state, now=now)
        if not verdict.is_granted:
            assert now < verdict.until <= now + bucket.interval
            early, refused = take(bucket, state, now=verdict.until - 1)
            assert (early, refused.until) == (state, verdict.until)
            # The way of the instant to whoever waits, and back, goes through seconds.
            now = micros(seconds_of(verdict.until))
            state, verdict = take(bucket, state, now=now)
            assert verdict.is_granted


@given(BUCKETS, st.lists(st.integers(min_value=-5 * SECOND, max_value=5 * SECOND), max_size=100))
def test_a_clock_that_jumps_grants_no_more_than_its_steps_forward_allow(
    bucket: Bucket, steps: list[int]
) -> None:
    asked = [NOW + sum(steps[:count]) for count in range(1, len(steps) + 1)]
    forward = sum(max(0, step) for step in steps)
    assert len(granted_at(bucket, asked)) <= bucket.burst + forward // bucket.interval


@given(BUCKETS, st.data())
def test_a_clock_that_jitters_grants_nothing(bucket: Bucket, data: st.DataObject) -> None:
    jitter = st.integers(min_value=0, max_value=bucket.filling)
    asked = [NOW - data.draw(jitter) for _ in range(30)]
    assert len(granted_at(bucket, [NOW, *asked])) <= bucket.burst


@given(BUCKETS, st.integers(min_value=0, max_value=NOW), st.integers(min_value=1, max_value=60))
def test_a_clock_set_back_blocks_for_one_filling_at_most(
    bucket: Bucket, back: int, taken: int
) -> None:
    state = BucketState()
    for _ in range(taken):
        state, _ = take(bucket, state, now=NOW)
    now = NOW - back
    state, verdict = take(bucket, state, now=now)
    if not verdict.is_granted:
        assert verdict.until <= now + bucket.filling + bucket.interval
        assert take(bucket, state, now=verdict.until)[1].is_granted


@pytest.mark.parametrize(("per_second", "burst"), [(0, 3), (0.5, 0), (0, 0)])
def test_a_nought_is_no_limit(per_second: float, burst: int) -> None:
    assert Bucket(per_second=per_second, burst=burst).is_unlimited


@pytest.mark.parametrize(
    ("per_second", "burst"),
    [(-0.1, 1), (1, -1), (float("nan"), 1), (float("inf"), 1)],
)
def test_what_is_no_number_of_messages_is_refused(per_second: float, burst: int) -> None:
    with pytest.raises(ValueError, match="is no limit"):
        Bucket(per_second=per_second, burst=burst)


def test_an_interval_is_rounded_up() -> None:
    assert Bucket(per_second=3, burst=1).interval == 333_334


def test_the_slowest_bucket_fills_in_three_years() -> None:
    assert Bucket(per_second=5e-324, burst=1000).filling == LONGEST
