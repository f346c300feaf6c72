"""How long a text is to Discord, how wide to an eye, and where it may be cut.

Discord counts a message in UTF-16 units in some places and in code points in others; the units are
the stricter. Grapheme clusters are those of UAX 29 as far as the standard library's tables tell:
marks, joiners, modifiers, flags and Hangul; never a surrogate pair, as Python has none.
"""

from __future__ import annotations

import unicodedata

_JOINER = "\u200d"
_INVISIBLE = frozenset({"Cc", "Cf", "Zs", "Zl", "Zp"})
_LONGEST_CLUSTER = 200
"""Marks that follow each other without end ("zalgo") are cut in their middle."""


def well_formed(text: str) -> str:
    """The text with LF line ends, and with lone surrogates replaced, which no encoding takes."""
    lines = text.replace("\r\n", "\n").replace("\r", "\n")
    return lines.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def is_blank(text: str) -> bool:
    """True where nothing in a text would be seen; Discord refuses such a message."""
    return all(unicodedata.category(each) in _INVISIBLE for each in text)


def units(text: str) -> int:
    """The UTF-16 units of a text."""
    if text.isascii():
        return len(text)
    return len(text.encode("utf-16-le", "surrogatepass")) // 2


def index_within(text: str, limit: int) -> int:
    """How many of its characters fit into a number of units."""
    short = text[: max(0, limit)]
    if units(short) <= limit:
        return len(short)
    used = 0
    for index, each in enumerate(short):
        used += 2 if each > "\uffff" else 1
        if used > limit:
            return index
    return len(short)


def cluster_start(text: str, index: int) -> int:
    """The index itself, or before it the start of the grapheme cluster that it would cut."""
    at = index
    while 0 < at < len(text) and _is_joined(text, at):
        at -= 1
        if index - at > _LONGEST_CLUSTER:
            return index
    return at


def shortened(text: str, limit: int) -> str:
    """A text of at most so many units; one that is longer ends in an ellipsis."""
    if units(text) <= limit:
        return text
    return text[: cluster_start(text, index_within(text, limit - 1))].rstrip() + "…"


def columns(text: str) -> int:
    """How many columns of a fixed-width font a text takes."""
    return sum(map(_width, text))


def _width(each: str) -> int:
    if each.isascii():
        return 1
    if _extends(each) or unicodedata.category(each) in {"Cf", "Cc"}:
        return 0
    return 2 if unicodedata.east_asian_width(each) in {"W", "F"} else 1


def _is_joined(text: str, at: int) -> bool:
    before, after = text[at - 1], text[at]
    if before.isascii() and after.isascii():
        return False
    if _extends(after) or after == _JOINER or (before == _JOINER and not after.isascii()):
        return True
    if _is_flag(before) and _is_flag(after):
        first = at
        while first > 0 and _is_flag(text[first - 1]):
            first -= 1
        return (at - first) % 2 == 1
    return _is_one_syllable(before, after)


def _extends(each: str) -> bool:
    if "\U0001f3fb" <= each <= "\U0001f3ff" or "\U000e0020" <= each <= "\U000e007f":
        return True
    return unicodedata.category(each) in {"Mn", "Me", "Mc"}


def _is_flag(each: str) -> bool:
    return "\U0001f1e6" <= each <= "\U0001f1ff"


def _is_one_syllable(before: str, after: str) -> bool:
    """Hangul: a leading consonant, a vowel and a trailing consonant are one."""
    if "\u1160" <= after <= "\u11a7":
        return "\u1100" <= before <= "\u11a7" or "\uac00" <= before <= "\ud7a3"
    if "\u11a8" <= after <= "\u11ff":
        return "\u1160" <= before <= "\u11ff" or "\uac00" <= before <= "\ud7a3"
    return (
        "\u1100" <= before <= "\u115f"
        and ("\u1100" <= after <= "\u115f" or after > "\uabff")
        and (after <= "\ud7a3")
    )
