"""What is painted: the prompt with what stands in it, and whatever a turn writes."""

from __future__ import annotations

import os
import threading

_SHOWN = 60


class Screen:
    """The terminal's other side; several threads may write."""

    def __init__(self) -> None:
        self._lock = threading.Lock()

    def prompt(self, text: str) -> None:
        """Paints the prompt on the line where the cursor is."""
        lines = text.splitlines()
        shown = text[:_SHOWN] if len(lines) <= 1 else f"[Pasted text +{len(lines)} lines]"
        self.write(f"\r\x1b[K❯ {shown}".encode())

    def line(self, text: str) -> None:
        """A line above the prompt."""
        self.write(b"\r\x1b[K" + text.encode("utf-8", "replace").replace(b"\n", b"\r\n") + b"\r\n")

    def write(self, data: bytes) -> None:
        """Raw output, all of it."""
        with self._lock:
            view = memoryview(data)
            while view:
                view = view[os.write(1, view) :]
