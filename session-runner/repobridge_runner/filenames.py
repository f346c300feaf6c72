"""Makes a file name that somebody else chose safe to create, to show, and to name in a prompt."""

from __future__ import annotations

import re
import unicodedata

_MOST_BYTES = 240
"""Below the 255 that file systems take, with room for a number that tells equal names apart."""
_MOST_SUFFIX_BYTES = 20
_NOT_SHOWN = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}
_SPECIAL = re.compile(r'[<>:"|?*`$]')
_RESERVED = re.compile(r"(con|prn|aux|nul|conin\$|conout\$|(com|lpt)[0-9¹²³])(\..*)?", re.I)
_FALLBACK = "file"


def safe_name(name: str) -> str:
    """The last part of the name, without control and bidi characters, leading dots and dashes.

    At most 240 bytes, never empty, never a name that a system reserves; safe names stay as they
    are.
    """
    normal = unicodedata.normalize("NFC", name)
    shown = "".join(" " if each in "\t\r\n" else each for each in normal)
    shown = "".join(each for each in shown if unicodedata.category(each) not in _NOT_SHOWN)
    last = re.split(r"[/\\]", shown.rstrip("/\\ "))[-1]
    plain = re.sub(r"\s+", " ", _SPECIAL.sub("_", last)).lstrip(".- ~@#!").rstrip(". ")
    if _RESERVED.fullmatch(plain):
        plain = f"_{plain}"
    return _shorten(plain) or _FALLBACK


def numbered(name: str, number: int) -> str:
    """Another name for a file whose name is taken; the first is the name itself."""
    if number <= 1:
        return name
    stem, dot, suffix = name.rpartition(".")
    return f"{stem}-{number}.{suffix}" if dot and stem else f"{name}-{number}"


def _shorten(name: str) -> str:
    encoded = name.encode()
    if len(encoded) <= _MOST_BYTES:
        return name
    stem, dot, suffix = name.rpartition(".")
    if not stem or len(suffix.encode()) > _MOST_SUFFIX_BYTES:
        stem, dot, suffix = name, "", ""
    room = _MOST_BYTES - len((dot + suffix).encode())
    # What the cut leaves of a character goes, and of the stem what may not stand at an end.
    return stem.encode()[:room].decode(errors="ignore").rstrip(". ") + dot + suffix
