"""Every name that is made from somebody else's: sessions, branches, folders.

Collision-safe: two conversations never share a name, on file systems that ignore case too.
Length-safe: a name and what is put around it fits a path component and a git reference.
"""

from __future__ import annotations

import hashlib
import re
from uuid import UUID, uuid5

BRANCH_PREFIX = "repobridge"
_SLUG_LENGTH = 48
_DIGEST_LENGTH = 10
_PLAIN = re.compile(rf"[a-z0-9](?:[a-z0-9]|-(?!-)){{0,{_SLUG_LENGTH - 2}}}[a-z0-9]|[a-z0-9]")
_LOOKS_DIGESTED = re.compile(rf"(?:.*-)?[0-9a-f]{{{_DIGEST_LENGTH}}}")


def session_id(bridge_uid: str, conversation_id: str, generation: int) -> str:
    """The session of a conversation's generation, a UUID that anyone can derive again."""
    return str(uuid5(UUID(bridge_uid), f"{conversation_id}/{generation}"))


def slug(name: str) -> str:
    """A path component of at most 48 characters of `[a-z0-9-]`; different names, different slugs.

    A name that is one already stays itself; any other is simplified and gets a digest, and so
    does one that looks as if it had a digest.
    """
    if _PLAIN.fullmatch(name) and not _LOOKS_DIGESTED.fullmatch(name):
        return name
    digest = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:_DIGEST_LENGTH]
    simple = re.sub(r"[^a-z0-9]+", "-", name.lower())
    simple = simple[: _SLUG_LENGTH - _DIGEST_LENGTH - 1].strip("-")
    return f"{simple}-{digest}" if simple else digest


def branch(conversation_id: str) -> str:
    """The branch on which a conversation works."""
    return f"{BRANCH_PREFIX}/{slug(conversation_id)}"
