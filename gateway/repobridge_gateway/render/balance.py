"""Marks without a partner, escaped: in Discord they would look for one beyond their paragraph.

There a lone backtick or pair of asterisks reaches over blank lines into the next block of code,
ends it, and shows as text what was code. In the agent's Markdown a mark never leaves its paragraph.
"""

from __future__ import annotations

import re

from repobridge_gateway.render.inline import ASIDE, BARE_URL, Kept, inert

_TARGET = re.compile(r"(?<=\])\([^()\s]*(?:\([^()\s]*\)[^()\s]*)*\)")
_BRACKETS = re.compile(r"\[[^\[\]]{0,500}\]")
_DEEPEST = 4
"""Brackets in brackets beyond that are shown as marks without a partner."""
_PAIRS = (
    re.compile(r"(?P<mark>\*\*\*)(?!\*)(?P<inner>.{1,2000}?)(?<!\*)\*\*\*(?!\*)", re.S),
    re.compile(r"(?P<mark>(?<!\*)\*\*)(?!\*)(?P<inner>.{1,2000}?)(?<!\*)\*\*(?!\*)", re.S),
    re.compile(r"(?P<mark>(?<!\*)\*)(?=[^\s*])(?P<inner>[^*]{1,2000}?)(?<=[^\s*])\*(?!\*)", re.S),
    re.compile(r"(?P<mark>~~)(?!~)(?P<inner>.{1,2000}?)(?<!~)~~(?!~)", re.S),
    re.compile(r"(?P<mark>(?<!\w)_)(?=[^\s_])(?P<inner>[^_]{1,2000}?)(?<=[^\s_])_(?!\w)", re.S),
)
_LONELY = re.compile(r"[`*\[\]]|~{2,}|_{2,}|(?<!\w)_|_(?!\w)")
_OPEN_ADDRESS = re.compile(r"(?<!\x00)<(?![^<>]{0,500}>)(?=\S)")


def balanced(paragraph: str) -> str:
    """A paragraph of Discord's Markdown in which every mark has its partner."""
    if "<" not in paragraph and not _LONELY.search(paragraph):
        return paragraph
    kept = Kept(paragraph)
    text = ASIDE.sub(lambda found: kept.put(found[0]), kept.text)
    text = _TARGET.sub(lambda found: kept.put(found[0]), text)
    text = BARE_URL.sub(lambda found: kept.put(found[0]), text)
    for pair in _PAIRS:
        text = pair.sub(lambda m: kept.put(m["mark"]) + m["inner"] + kept.put(m["mark"]), text)
    for _ in range(_DEEPEST):
        text = _BRACKETS.sub(lambda m: _put_brackets(m[0], kept), text)
    text = _LONELY.sub(lambda found: "".join(f"\\{each}" for each in found[0]), text)
    # What was code by its ticks may be text without them.
    text = inert(text).replace("||", "\\|\\|")
    return kept.restored(_OPEN_ADDRESS.sub(r"\\<", text))


def _put_brackets(text: str, kept: Kept) -> str:
    return f"{kept.put('[')}{text[1:-1]}{kept.put(']')}"
