"""A disk without room, as the refusal that a caller hears."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager

from repobridge.errors import Refusal, Status


def disk_full(sentence: str = "The disk of the workspace is full; free some space.") -> Refusal:
    """The refusal of a file for which there is no room."""
    return Refusal(Status.RESOURCE_EXHAUSTED, "DISK_FULL", sentence, {})


@contextmanager
def refusing_when_full() -> Iterator[None]:
    """Turns the operating system's error for a full disk into the refusal."""
    try:
        yield
    except OSError as error:
        if error.errno in {errno.ENOSPC, errno.EDQUOT}:
            raise disk_full() from error
        raise
