"""A mapping whose entries expire, and that gives up what would expire first."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from repobridge_gateway.limits.expiring import ExpiringMap

PUTS = st.lists(
    st.tuples(
        st.integers(min_value=0, max_value=12),
        st.integers(min_value=0, max_value=20),
        st.integers(min_value=0, max_value=5),
    ),
    max_size=60,
)


def test_an_entry_lasts_until_its_last_expiry() -> None:
    entries = ExpiringMap[str, str](size=9)
    entries.put("a", "early", expiry=10, now=0)
    entries.put("a", "late", expiry=100, now=0)
    assert entries.sweep(now=50) == 0
    assert [entries.get("a", now=now) for now in (50, 99, 100)] == ["late", "late", None]
    assert entries.sweep(now=100) == 1
    assert len(entries) == 0


def test_what_would_expire_first_is_given_up_and_counted() -> None:
    entries = ExpiringMap[str, int](size=2)
    for name, expiry in (("a", 30), ("b", 20), ("c", 40)):
        entries.put(name, expiry, expiry=expiry, now=0)
    assert dict(entries.items(now=0)) == {"a": 30, "c": 40}
    assert entries.evicted == 1


def test_what_has_expired_makes_room_uncounted() -> None:
    entries = ExpiringMap[str, int](size=3)
    for name in ("a", "b"):
        entries.put(name, 1, expiry=5, now=0)
        entries.put(name, 2, expiry=100, now=0)
    entries.put("c", 3, expiry=6, now=0)
    entries.put("d", 4, expiry=20, now=10)  # the sweep before it gets as far as a and b
    assert (dict(entries.items(now=10)), entries.evicted) == ({"a": 2, "b": 2, "d": 4}, 0)


def test_whoever_cares_hears_of_each_value_that_is_no_longer_kept() -> None:
    forgotten: list[tuple[str, int]] = []
    entries = ExpiringMap[str, int](size=2, forgotten=lambda *entry: forgotten.append(entry))
    entries.put("a", 1, expiry=10, now=0)
    entries.put("a", 2, expiry=10, now=0)
    entries.put("b", 3, expiry=90, now=0)
    entries.drop("b")
    entries.sweep(now=10)
    assert forgotten == [("a", 1), ("b", 3), ("a", 2)]


@given(PUTS)
def test_it_holds_what_a_plain_mapping_would_but_for_what_it_gave_up(
    puts: list[tuple[int, int, int]],
) -> None:
    entries, plain, now = ExpiringMap[int, int](size=5), dict[int, tuple[int, int]](), 0
    for number, (key, lasts, step) in enumerate(puts):
        now += step
        entries.put(key, number, expiry=now + lasts, now=now)
        plain[key] = number, now + lasts
        held = dict(entries.items(now=now))
        assert len(entries) <= 5
        assert all(plain[key][0] == value for key, value in held.items())
        alive = {key for key, (_, expiry) in plain.items() if expiry > now}
        assert len(alive - held.keys()) <= entries.evicted
