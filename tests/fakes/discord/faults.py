"""What a test can make go wrong with REST: put on a route, for so many of its next requests."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from tests.fakes.anthropic.gate import Gate


@dataclass(frozen=True)
class Status:
    """Answers so, without acting: 500, 502, 503…"""

    status: int
    message: str = "Internal Server Error"


@dataclass(frozen=True)
class TooMany:
    """Answers 429 without acting; without `via` it looks like Cloudflare's."""

    retry_after: float = 0.01
    via: bool = True
    is_global: bool = False


@dataclass(frozen=True)
class Cloudflare:
    """Answers with a page of HTML, without acting."""

    status: int = 503


@dataclass(frozen=True)
class Held:
    """Waits at a gate before acting."""

    gate: Gate


@dataclass(frozen=True)
class ActThenHold:
    """Acts, and waits at a gate before it answers."""

    gate: Gate


@dataclass(frozen=True)
class Reset:
    """Resets the connection; with `acts` only after having acted."""

    acts: bool


Fault: TypeAlias = Status | TooMany | Cloudflare | Held | ActThenHold | Reset


class Faults:
    """The faults that still wait for a request; only routes that exist can have some."""

    def __init__(self) -> None:
        self.routes: frozenset[str] = frozenset()
        self._waiting: list[tuple[str, Fault, int]] = []

    def on(self, route: str, *faults: Fault, times: int = 1) -> None:
        """Put faults on the next requests of a route (by its template) or of all ("*")."""
        if route != "*" and route not in self.routes:
            raise ValueError(f"there is no {route}; there are {sorted(self.routes)}")
        self._waiting.extend((route, fault, times) for fault in faults)

    def clear(self) -> None:
        """Take away those that have not struck."""
        self._waiting.clear()

    @property
    def waiting(self) -> int:
        """How many requests are still to be struck."""
        return sum(times for _, _, times in self._waiting)

    def take(self, route: str) -> Fault | None:
        """The fault of this request."""
        for index, (wanted, fault, times) in enumerate(self._waiting):
            if wanted in (route, "*"):
                if times > 1:
                    self._waiting[index] = (wanted, fault, times - 1)
                else:
                    del self._waiting[index]
                return fault
        return None


def page(status: int) -> str:
    """What Cloudflare shows."""
    return (
        "<!DOCTYPE html>\n<html><head><title>discord.com | "
        f"{status}: Error</title></head><body><h1>Error {status}</h1>"
        "<p>Cloudflare Ray ID: 0123456789abcdef</p></body></html>\n"
    )
