"""From the bytes on the terminal to what a person pressed; pure."""

from __future__ import annotations

_BEGIN, _END = b"\x1b[200~", b"\x1b[201~"
ENTER, ESCAPE, CLEAR = "enter", "escape", "clear"
Key = tuple[str, str]
"""("text", what was typed or pasted), or one of the keys above with nothing."""


class KeyReader:
    """Cuts input into keys; a paste may come in any number of pieces."""

    def __init__(self) -> None:
        self._held = b""

    @property
    def is_waiting(self) -> bool:
        """An ESC, or the beginning of a paste, has come and its rest has not."""
        return bool(self._held)

    def feed(self, data: bytes) -> list[Key]:
        """What was pressed, as far as it is complete."""
        self._held += data
        keys: list[Key] = []
        while self._held and (key := self._next()) is not None:
            if key[0] != "text" or key[1]:
                keys.append(key)
        return keys

    def give_up(self) -> list[Key]:
        """Nothing followed a lone ESC: it was the key."""
        if not self._held.startswith(b"\x1b") or self._held.startswith(_BEGIN):
            return []
        self._held = self._held[1:]
        return [(ESCAPE, ""), *self.feed(b"")]

    def _next(self) -> Key | None:
        held = self._held
        if held.startswith(_BEGIN):
            end = held.find(_END)
            if end < 0:
                return None
            self._held = held[end + len(_END) :]
            return "text", held[len(_BEGIN) : end].decode("utf-8", "replace")
        if held[:1] == b"\x1b":
            if _BEGIN.startswith(held):
                return None
            self._held = held[1:]
            return ESCAPE, ""
        if held[:1] in (b"\r", b"\x03"):
            self._held = held[1:]
            return (ENTER if held[:1] == b"\r" else CLEAR), ""
        ends = [at for at in map(held.find, (b"\x1b", b"\r", b"\x03")) if at >= 0]
        end = min(ends, default=len(held))
        self._held = held[end:]
        return "text", held[:end].decode("utf-8", "replace")
