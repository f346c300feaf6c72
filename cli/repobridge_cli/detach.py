"""Finds the detach keys in what is typed: Ctrl-\\, or Ctrl-P Ctrl-Q."""

from __future__ import annotations

_AT_ONCE = 0x1C
_FIRST, _SECOND = 0x10, 0x11


class DetachKeys:
    """Passes typed bytes on, and says when to detach."""

    def __init__(self) -> None:
        self._held = False
        self.detached = False
        """True once the keys were typed; nothing passes any more."""

    def feed(self, data: bytes) -> bytes:
        """What may be sent; a Ctrl-P is held until the next byte says what it was."""
        passed = bytearray()
        for byte in data:
            if self.detached:
                break
            if byte == _AT_ONCE or (self._held and byte == _SECOND):
                self.detached = True
                break
            if self._held:
                passed.append(_FIRST)
            self._held = byte == _FIRST
            if not self._held:
                passed.append(byte)
        return bytes(passed)
