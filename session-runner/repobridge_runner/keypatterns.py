r"""The shapes of keys that are secret whoever issued them, in a form that fits a stream.

A pattern is a bounded head (so that any text long enough decides it) and, where a key has no fixed
length, a run of characters that goes on for as long as it goes. From the same steps come two
regular expressions: one that decides, and one that says whether a tail could still become a match.
Neighbouring steps share no characters wherever the first has no fixed length: nothing backtracks.
What stands before a key is never asked: in `"\nsk-…"` as JSON writes it that would be a letter.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property

_WORD = "A-Za-z0-9_"
_VALUE = r"^\s\"'`$<>(){}\\,;&|"


@dataclass(frozen=True)
class Step:
    """One part of a head: any of some literals, or `least` to `most` characters of a class."""

    literals: tuple[str, ...] = ()
    characters: str = ""
    least: int = 1
    most: int = 1
    secret: bool = False

    @property
    def longest(self) -> int:
        """How many characters it takes at most."""
        return max(map(len, self.literals), default=self.most)

    def full(self) -> str:
        """The regular expression of the whole step."""
        if self.literals:
            return f"(?:{'|'.join(map(re.escape, self.literals))})"
        return f"[{self.characters}]{{{self.least},{self.most}}}"

    def partial(self, rest: str) -> str:
        """The regular expression of every text that ends within this step or in `rest`."""
        if self.literals:
            return f"(?:{'|'.join(_prefixes(each, rest) for each in self.literals)})"
        return rf"(?:[{self.characters}]{{0,{self.most}}}\Z|{self.full()}{rest})"


@dataclass(frozen=True)
class KeyPattern:
    """A shape of key: what announces it, and which part of it is secret."""

    name: str
    steps: tuple[Step, ...]
    run: str = ""
    """The class of characters that belong to the key for as long as they follow."""

    @property
    def triggers(self) -> tuple[str, ...]:
        """The literals that every match begins with; none where a class begins it."""
        return self.steps[0].literals

    @property
    def decided_after(self) -> int:
        """How many characters decide whether a match starts at a place."""
        return sum(step.longest for step in self.steps)

    @cached_property
    def decides(self) -> re.Pattern[str]:
        """Matches the head; its group is the secret part."""
        parts = [step.full() for step in self.steps]
        secret = [index for index, step in enumerate(self.steps) if step.secret]
        parts[secret[0]] = "(" + parts[secret[0]]
        parts[secret[-1]] += ")"
        return re.compile("".join(parts))

    @cached_property
    def may_become(self) -> re.Pattern[str]:
        """Matches a tail that more text could complete to a head."""
        rest = r"\Z"
        for step in reversed(self.steps):
            rest = step.partial(rest)
        return re.compile(rest)

    @cached_property
    def goes_on(self) -> re.Pattern[str] | None:
        """Matches the rest of the run, if the key has no fixed length."""
        return re.compile(f"[{self.run}]*") if self.run else None


def _prefixes(literal: str, rest: str) -> str:
    pattern = rest
    for character in reversed(literal):
        pattern = rf"(?:\Z|{re.escape(character)}{pattern})"
    return pattern


def _token(name: str, *prefixes: str, run: str, least: int) -> KeyPattern:
    steps = (
        Step(literals=prefixes, secret=True),
        Step(characters=run, least=least, most=least, secret=True),
    )
    return KeyPattern(name, steps, run)


_QUOTE = (
    Step(characters=r"\\", least=0),
    Step(characters="\"'", least=0),
)
_BLANKS = Step(characters=r" \t", least=0, most=4)


def _assigned(name: str, *names: str, between: str, run: str, least: int) -> KeyPattern:
    steps = (
        Step(literals=names),
        *_QUOTE,
        _BLANKS,
        Step(characters=between, most=2),
        _BLANKS,
        *_QUOTE,
        Step(characters=run, least=least, most=least, secret=True),
    )
    return KeyPattern(name, steps, run)


_PRIVATE_KEYS = ("", "RSA ", "EC ", "DSA ", "OPENSSH ", "ENCRYPTED ", "PGP ", "SSH2 ENCRYPTED ")
_PEM_BODY = r"A-Za-z0-9+/=\s\\:.,"
_URL_PART = r"^\s/@?#\"'`<>\\"
_ENVIRONMENT_NAMES = (
    "SECRET=", "TOKEN=", "PASSWORD=", "PASSWD=",
    "API_KEY=", "SECRET_KEY=", "ACCESS_KEY=", "PRIVATE_KEY=",
)  # fmt: skip

PATTERNS: tuple[KeyPattern, ...] = (
    _token("anthropic", "sk-ant-", run=_WORD + "-", least=8),
    _token(
        "openai", "sk-proj-", "sk-svcacct-", "sk-admin-", "sk-None-", "sk-or-v1-",
        run=_WORD + "-", least=16,
    ),
    _token("openai legacy", "sk-", run="A-Za-z0-9", least=32),
    _token("stripe", "sk_live_", "rk_live_", run="A-Za-z0-9", least=16),
    _token("github", "ghp_", "gho_", "ghu_", "ghs_", "ghr_", run="A-Za-z0-9_", least=20),
    _token("github fine-grained", "github_pat_", run=_WORD, least=20),
    _token("gitlab", "glpat-", "gldt-", "glrt-", "glptt-", "glcbt-", run=_WORD + ".-", least=16),
    KeyPattern(
        "slack",
        (
            Step(literals=("xox", "xap"), secret=True),
            Step(characters="abeoprs", secret=True),
            Step(characters=".-", secret=True),
            Step(characters="A-Za-z0-9.-", least=10, most=10, secret=True),
        ),
        "A-Za-z0-9.-",
    ),
    _token("slack webhook", "hooks.slack.com/services/", run="A-Za-z0-9/", least=20),
    _token("npm", "npm_", run="A-Za-z0-9", least=30),
    _token("pypi", "pypi-AgE", run=_WORD + "-", least=20),
    _token("hugging face", "hf_", run="A-Za-z0-9", least=30),
    _token("aws key id", "AKIA", "ASIA", run="A-Z0-9", least=16),
    _token("google", "AIza", run=_WORD + "-", least=30),
    _token("google oauth", "ya29.", "GOCSPX-", run=_WORD + "-", least=20),
    _token("jwt with a usual header", "eyJhbGciOi", "eyJ0eXAiOi", "eyJraWQiOi",
           run=_WORD + ".-", least=16),
    KeyPattern(
        "jwt",
        (
            Step(literals=("eyJ",), secret=True),
            Step(characters=_WORD + "-", least=8, most=512, secret=True),
            Step(literals=(".eyJ",), secret=True),
            Step(characters=_WORD + "-", least=8, most=8, secret=True),
        ),
        _WORD + ".-",
    ),
    KeyPattern(
        "discord bot",
        (
            Step(characters="MNO", secret=True),
            Step(characters=_WORD + "-", least=22, most=27, secret=True),
            Step(literals=(".",), secret=True),
            Step(characters=_WORD + "-", least=6, most=6, secret=True),
            Step(literals=(".",), secret=True),
            Step(characters=_WORD + "-", least=27, most=27, secret=True),
        ),
        _WORD + "-",
    ),
    KeyPattern(
        "discord webhook",
        (
            Step(literals=("api/webhooks/",)),
            Step(characters="0-9", least=15, most=20),
            Step(literals=("/",)),
            Step(characters=_WORD + "-", least=30, most=30, secret=True),
        ),
        _WORD + "-",
    ),
    KeyPattern(
        "private key",
        (
            Step(literals=("-----BEGIN ",)),
            Step(literals=tuple(
                f"{kind}PRIVATE KEY{block}-----"
                for kind in _PRIVATE_KEYS for block in ("", " BLOCK")
            )),
            Step(characters=_PEM_BODY, least=24, most=24, secret=True),
        ),
        _PEM_BODY,
    ),
    KeyPattern(
        "encrypted private key",
        (
            Step(literals=("DEK-Info: ",)),
            Step(characters="A-Z0-9-", least=3, most=30),
            Step(literals=(",",)),
            Step(characters=_PEM_BODY, least=24, most=24, secret=True),
        ),
        _PEM_BODY,
    ),
    KeyPattern(
        "url with a password",
        (
            Step(literals=("://",)),
            Step(characters=_URL_PART + ":", least=0, most=256, secret=True),
            Step(literals=(":",), secret=True),
            Step(characters=_URL_PART, most=512, secret=True),
            Step(literals=("@",)),
        ),
    ),
    KeyPattern(
        "url with a token",
        (
            Step(literals=("://",)),
            Step(characters=_URL_PART + ":", least=20, most=256, secret=True),
            Step(literals=("@",)),
        ),
    ),
    KeyPattern(
        "authorization header",
        (
            Step(literals=("uthorization", "UTHORIZATION")),
            *_QUOTE,
            Step(literals=(":", " :")),
            _BLANKS,
            *_QUOTE,
            Step(literals=("Bearer ", "bearer ", "Basic ", "basic ", "Token ", "token ", "Bot ")),
            Step(characters=_VALUE, least=4, most=4, secret=True),
        ),
        _VALUE,
    ),
    KeyPattern(
        "bearer token",
        (
            Step(literals=("earer ",)),
            Step(characters="A-Za-z0-9._~+/=-", least=20, most=20, secret=True),
        ),
        "A-Za-z0-9._~+/=-",
    ),
    _assigned("key header", "-api-key", "-Api-Key", "-API-KEY", "RIVATE-TOKEN", "rivate-token",
              between=":", run=_VALUE, least=8),
    _assigned("aws secret", "ecret_access_key", "ecretAccessKey", "ECRET_ACCESS_KEY",
              between="=:>", run="A-Za-z0-9/+=", least=16),
    _assigned("aws session", "ession_token", "essionToken", "ESSION_TOKEN",
              between="=:>", run="A-Za-z0-9/+=", least=32),
    KeyPattern(
        "environment assignment",
        (
            Step(literals=_ENVIRONMENT_NAMES),
            *_QUOTE,
            Step(characters=_VALUE, least=8, most=8, secret=True),
        ),
        _VALUE,
    ),
)  # fmt: skip
