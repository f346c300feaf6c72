"""Discord's ids: 42 bits of milliseconds since 2015, who made it, a counter; they sort by time."""

from __future__ import annotations

from tests.fakes.discord.clock import Clock
from tests.fakes.discord.refusal import form_error

EPOCH_SECONDS = 1_420_070_400
_TIME_SHIFT = 22
_WORKER = 1 << 17
"""Who of Discord's made an id stands below its time: no id is that of its time alone."""


class Snowflakes:
    """Makes ids that are unique and never go back, even when the clock does."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._last = 0

    def make(self) -> int:
        """The next id."""
        self._last = max(self._last + 1, at_time(self._clock.wall()) | _WORKER)
        return self._last


def at_time(wall: float) -> int:
    """The smallest id of that moment."""
    return int((wall - EPOCH_SECONDS) * 1000) << _TIME_SHIFT


def time_of(snowflake: int) -> float:
    """When an id was made, in seconds since 1970."""
    return (snowflake >> _TIME_SHIFT) / 1000 + EPOCH_SECONDS


def parse(value: object, *, field: str) -> int:
    """An id out of a path, a query or a body; refused as a form error of that field."""
    text = str(value)
    if isinstance(value, bool) or not (text.isascii() and text.isdigit() and len(text) <= 20):
        raise form_error(field, "NUMBER_TYPE_COERCE", f'Value "{text}" is not snowflake.')
    if int(text) >= 2**63:
        raise form_error(field, "NUMBER_TYPE_MAX", "snowflake value should be less than 2**63.")
    return int(text)
