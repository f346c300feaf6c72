"""What the imitation was asked over REST."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Request:
    """An answered request; `status` 0 is one whose connection the imitation reset."""

    at: float
    route: str
    path: str
    status: int
    body: Any = field(repr=False, default=None)
    code: int | None = None
