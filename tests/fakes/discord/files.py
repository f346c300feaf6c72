"""The files of messages, and the links to them, which are good for a day."""

from __future__ import annotations

import hashlib
import mimetypes
import re
from collections.abc import Callable, Iterable
from urllib.parse import quote

from tests.fakes.discord.clock import Clock
from tests.fakes.discord.model import Attachment, Channel, Upload
from tests.fakes.discord.snowflakes import Snowflakes

LINK_SECONDS = 24 * 3600
_ODD_IN_NAMES = re.compile(r"[^\w.\-]")


class Files:
    """Keeps every file; a deleted message's too, until its links expire."""

    def __init__(
        self, clock: Clock, snowflakes: Snowflakes, *, base_url: Callable[[], str]
    ) -> None:
        self._clock = clock
        self._snowflakes = snowflakes
        self._base_url = base_url
        self._kept: dict[int, Attachment] = {}

    def keep(self, uploads: Iterable[Upload], *, is_ephemeral: bool = False) -> list[Attachment]:
        """Keep files, under the names that Discord gives them."""
        return [self._keep(upload, is_ephemeral=is_ephemeral) for upload in uploads]

    def link(self, channel: Channel, attachment: Attachment) -> str:
        """A link that is good from now on."""
        since = int(self._clock.wall())
        until = f"{since + LINK_SECONDS:x}"
        name = quote(attachment.filename, safe="")
        path = f"/attachments/{channel.id}/{attachment.id}/{name}"
        mark = _mark(attachment.id, until)
        return f"{self._base_url()}{path}?ex={until}&is={since:x}&hm={mark}&"

    def behind(self, attachment_id: str, *, until: str, mark: str) -> Attachment | None:
        """The file that a link leads to; None for a link that is over or forged."""
        attachment = self._kept.get(int(attachment_id)) if attachment_id.isdigit() else None
        if attachment is None or mark != _mark(attachment.id, until):
            return None
        return attachment if self._clock.wall() <= int(until, 16) else None

    def _keep(self, upload: Upload, *, is_ephemeral: bool) -> Attachment:
        guessed = upload.content_type or mimetypes.guess_type(upload.filename)[0]
        attachment = Attachment(
            id=self._snowflakes.make(),
            filename=_ODD_IN_NAMES.sub("", upload.filename.replace(" ", "_")) or "unknown",
            data=upload.data,
            content_type=guessed or "application/octet-stream",
            description=upload.description,
            is_ephemeral=is_ephemeral,
        )
        self._kept[attachment.id] = attachment
        return attachment


def _mark(attachment_id: int, until: str) -> str:
    """What makes a link hard to forge."""
    return hashlib.sha256(f"{attachment_id}/{until}".encode()).hexdigest()
