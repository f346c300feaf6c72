"""Kubernetes quantities ("10Gi", "500m", "1e3"), exact; what is counted rounds up, as there."""

from __future__ import annotations

import re
from fractions import Fraction
from math import ceil

from repobridge.errors import RepoBridgeError

_BINARY = ("Ki", "Mi", "Gi", "Ti", "Pi", "Ei")
_DECIMAL = {"n": -9, "u": -6, "m": -3, "": 0, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
_WRITTEN = re.compile(
    r"(?P<sign>[+-]?)(?P<whole>[0-9]{0,30})(?:\.(?P<part>[0-9]{0,30}))?"
    r"(?P<suffix>[KMGTPE]i|[numkMGTPE]|[eE][+-]?[0-9]{1,2})?"
)
_LARGEST = (1 << 63) - 1
"""Kubernetes' own limit; it caps what is larger."""


class QuantityError(RepoBridgeError, ValueError):
    """A text is no quantity; the message says why."""


def parse(quantity: str | int) -> Fraction:
    """What a quantity says, exactly; raises QuantityError."""
    found = _WRITTEN.fullmatch(str(quantity))
    whole, part = (found["whole"], found["part"] or "") if found else ("", "")
    if found is None or not whole + part:
        raise QuantityError(f'"{quantity}" is not a quantity such as "10Gi", "500m" or "2"')
    value = Fraction(int(whole + part), 10 ** len(part)) * _factor(found["suffix"] or "")
    value = min(value, Fraction(_LARGEST))
    return -value if found["sign"] == "-" else value


def _factor(suffix: str) -> Fraction:
    if suffix in _BINARY:
        return Fraction(1024 ** (_BINARY.index(suffix) + 1))
    exponent = _DECIMAL[suffix] if suffix in _DECIMAL else int(suffix[1:])
    return Fraction(10) ** exponent


def whole(quantity: str | int) -> int:
    """A quantity of bytes or of things, rounded up; raises QuantityError."""
    return ceil(parse(quantity))


def milli(quantity: str | int) -> int:
    """Thousandths, as processors are counted, rounded up; raises QuantityError."""
    return ceil(parse(quantity) * 1000)


def text(value: int) -> str:
    """A number of bytes in the largest binary unit that says it exactly: "10Gi", "1500"."""
    power = 0
    while power < len(_BINARY) and value and value % 1024 == 0:
        value, power = value // 1024, power + 1
    return f"{value}{_BINARY[power - 1]}" if power else str(value)


def milli_text(thousandths: int) -> str:
    """A number of thousandths as Kubernetes writes it: "500m", "2"."""
    processors, rest = divmod(thousandths, 1000)
    return f"{thousandths}m" if rest else str(processors)
