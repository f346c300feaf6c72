"""What ends a build, as a sentence for a person."""

from __future__ import annotations


class ImagesError(Exception):
    """The images can't be built here; the message says why and what to do."""
