from __future__ import annotations

from contextlib import suppress
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from repobridge import quantities

# As k8s.io/apimachinery's resource.ParseQuantity has them: Value() and MilliValue().
KNOWN = {
    "0": (0, 0),
    "10Gi": (10_737_418_240, 10_737_418_240_000),
    "600Mi": (629_145_600, 629_145_600_000),
    "1.5Gi": (1_610_612_736, 1_610_612_736_000),
    "500m": (1, 500),
    "1500m": (2, 1500),
    "0.1": (1, 100),
    "1n": (1, 1),
    "3u": (1, 1),
    "2": (2, 2000),
    "2.": (2, 2000),
    ".5": (1, 500),
    "1k": (1000, 1_000_000),
    "1E": (10**18, 10**21),
    "1e3": (1000, 1_000_000),
    "1E3": (1000, 1_000_000),
    "25e-1": (3, 2500),
    "+1": (1, 1000),
    "-1Gi": (-1_073_741_824, -1_073_741_824_000),
    "9Ei": ((1 << 63) - 1, ((1 << 63) - 1) * 1000),
}
REFUSED = [
    "",
    ".",
    "-",
    "Gi",
    "1gi",
    "1 Gi",
    "1Kib",
    "1e",
    "ten",
    "1,5Gi",
    "0x10",
    "1e999",
    "１Gi\n",
]


@pytest.mark.parametrize(("written", "expected"), KNOWN.items())
def test_reads_as_kubernetes_does(written: str, expected: tuple[int, int]) -> None:
    assert (quantities.whole(written), quantities.milli(written)) == expected


@pytest.mark.parametrize("written", REFUSED)
def test_refuses_what_is_no_quantity(written: str) -> None:
    with pytest.raises(quantities.QuantityError, match="is not a quantity such as"):
        quantities.parse(written)


def test_takes_a_number_as_it_stands_in_yaml() -> None:
    assert quantities.parse(2) == Fraction(2)


@pytest.mark.parametrize(
    ("value", "expected"),
    {
        10 << 30: "10Gi",
        600 << 20: "600Mi",
        1500: "1500",
        0: "0",
        1024: "1Ki",
        -2048: "-2Ki",
    }.items(),
)
def test_writes_bytes_in_the_largest_unit_that_says_them_exactly(value: int, expected: str) -> None:
    assert quantities.text(value) == expected


@pytest.mark.parametrize(("value", "expected"), {500: "500m", 2000: "2", 0: "0"}.items())
def test_writes_processors(value: int, expected: str) -> None:
    assert quantities.milli_text(value) == expected


@given(st.integers(-(2**63) + 1, 2**63 - 1))
def test_reads_back_the_bytes_that_it_writes(value: int) -> None:
    assert quantities.whole(quantities.text(value)) == value


@given(st.integers(0, 10**9))
def test_reads_back_the_processors_that_it_writes(value: int) -> None:
    assert quantities.milli(quantities.milli_text(value)) == value


@given(st.integers(0, 10**6), st.sampled_from(["Ki", "Mi", "Gi", "k", "M", "G", "m", "", "e2"]))
def test_counts_up_and_in_order(value: int, suffix: str) -> None:
    exact = quantities.parse(f"{value}{suffix}")
    assert quantities.whole(f"{value}{suffix}") - 1 < exact <= quantities.whole(f"{value}{suffix}")
    assert quantities.parse(f"{value + 1}{suffix}") > exact
    assert quantities.parse(f"-{value}{suffix}") == -exact


@given(st.text(max_size=12))
def test_any_text_is_read_or_refused(written: str) -> None:
    with suppress(quantities.QuantityError):
        assert quantities.parse(written) == quantities.parse(f"+{written.lstrip('+-')}") * (
            -1 if written.startswith("-") else 1
        )
