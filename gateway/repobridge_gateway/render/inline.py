"""What stands within a line of an agent's Markdown, as Discord is to read it; and as plain text.

Code spans, addresses and escapes are set aside first, so that nothing in them is taken for a mark.
What would mention somebody, hide something or look like another address than it is is made inert:
a zero-width space in it, or the address beside it. Discord pings nobody that the sender doesn't
allow; this is so that readers see what the agent wrote.
"""

from __future__ import annotations

import html
import re
from collections.abc import Mapping
from urllib.parse import SplitResult, urlsplit

from repobridge_gateway.lines import printable
from repobridge_gateway.render.measure import well_formed

ZERO_WIDTH = "\u200b"
ASIDE = re.compile(r"\\[!-/:-@\[-`{-~]|(?<!`)(`+)(?!`)(.+?)(?<!`)\1(?!`)", re.S)
_PUT = re.compile("\x00([0-9]+)\x00")
_TARGET = (
    r"\(\s*<?(?P<url>[^\s<>()]*(?:\([^\s<>()]*\)[^\s<>()]*)*)>?(?:\s+(?:\"[^\"]*\"|'[^']*'))?\s*\)"
)
_LINKED_IMAGE = re.compile(rf"\[!\[(?P<text>[^\[\]]*)\]\([^()]*\)\]{_TARGET}")
_LINK = re.compile(rf"(?P<image>!?)\[(?P<text>[^\[\]]*(?:\[[^\[\]]*\][^\[\]]*)*)\]{_TARGET}")
_REFERENCE = re.compile(r"(?P<image>!?)\[(?P<text>[^\[\]]+)\]\[(?P<name>[^\[\]]*)\]")
BARE_URL = re.compile(
    r"<https?://[^\s<>\x00]+>|https?://[^\s<>\x00*`|]*[^\s<>\x00*`|_~.,:;!?'\")\]]"
)
"""An address as it stands in a text; marks at its end are not part of it."""
_ENTITY = re.compile(r"&(?:amp|lt|gt|quot|apos|nbsp|hellip|mdash|ndash|times|#[0-9]{1,7});")
_BREAK = re.compile(r"<br\s*/?>", re.I)
_CODE_TAG = re.compile(r"<(code|kbd|samp|tt)>([^<>`\n]+)</\1>", re.I)
_STRONG_TAG = re.compile(r"<(b|strong|summary)>\s*(\S|\S.{0,500}?\S)\s*</\1>", re.I)
_LEAN_TAG = re.compile(r"<(i|em)>\s*(\S|\S.{0,500}?\S)\s*</\1>", re.I)
_ANCHOR_TAG = re.compile(
    r"<a\s[^<>]*?href=[\"'](?P<url>[^\"'\s]*)[\"'][^<>]*>(?P<text>[^<>]*)</a>", re.I
)
_IMAGE_TAG = re.compile(r"<img\s(?P<attributes>[^<>]*)>", re.I)
_OTHER_TAG = re.compile(
    r"</?(?:p|div|span|center|details|summary|sub|sup|ul|ol|li|font|small|mark|table|thead|tbody|tr"
    r"|td|th|u|ins|strong|em|h[1-6]|picture|source|section)(?:\s[^<>]*)?/?>",
    re.I,
)
_FOOTNOTE = re.compile(r"\[\^([^\[\]\s]{1,40})\]")
_UNDERLINE = re.compile(r"(?<![\w_])__(?!_)(\S|\S.{0,500}?\S)__(?![\w_])")
_MENTION = re.compile(
    r"(?<=@)(?=everyone|here)"
    r"|(?<=<)(?=@[!&]?[0-9]|#[0-9]|/[^<>\n]{1,120}:[0-9]|t:-?[0-9]|a?:\w{1,64}:[0-9]"
    r"|id:(?:customize|browse|guide|linked-roles))"
)
_HOST = re.compile(
    r"(?:https?://)?(?:[^\s/@]*@)?((?:[\w-]+\.)+[a-z]{2,24})\.?(?::\d+)?(?:[/?#].*)?", re.I
)
_FILE_SUFFIX = re.compile(
    r"c|cc|cfg|cpp|cs|css|csv|diff|ex|go|h|html|ini|java|js|json|jsx|kt|lock|log|md|php|pl|ps|py|rb"
    r"|rs|sh|sql|swift|tf|toml|ts|tsx|txt|vue|xml|yaml|yml|zip"
)


_MARKS = re.compile(r"[\x00\\`<&\[_|@]|://")
"""Without one of these a text is as it is to be: most lines of an answer."""


class Kept:
    """What is set aside while marks are looked for, and a number in its place."""

    def __init__(self, text: str) -> None:
        self.text = text.replace("\x00", "\ufffd")
        """The text, in which nothing looks like such a number."""
        self._texts: list[str] = []

    def put(self, text: str) -> str:
        """Sets a text aside; what stands for it."""
        self._texts.append(text)
        return f"\x00{len(self._texts) - 1}\x00"

    def restored(self, text: str) -> str:
        """The text with all that was set aside back in it."""
        # What was set aside may hold what had been set aside before it.
        while _PUT.search(text):
            text = _PUT.sub(lambda found: self._texts[int(found[1])], text)
        return text


def code(text: str) -> str:
    """A text on one line as inline code, whatever is in it; empty for an empty one."""
    line = " ".join(text.split())
    if not line:
        return ""
    runs = set(re.findall(r"`+", line))
    if not runs:
        return f"`{line}`"
    if "``" in runs or any(len(run) > 2 for run in runs):
        return "`" + line.replace("`", "ˋ") + "`"
    return f"`` {line} ``"


def inert(text: str) -> str:
    """The text with what would mention somebody or something shown as it is written."""
    return _MENTION.sub(ZERO_WIDTH, text)


def escaped(text: str) -> str:
    """Somebody else's words, a name say, so that no mark in them is one."""
    return inert(re.sub(r"([\\`*_~|\[\]#>])", r"\\\1", " ".join(printable(text).split())))


def inline(text: str, references: Mapping[str, str] | None = None) -> str:
    """Agent's Markdown within a line or a paragraph; `references` are the addresses by name."""
    if not _MARKS.search(text):
        return text
    kept = Kept(text)
    # Behind an address Discord takes the backslash for a part of it, and what follows for itself.
    text = ASIDE.sub(lambda m: "<" if m[0] == "\\<" else kept.put(m[0]), kept.text)
    text = _without_html(text, kept)
    text = _LINKED_IMAGE.sub(lambda m: _link(m["text"] or "image", m["url"], kept), text)
    text = _LINK.sub(lambda m: _link(m["text"] or _empty(m["image"]), m["url"], kept), text)
    if references:
        text = _REFERENCE.sub(lambda m: _named(m, references, kept), text)
    text = BARE_URL.sub(lambda found: kept.put(found[0]), text)
    text = _FOOTNOTE.sub(r"[\1]", text)
    text = _UNDERLINE.sub(_underlined, text)
    text = text.replace("||", "\\|\\|")
    return kept.restored(inert(text))


def plain(text: str) -> str:
    """What a reader sees of a line: no marks, no addresses, no tags."""
    kept = Kept(text)
    text = ASIDE.sub(lambda m: kept.put(m[2].strip() if m[1] else m[0][1:]), kept.text)
    text = _BREAK.sub(" / ", text)
    text = _LINKED_IMAGE.sub(r"\g<text>", text)
    text = _LINK.sub(r"\g<text>", text)
    text = _REFERENCE.sub(r"\g<text>", text)
    text = _ANCHOR_TAG.sub(r"\g<text>", text)
    text = _CODE_TAG.sub(r"\2", text)
    text = _STRONG_TAG.sub(r"\2", text)
    text = _OTHER_TAG.sub("", _LEAN_TAG.sub(r"\2", text))
    for mark in (r"\*\*\*", r"\*\*", "__", "~~", r"\|\|"):
        text = re.sub(rf"(?<!\w){mark}(?=\S)(.{{1,500}}?)(?<=\S){mark}(?!\w)", r"\1", text)
    text = re.sub(r"(?<![\w*])\*(?=[^\s*])([^*]{1,500}?)(?<=[^\s*])\*(?![\w*])", r"\1", text)
    text = re.sub(r"(?<!\w)_(?=[^\s_])([^_]{1,500}?)(?<=[^\s_])_(?!\w)", r"\1", text)
    text = _unescaped(text)
    return " ".join(kept.restored(text).split())


def _unescaped(text: str) -> str:
    found = _ENTITY.sub(lambda m: html.unescape(m[0]), text)
    # A number may stand for a character that is not to be sent, or for one of our own marks.
    return found if found == text else _clean(found, text)


def _clean(found: str, before: str) -> str:
    allowed = printable(well_formed(_PUT.sub("", found)))
    return found if allowed == _PUT.sub("", found) else before


def _without_html(text: str, kept: Kept) -> str:
    if "<" in text:
        text = _BREAK.sub("\n", text)
        text = _CODE_TAG.sub(lambda m: kept.put(code(m[2])), text)
        text = _ANCHOR_TAG.sub(lambda m: _link(m["text"] or m["url"], m["url"], kept), text)
        text = _IMAGE_TAG.sub(lambda m: _image(m["attributes"], kept), text)
        text = _STRONG_TAG.sub(r"**\2**", text)
        text = _LEAN_TAG.sub(r"*\2*", text)
        text = _OTHER_TAG.sub("", text)
    return _unescaped(text)


def _image(attributes: str, kept: Kept) -> str:
    found = dict(re.findall(r"(\w+)\s*=\s*[\"']([^\"']*)[\"']", attributes))
    return _link(found.get("alt") or "image", found.get("src", ""), kept)


def _empty(image: str) -> str:
    return "image" if image else ""


def _named(found: re.Match[str], references: Mapping[str, str], kept: Kept) -> str:
    name = (found["name"] or found["text"]).casefold()
    return _link(found["text"], references[name], kept) if name in references else found[0]


def _underlined(found: re.Match[str]) -> str:
    """Strong to the agent, underlined to Discord; or a name such as `__init__`."""
    inner = found[1]
    return rf"\_\_{inner}\_\_" if re.fullmatch(r"\w+", inner) else f"**{inner}**"


def _link(text: str, url: str, kept: Kept) -> str:
    """A link whose address is what it looks like, or is shown."""
    try:
        address = urlsplit(url)
        host = (address.hostname or "").removesuffix(".")
    except ValueError:
        return f"{text} ({kept.put(code(url))})"
    seen = plain(kept.restored(text))
    if address.scheme not in {"http", "https"}:
        return _reference(text, seen, url, kept)
    if not host or "@" in address.netloc or "\x00" in url:
        return f"{text} ({kept.put(code(kept.restored(url)))})"
    if not seen or seen == url:
        return kept.put(url)
    return _masked(text, seen, address, host, kept)


def _masked(text: str, seen: str, address: SplitResult, host: str, kept: Kept) -> str:
    url = address.geturl()
    claimed = _claimed_host(seen)
    is_same = claimed is not None and host.removeprefix("www.") == claimed
    if "://" in seen:
        # Discord shows no link under a text that is itself an address.
        return kept.put(url) if is_same else f"{kept.put(code(seen))} ({kept.put(url)})"
    link = f"[{text.replace('[', '(').replace(']', ')')}]{kept.put(f'({url})')}"
    if (claimed and not is_same) or not host.isascii() or "xn--" in host:
        return f"{link} ({kept.put(code(host))})"
    return link


def _reference(text: str, seen: str, url: str, kept: Kept) -> str:
    """What no browser opens from a chat: a file of the repository, an anchor, an address."""
    target = kept.restored(url).removeprefix("mailto:")
    if not target or target.startswith("#"):
        return text
    if not seen or seen in target:
        return kept.put(code(seen or target))
    return f"{text} ({kept.put(code(target))})"


def _claimed_host(seen: str) -> str | None:
    """The host that a text names, where it looks like an address rather than a file's name."""
    found = _HOST.fullmatch(seen.strip())
    if found is None:
        return None
    host = found[1].lower()
    is_file = "://" not in seen and _FILE_SUFFIX.fullmatch(host.rpartition(".")[2])
    return None if is_file else host.removeprefix("www.")
