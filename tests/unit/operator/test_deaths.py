"""A dead pod is replaced at once, unless one after the other dies young."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from repobridge_operator.deaths import Replacement, replacement_of
from repobridge_operator.podstate import time_of
from repobridge_operator.resources import naming
from tests.unit.operator.pods import ended, failed_by

DIED = time_of("2026-11-21T12:00:05Z")


def _after(deaths: int, **more: Any) -> Replacement:
    return replacement_of(ended(deaths=deaths, **more), template_changed=False)


@pytest.mark.parametrize(
    ("before", "wait"),
    [(0, 0), (1, 0), (2, 0), (3, 10), (4, 20), (5, 40), (6, 80), (7, 160), (8, 300), (90, 300)],
)
def test_the_fourth_death_in_a_row_is_the_first_to_wait(before: int, wait: int) -> None:
    assert _after(before) == Replacement(
        deaths=before + 1, wait_seconds=wait, at=DIED + timedelta(seconds=wait)
    )
    assert _after(before).is_crashing is (wait > 0)


def test_a_pod_that_lived_for_ten_minutes_begins_a_new_count() -> None:
    steady = _after(7, started="2026-11-21T11:50:05Z")
    assert (steady.deaths, steady.wait_seconds) == (1, 0)
    assert _after(7, started="2026-11-21T11:50:06Z").deaths == 8


def test_a_changed_template_is_tried_at_once() -> None:
    found = replacement_of(ended(deaths=12), template_changed=True)
    assert found == Replacement(deaths=0, wait_seconds=0, at=DIED)


def test_an_evicted_pod_is_replaced_at_once_and_counts() -> None:
    evicted = failed_by("Evicted", "The node was low on resource: memory.")
    found = replacement_of(evicted, template_changed=False)
    assert (found.deaths, found.wait_seconds) == (1, 0)


@pytest.mark.parametrize("text", ["", "-1", "many", "²", "1.5"])
def test_an_annotation_that_is_no_number_counts_for_nothing(text: str) -> None:
    one = ended()
    one["metadata"]["annotations"][naming.ANNOTATION_DEATHS] = text
    assert replacement_of(one, template_changed=False).deaths == 1


@settings(deadline=None)
@given(st.integers(0, 10**30))
def test_the_wait_never_grows_beyond_five_minutes(before: int) -> None:
    assert 0 <= _after(before).wait_seconds <= 300
