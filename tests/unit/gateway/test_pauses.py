"""How long things are let be that failed."""

from __future__ import annotations

from repobridge_gateway.pauses import Pauses


def test_a_pause_doubles_with_each_failure_up_to_the_longest_and_begins_anew_after_a_success() -> (
    None
):
    pauses = Pauses(first_seconds=1.0, longest_seconds=60.0)
    assert [pauses.failed("a", 0.0, why="no") for _ in range(8)] == [1, 2, 4, 8, 16, 32, 60, 60]
    pauses.ended("a")
    assert pauses.failed("a", 0.0, why="no") == 1


def test_a_pause_holds_until_its_end_and_no_other_name() -> None:
    pauses = Pauses()
    pauses.failed("a", 10.0, why="forbidden", seconds=300.0)
    pauses.failed("b", 10.0, why="busy")
    held = [(at, pauses.holds("a", at), pauses.holds("b", at)) for at in (10.9, 11.0, 309.9, 310.0)]
    assert held == [
        (10.9, True, True), (11.0, True, False), (309.9, True, False), (310.0, False, False)
    ]  # fmt: skip
    assert [pauses.next_seconds(at) for at in (10.0, 11.0, 310.0)] == [1.0, 299.0, None]
    assert [pauses.held(at) for at in (10.0, 11.0, 310.0)] == [2, 1, 0]
    assert (pauses.why("a"), pauses.why("c")) == ("forbidden", "")


def test_pauses_that_are_over_are_forgotten_except_of_what_still_waits() -> None:
    pauses = Pauses(first_seconds=1.0)
    for name in ("a", "b", "c"):
        pauses.failed(name, 0.0, why=name)
    pauses.failed("c", 0.0, why="c", seconds=100.0)
    pauses.keep({"a"}, 5.0)
    assert [pauses.why(name) for name in ("a", "b", "c")] == ["a", "", "c"]
    assert pauses.failed("a", 5.0, why="a") == 2.0
