"""Names of requests: nobody guesses them, and they sort by time."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from repobridge_gateway.clicks import make_ulid


def test_a_ulid_is_its_time_and_its_random_bytes() -> None:
    assert make_ulid(0, random=lambda count: b"\0" * count) == "0" * 26
    assert make_ulid(1_469_922_850.259, random=lambda count: b"\xff" * count) == (
        "01ARZ3NDEK" + "Z" * 16
    )


@given(st.lists(st.floats(0, 2**37), min_size=2, unique_by=lambda at: int(at * 1000)))
def test_ulids_sort_by_time(times: list[float]) -> None:
    counter = itertools.count()
    made = [make_ulid(at, random=lambda n: next(counter).to_bytes(n, "big")) for at in times]
    assert sorted(made) == [name for _, name in sorted(zip(times, made, strict=True))]
    assert {len(name) for name in made} == {26}
