"""Brings what people wrote to their bridge's runner, waking it: whatever waits is tried again.

Level-triggered: nothing here remembers what is to be done, the inbox does. A message goes over
under its own id, so that a repeat after any failure is the same message.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections import deque
from collections.abc import Callable, Sequence
from enum import Enum
from typing import Protocol

from repobridge.errors import Refusal, Status
from repobridge.session.events import Actor, MessageKind
from repobridge.telemetry import Logger
from repobridge_gateway import commands
from repobridge_gateway.access import Members
from repobridge_gateway.admission import Admission, admission
from repobridge_gateway.channels import Served
from repobridge_gateway.chat import Attachment, ChatError, Fault, time_of
from repobridge_gateway.commands import Reply, ToAgent, ToGateway
from repobridge_gateway.fleet.status import RunnerLink
from repobridge_gateway.inbox import MOVED, InboxState, Kept, Wish
from repobridge_gateway.metrics import GatewayMetrics
from repobridge_gateway.notices import GatewayNotice, NoticeCode
from repobridge_gateway.render.inline import code as as_code
from repobridge_gateway.session_client import SessionClient
from repobridge_gateway.session_values import Submission, Upload
from repobridge_gateway.speech import sentence
from repobridge_gateway.starters import quoted, stands_at
from repobridge_gateway.store.port import InboxStore

LARGEST_FILE_BYTES = 25 << 20
_AGAIN_SECONDS = 1.0
_AGAIN_AT_MOST_SECONDS = 60.0
_NO_HISTORY = (
    "I may not fetch the files of this message, so it was not run; let me read the history of this"
    " channel (the permission Read Message History), and send it again."
)
_SHOWN = 64
"""Messages of which it is known that they were shown to whoever follows at a terminal."""
_Text = ToAgent | ToGateway | Reply
_log = Logger(__name__)


class Files(Protocol):
    """Where the files of messages are read."""

    async def attachments(self, channel_id: str, message_id: str) -> Sequence[Attachment]:
        """The files of a message, with links that are good now; raises ChatError."""

    async def content(self, url: str, *, largest_bytes: int) -> bytes:
        """A file, at most so many bytes of it; raises ChatError."""


class Waker(Protocol):
    """Wakes a bridge in front of whoever waits for it."""

    async def awake(self, served: Served, kept: Kept) -> RunnerLink:
        """The runner; raises a Refusal once it is told why there is none."""


class _Done(Enum):
    YES = 1
    LATER = 2
    """Something is in the way that goes by itself."""


class _NotRun(Exception):
    """A message won't be run; an empty sentence: nobody needs to hear of it."""

    def __init__(self, reason: str, sentence: str) -> None:
        super().__init__(reason)
        self.reason = reason
        self.sentence = sentence


class Handover:
    """What one bridge's runner is still to be given."""

    def __init__(
        self,
        served: Callable[[], Served | None],
        *,
        inbox: InboxStore,
        members: Members,
        files: Files,
        waker: Waker,
        me: Callable[[], str] = lambda: "",
        metrics: GatewayMetrics | None = None,
        again_seconds: float = _AGAIN_SECONDS,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """`served` gives the bridge as it is now; None once it has no channel any more. `me` is
        our own id, by which people name us.
        """
        self._served = served
        self._inbox = inbox
        self._members = members
        self._files = files
        self._waker = waker
        self._me = me
        self._metrics = metrics or GatewayMetrics()
        self._clock = clock
        self._again_seconds = again_seconds
        self._wanted = asyncio.Event()
        self._failures = 0
        self._shown: deque[str] = deque(maxlen=_SHOWN)

    def look(self) -> None:
        """Says that there may be something to do."""
        self._wanted.set()

    async def run(self) -> None:
        """Hands over until it is cancelled."""
        pause: float | None = None
        while True:
            await self._until_due(pause)
            self._wanted.clear()
            pause = None
            if not await self._worked():
                pause = max(
                    min(self._again_seconds * 2**self._failures, _AGAIN_AT_MOST_SECONDS),
                    self._again_seconds,
                )
                self._failures = min(self._failures + 1, 10)
            else:
                self._failures = 0

    async def _until_due(self, pause: float | None) -> None:
        """Until somebody wants it; what failed is also due after a pause, or once its bridge stands
        elsewhere than it did: what was in the way may be gone.
        """
        waits: list[asyncio.Task[object]] = [asyncio.create_task(self._wanted.wait())]
        served = self._served()
        if pause is not None and served is not None:
            # As it stood when the try failed: what changed during the try was a part of it.
            failed_at = served.bridge.status.value
            waits.append(
                asyncio.create_task(served.bridge.status.until(lambda now: now is not failed_at))
            )
        try:
            await asyncio.wait(waits, timeout=pause, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for each in waits:
                each.cancel()
            await asyncio.gather(*waits, return_exceptions=True)

    async def _worked(self) -> bool:
        """Does all there is; False where something has to be tried again later."""
        served = self._served()
        if served is None:
            return True
        try:
            return await self._work(served)
        except Refusal as refusal:
            _log.warning("not handed over", bridge=served.bridge.name, error=str(refusal))
            return False

    async def _work(self, served: Served) -> bool:
        while True:
            waiting = [each.kept for each in await self._inbox.next_for(served.uid)]
            orders = await self._inbox.orders(served.uid)
            if not waiting and not orders:
                return True
            waiting, is_later = await self._admitted(served, waiting)
            if not waiting and not orders:
                if is_later:
                    return False
                continue
            first = next(iter([*waiting, *orders]))
            stood = served.bridge.status.value
            link = await self._waker.awake(served, first)
            if served.bridge.status.value is not stood:
                continue  # that took a while, in which people may have changed their minds
            try:
                tasks = [self._hand_over(served, link.client, kept) for kept in waiting]
                done = await asyncio.gather(*tasks)
                for order in orders:
                    done.append(await self._carry_out(served, link.client, order))
            except Refusal as refusal:
                if refusal.status is not Status.UNAVAILABLE:
                    raise
                await _gone(served, link)
                continue
            if _Done.YES not in done:
                return False

    async def _hand_over(self, served: Served, client: SessionClient, kept: Kept) -> _Done:
        """One message: it is with the runner, or its author knows why not, or it waits."""
        try:
            submission = await self._submission(served, client, kept)
        except _NotRun as reason:
            return await self._refuse(kept, reason.reason, reason.sentence)
        except ChatError as error:
            if error.fault is Fault.GONE:
                why = "A file of this message is gone, so it was not run; send it again."
                return await self._refuse(kept, "FileGone", why)
            _log.warning("discord not asked", message_id=kept.message_id, error=str(error))
            return _Done.LATER
        except Refusal as refusal:
            return await self._not_taken(kept, refusal)
        return await self._submit(client, kept, submission)

    async def _submission(self, served: Served, client: SessionClient, kept: Kept) -> Submission:
        """What the runner gets, once its files are there; raises _NotRun."""
        message, author = kept.message, kept.message.asker
        parsed = self._parsed(message.content)
        told = await self._admission(served, kept, parsed)
        if told.refusal:
            raise _NotRun("NotAllowed", told.refusal)
        if not isinstance(parsed, ToAgent):
            raise _NotRun("Command", "")  # of some time ago: nobody waits for its answer any more
        if not message.content.strip() and not message.attachments:
            raise _NotRun("Empty", "")
        text = parsed.text if parsed.text.strip() else "(see the attached files)"
        return Submission(
            conversation_id=kept.conversation,
            message_id=kept.message_id,
            kind=parsed.kind,
            text=quoted(message, text) if parsed.kind is MessageKind.TEXT else text,
            author=Actor(author.user_id, author.display_name, "discord"),
            attachment_ids=await self._bring_files(client, kept),
            allowed_models=told.models,
        )

    def _parsed(self, content: str) -> ToAgent | ToGateway | Reply:
        """What a text is without the mention of us, which says only that it is for us."""
        return commands.parse(re.sub(rf"^\s*<@!?{re.escape(self._me() or '-')}>\s*", "", content))

    async def _submit(self, client: SessionClient, kept: Kept, submission: Submission) -> _Done:
        self._show(kept, submission)
        try:
            answer = await client.submit(submission)
        except Refusal as refusal:
            return await self._not_taken(kept, refusal)
        # What our own store refuses from here on is no word of the runner's, which has it.
        served = self._served()
        if served is not None:
            served.bridge.accepted(kept.message_id)
        await self._inbox.submitted(
            kept.message_id, version=kept.version, is_duplicate=answer.duplicate
        )
        self._metrics.handed_over(self._clock() - time_of(kept.message_id))
        _log.debug("message handed over", message_id=kept.message_id)
        return _Done.YES

    def _show(self, kept: Kept, submission: Submission) -> None:
        """Whoever follows at a terminal reads the question before its turn, and once."""
        served = self._served()
        if served is None or kept.message_id in self._shown:
            return
        self._shown.append(kept.message_id)
        served.bridge.board.post(
            GatewayNotice(
                code=NoticeCode.ASKED,
                text=submission.text,
                conversation_id=kept.conversation,
                message_id=kept.message_id,
                author=submission.author,
            )
        )

    async def _not_taken(self, kept: Kept, refusal: Refusal) -> _Done:
        """What a runner's refusal of a message or of its file means for the message."""
        if refusal.status is Status.UNAVAILABLE:
            raise refusal
        if refusal.status is Status.RESOURCE_EXHAUSTED:
            return _Done.LATER  # a full queue, or a full disk, which the courier tells of
        return await self._refuse(kept, refusal.reason, refusal.message)

    async def _admission(self, served: Served, kept: Kept, text: _Text) -> Admission:
        """Whether its author may ask here, or still; raises ChatError where nobody knows now."""
        return await admission(
            served,
            kept.message.asker,
            text,
            guild_id=kept.message.place.guild_id,
            members=self._members,
        )

    async def _admitted(self, served: Served, waiting: Sequence[Kept]) -> tuple[list[Kept], bool]:
        """Those for which a bridge may be woken, and whether others are to be looked at later.

        Who may not ask is told so here, before anything is done for them.
        """
        found, is_later = list[Kept](), False
        for kept in waiting:
            try:
                told = await self._admission(served, kept, self._parsed(kept.message.content))
            except ChatError as error:
                _log.warning("roles not known", message_id=kept.message_id, error=str(error))
                is_later = True
                continue
            if told.refusal:
                await self._refuse(kept, "NotAllowed", told.refusal)
            else:
                found.append(kept)
        return found, is_later

    async def _bring_files(self, client: SessionClient, kept: Kept) -> tuple[str, ...]:
        """Uploads what came with a message; the links that were told with it expire."""
        message = kept.message
        if not message.attachments:
            return ()
        try:
            fresh = await self._files.attachments(*stands_at(message))
        except ChatError as error:
            if error.fault is Fault.FORBIDDEN and error.code:
                raise _NotRun("FilesForbidden", _NO_HISTORY) from error
            raise
        if message.sponsor is not None:  # who had it run has seen these files, and no others
            seen = {each.attachment_id for each in message.attachments}
            fresh = [each for each in fresh if each.attachment_id in seen]
        for file in fresh:
            if file.size > LARGEST_FILE_BYTES:
                raise _NotRun(
                    "FileTooLarge",
                    f"{as_code(file.name)} is larger than {LARGEST_FILE_BYTES >> 20} MiB, so this"
                    " was not run; send a smaller one, or put it into the repository.",
                )
            try:
                data = await self._files.content(file.url, largest_bytes=LARGEST_FILE_BYTES)
            except ChatError as error:
                if error.fault in {Fault.FORBIDDEN, Fault.REJECTED}:
                    why = f"{as_code(file.name)} can't be fetched, so this was not run: {error}"
                    raise _NotRun("FileRefused", why) from error
                raise
            upload = Upload(file.name, file.media_type, data)
            await client.upload(kept.conversation, kept.message_id, file.attachment_id, upload)
        return tuple(file.attachment_id for file in fresh)

    async def _refuse(self, kept: Kept, reason: str, why: str) -> _Done:
        name, channel = f"refused {kept.message_id}", kept.message.place.channel_id
        said = sentence(name, channel, why, reply_to=kept.message_id) if why else ()
        await self._inbox.refuse(kept.message_id, reason=reason, say=said)
        _log.info("message refused", message_id=kept.message_id, reason=reason)
        return _Done.YES

    # --------------------------------------------------------------- wishes

    async def _carry_out(self, served: Served, client: SessionClient, kept: Kept) -> _Done:
        """Tells the runner of an edit or a deletion that came after the message had gone over."""
        if kept.state is InboxState.ENDED:
            await self._too_late(kept)
            return _Done.YES
        try:
            if kept.wish is Wish.WITHDRAW:
                await client.withdraw(kept.message_id)
            else:
                parsed = self._parsed(kept.message.content)
                text = parsed.text if isinstance(parsed, ToAgent) else kept.message.content
                # What was a command of the agent's stays one, whatever it says now.
                told = await self._admission(
                    served, kept, ToAgent(MessageKind.AGENT_COMMAND, text.strip())
                )
                if told.refusal:
                    await client.withdraw(kept.message_id)
                    await self._not_edited(kept, told.refusal)
                    return _Done.YES
                await client.amend(kept.message_id, text)
        except ChatError as error:
            _log.warning("roles not known", message_id=kept.message_id, error=str(error))
            return _Done.LATER
        except Refusal as refusal:
            if refusal.status is Status.UNAVAILABLE:
                raise
            if refusal.reason == "UNKNOWN_MESSAGE" and kept.wish is Wish.WITHDRAW:
                await self._inbox.carried_out(kept.message_id, version=kept.version)
            else:
                await self._too_late(kept)
            return _Done.YES
        await self._inbox.carried_out(kept.message_id, version=kept.version)
        return _Done.YES

    async def _not_edited(self, kept: Kept, why: str) -> None:
        channel = kept.message.place.channel_id
        text = f"{why} The message was taken back."
        said = sentence(f"refused {kept.message_id}", channel, text, reply_to=kept.message_id)
        await self._inbox.too_late(kept.message_id, say=said)

    async def _too_late(self, kept: Kept) -> None:
        what = "is deleted" if kept.wish is Wish.WITHDRAW else "was edited"
        text = f"That message {what}, but the agent had begun with it; `/cancel` stops it."
        channel = kept.message.place.channel_id
        said = sentence(f"too late {kept.message_id}", channel, text, reply_to=kept.message_id)
        await self._inbox.too_late(kept.message_id, say=said if kept.reason != MOVED else ())


async def _gone(served: Served, link: RunnerLink) -> None:
    """Waits until a runner that took nothing more is no longer the bridge's."""
    try:
        async with asyncio.timeout(_AGAIN_SECONDS):
            await served.bridge.status.until(lambda status: status.link is not link)
    except TimeoutError:
        pass  # it may only have been busy: the same runner is asked again
