"""What a person's text becomes before it is pasted: data, and nothing but data.

The CLI runs a leading `!` as a shell command without asking, reads `/` as a command of its own,
`#` and `&` as others, ends at a bare `exit`, and attaches a file for `@path`. Control bytes would
end the paste. All of that is taken out here, in one tested function, and the hook's `prompt` is
compared with the result.
"""

from __future__ import annotations

import re
import unicodedata

_CONTROLS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f]")
_SURROGATES = re.compile("[\ud800-\udfff]")
_MENTION = re.compile(r"(?<![\w\u2060])@")
_COMMAND_CHARACTERS = tuple("!/#&?")
_EXIT_WORDS = frozenset({"exit", "quit", ":q", ":q!", ":wq", ":wq!"})
_TRIMMED = " \n\u00a0\u1680\u2028\u2029\u202f\u205f\u3000\ufeff" + "".join(
    map(chr, range(0x2000, 0x200B))
)
"""JavaScript's white space, which is what the CLI trims."""
WORD_JOINER = "\u2060"
"""Invisible, and no white space to the CLI: an `@` behind it is no mention."""


def canonical(text: str) -> str:
    """The text as it arrives at the agent: what is pasted, and what the hook must confirm.

    NFC; CRLF and CR are LF, a tab is four spaces, controls and ESC are gone, trailing white space
    is trimmed, and nothing in it is a command, a mention or the end of a paste.
    """
    text = _SURROGATES.sub("\ufffd", text)
    text = text.replace("\r\n", "\n").replace("\r", "\n").replace("\t", "    ")
    text = unicodedata.normalize("NFC", _CONTROLS.sub("", text))
    text = _MENTION.sub(WORD_JOINER + "@", text)
    text = trim_end(text)
    return WORD_JOINER + text if _is_command(text) else text


def trim_end(text: str) -> str:
    """Without the trailing white space that the CLI trims too."""
    return text.rstrip(_TRIMMED)


def _is_command(text: str) -> bool:
    # Behind leading white space too: the CLI trims before it looks.
    start = text.lstrip(_TRIMMED)
    return start.startswith(_COMMAND_CHARACTERS) or start.lower() in _EXIT_WORDS


def paste(prompt: str) -> bytes:
    """The bytes that put a canonical prompt into the input box; Enter is separate.

    A trailing backslash would make Enter a new line: a space after it does not, and is trimmed.
    """
    guarded = prompt + " " if prompt.endswith("\\") else prompt
    return b"\x1b[200~" + guarded.encode() + b"\x1b[201~"


ENTER = b"\r"
ESCAPE = b"\x1b"
CLEAR = b"\x03"
