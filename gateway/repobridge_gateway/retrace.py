"""Finds out whether a message of ours arrived whose sending nobody answered: by looking for it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from repobridge_gateway.chat import Attachment, ChatError, Fault
from repobridge_gateway.render.pieces import Piece

MOST_PAGES = 50
"""Of history that are looked through; a channel that has more since then is not looked through."""


class History(Protocol):
    """A channel's past; each call raises ChatError."""

    async def own_after(
        self, channel_id: str, message_id: str
    ) -> tuple[Sequence[Mapping[str, Any]], str]:
        """Our own messages after one, and the last id of the page; empty at the end."""

    async def attachments(self, channel_id: str, message_id: str) -> Sequence[Attachment]:
        """The files of a message; GONE where it was deleted."""


async def find(history: History, channel_id: str, forms: Sequence[Piece], *, after: str) -> str:
    """The id of the newest message that says what one of the forms does; empty: there is none.

    The newest, as whatever we said in this channel before it was known to have arrived. Discord
    trims what it is given, and forgets whom a message answers if that was deleted before.
    """
    found, unsure = "", ""
    for _ in range(MOST_PAGES):
        page, last = await history.own_after(channel_id, after)
        for raw in page:
            if any(_says(raw, form) for form in forms):
                answers = _answers(raw)
                if any(answers == form.reply_to for form in forms if _says(raw, form)):
                    found = str(raw["id"])
                elif not answers:
                    unsure = str(raw["id"])
        if not last:
            break
        after = last
    if not found and unsure and await _is_deleted(history, channel_id, forms[0].reply_to):
        return unsure
    return found


def _says(raw: Mapping[str, Any], piece: Piece) -> bool:
    names = [str(each["filename"]) for each in raw.get("attachments") or ()]
    is_same_text = str(raw.get("content") or "").strip() == piece.content.strip()
    return is_same_text and names == [file.name for file in piece.files]


def _answers(raw: Mapping[str, Any]) -> str:
    return str((raw.get("message_reference") or {}).get("message_id") or "")


async def _is_deleted(history: History, channel_id: str, message_id: str) -> bool:
    try:
        await history.attachments(channel_id, message_id)
    except ChatError as error:
        if error.fault is not Fault.GONE:
            raise
        return True
    return False
