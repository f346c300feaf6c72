"""Who was told something a moment ago, and is not told it again for each message that they write.

Their channel would be filled with our answers.
"""

from __future__ import annotations

TOLD_AGAIN_SECONDS = 60.0
"""For at least so long nobody is told again in the same channel."""
_REMEMBERED = 10_000


class ToldOnce:
    """Remembers whom of something was told last, and for which message; times are in seconds."""

    def __init__(self) -> None:
        self._told: dict[tuple[str, str], tuple[str, float, float]] = {}
        """By channel and whose matter it is: the message that was answered, when, and until when
        nobody is told again.
        """

    def has_told(
        self, channel_id: str, whose: str, message_id: str, *, now: float, until: float = 0.0
    ) -> bool:
        """Whether that was told lately; if not, it is told now, and not again before `until`.

        The message that was answered is answered again, where its answer could not be kept.
        """
        place = channel_id, whose
        told_id, told_at, quiet_until = self._told.get(place, ("", 0.0, 0.0))
        if told_id not in {"", message_id} and told_at <= now < quiet_until:
            return True
        self._told.pop(place, None)
        self._told[place] = message_id, now, max(until, now + TOLD_AGAIN_SECONDS)
        if len(self._told) > _REMEMBERED:
            del self._told[next(iter(self._told))]  # who was told the longest ago
        return False
