from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from repobridge import durations

# Go 1.2x prints exactly these: time.ParseDuration and Duration.String.
FROM_GO = {
    "0": (0, "0s"),
    "-0": (0, "0s"),
    "10m": (600_000_000_000, "10m0s"),
    "1h30m": (5_400_000_000_000, "1h30m0s"),
    "1.5s": (1_500_000_000, "1.5s"),
    "250ms": (250_000_000, "250ms"),
    "1.5h": (5_400_000_000_000, "1h30m0s"),
    "-1m2.5s": (-62_500_000_000, "-1m2.5s"),
    "+5s": (5_000_000_000, "5s"),
    "5.s": (5_000_000_000, "5s"),
    ".5m": (30_000_000_000, "30s"),
    "39h9m14.425s": (140_954_425_000_000, "39h9m14.425s"),
    "12µs": (12_000, "12µs"),
    "12μs": (12_000, "12µs"),
    "1100us": (1_100_000, "1.1ms"),
    "7ns": (7, "7ns"),
    "1m1m": (120_000_000_000, "2m0s"),
    "9223372036854775807ns": ((1 << 63) - 1, "2562047h47m16.854775807s"),
    "-9223372036854775808ns": (-(1 << 63), "-2562047h47m16.854775808s"),
    "0.3333333333333333333h": (1_200_000_000_000, "20m0s"),
    "0.100000000000000000000h": (360_000_000_000, "6m0s"),
    "0.830103483285477580700h": (2_988_372_539_827, "49m48.372539827s"),
}
REFUSED = {
    "": "not a duration",
    "m": "not a duration",
    "-": "not a duration",
    ".s": "not a duration",
    "10": 'lacks a unit: write "10s"',
    "1h30": "lacks a unit",
    "10 m": 'the unknown unit " m"',
    "10d": 'the unknown unit "d"',
    "1H": 'the unknown unit "H"',
    "--1s": "not a duration",
    "3000000h": "292 years",
    "9223372036854775808ns": "292 years",
    "9" * 5000 + "h": "292 years",
}


@pytest.mark.parametrize(("written", "expected"), FROM_GO.items())
def test_reads_and_prints_as_go_does(written: str, expected: tuple[int, str]) -> None:
    nanoseconds = durations.parse(written)
    assert (nanoseconds, durations.text(nanoseconds)) == expected


@pytest.mark.parametrize(("written", "why"), REFUSED.items())
def test_refuses_what_go_refuses_and_says_why(written: str, why: str) -> None:
    with pytest.raises(durations.DurationError) as refused:
        durations.parse(written)
    assert why in str(refused.value)


@given(st.integers(min_value=-(1 << 63), max_value=(1 << 63) - 1))
def test_every_duration_survives_its_own_text(nanoseconds: int) -> None:
    written = durations.text(nanoseconds)
    # Beyond 2^53 the fraction goes through floating point, in Go as here, but has at most 9 digits.
    assert durations.parse(written) == nanoseconds


@given(st.text(alphabet="0159.-+hmsnuµ x", max_size=12))
def test_any_text_is_a_duration_or_a_named_error(written: str) -> None:
    try:
        nanoseconds = durations.parse(written)
    except durations.DurationError:
        return
    assert -(1 << 63) <= nanoseconds < 1 << 63


def test_measured_seconds_are_printed_to_the_millisecond() -> None:
    assert durations.text_of_seconds(62.50049) == "1m2.5s"
    assert durations.seconds(1_500_000_000) == 1.5
