"""A page to read and write in the imitation's channels with a browser, as one person.

One websocket a browser: it gets the channel that it looks at after every change, and sends what
the person does.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from aiohttp import WSMsgType, web

from tests.fakes.discord import permissions
from tests.fakes.discord.changes import Changes
from tests.fakes.discord.control import Discord
from tests.fakes.discord.forms import Forbidden
from tests.fakes.discord.model import Channel, ChannelType, Guild, Json, Message, MessageFlag
from tests.fakes.discord.payloads import stamp
from tests.fakes.discord.people import Person
from tests.fakes.discord.seen import Answer, SeenModal

_HTML = Path(__file__).with_name("page.html")
_SHOWN_MESSAGES = 200
_MAX_FRAME_BYTES = 64 * 1024 * 1024


class Page:
    """The page and its websocket."""

    def __init__(self, fake: Discord, guild: Guild, person: Person) -> None:
        self.fake = fake
        self.guild = guild
        self.person = person

    def attach(self, app: web.Application) -> None:
        """Add the page's routes."""
        app.router.add_get("/", self._show)
        app.router.add_get("/page", self._serve)

    async def _show(self, http: web.Request) -> web.Response:
        return web.Response(text=_HTML.read_text(), content_type="text/html")

    async def _serve(self, http: web.Request) -> web.WebSocketResponse:
        if http.headers.get("Origin") not in (None, f"{http.scheme}://{http.host}"):
            raise web.HTTPForbidden
        socket = web.WebSocketResponse(max_msg_size=_MAX_FRAME_BYTES)
        await socket.prepare(http)
        await Visit(self, socket).last()
        return socket


class Visit:
    """One open page."""

    def __init__(self, page: Page, socket: web.WebSocketResponse) -> None:
        self._page = page
        self._fake = page.fake
        self._person = page.person
        self._socket = socket
        self._channel: Channel | None = None
        self._form: Answer | None = None
        self._acts: Mapping[str, Callable[[Json], Awaitable[None]]] = {
            "open": self._open,
            "say": self._say,
            "edit": self._edit,
            "delete": self._delete,
            "react": self._react,
            "click": self._click,
            "select": self._select,
            "submit": self._submit,
            "command": self._command,
            "complete": self._complete,
            "thread": self._thread,
            "archive": self._archive,
        }

    async def last(self) -> None:
        """Show changes and take acts until the browser leaves."""
        writer = asyncio.create_task(self._write())
        acts: set[asyncio.Task[None]] = set()
        try:
            async for frame in self._socket:
                if frame.type is WSMsgType.TEXT:
                    act = asyncio.create_task(self._act(frame.json()))
                    acts.add(act)
                    act.add_done_callback(acts.discard)
        finally:
            for task in (writer, *acts):
                task.cancel()
            await asyncio.gather(writer, *acts, return_exceptions=True)

    async def _write(self) -> None:
        changes = self._fake.changes
        while True:
            count = changes.count
            await self._send(view=self._view())
            await changes.until(partial(_is_past, changes, count), timeout=None)

    async def _send(self, **told: object) -> None:
        with contextlib.suppress(ConnectionError):
            await self._socket.send_json(told)

    async def _act(self, told: Json) -> None:
        try:
            await self._acts[told["do"]](told)
        except Forbidden as why:
            await self._send(error=str(why))
        except (KeyError, ValueError, TypeError) as error:
            await self._send(error=f"not understood: {error!r}")

    async def _open(self, told: Json) -> None:
        self._channel = self._place(told)
        self._fake.changes.note()

    async def _say(self, told: Json) -> None:
        files = {item["name"]: base64.b64decode(item["data"]) for item in told.get("files", ())}
        reply_to = told.get("reply_to")
        answered = None if reply_to is None else int(reply_to)
        self._person.say(self._place(told), told["text"], files=files, reply_to=answered)

    async def _edit(self, told: Json) -> None:
        self._person.edit(int(told["message"]), told["text"])

    async def _delete(self, told: Json) -> None:
        self._person.delete(int(told["message"]))

    async def _react(self, told: Json) -> None:
        """Add a reaction, or take it away."""
        try:
            self._person.unreact(int(told["message"]), told["emoji"])
        except Forbidden:
            self._person.react(int(told["message"]), told["emoji"])

    async def _click(self, told: Json) -> None:
        await self._told(await self._person.click(int(told["message"]), told["custom_id"]))

    async def _select(self, told: Json) -> None:
        answer = await self._person.select(
            int(told["message"]), told["custom_id"], list(told["values"])
        )
        await self._told(answer)

    async def _submit(self, told: Json) -> None:
        if self._form is None:
            raise Forbidden("no form is open")
        await self._told(await self._person.submit(self._form, told["values"]))

    async def _command(self, told: Json) -> None:
        place = self._place(told)
        await self._told(await self._person.command(place, told["name"], **told["options"]))

    async def _complete(self, told: Json) -> None:
        answer = await self._person.autocomplete(
            self._place(told), told["name"], told["option"], told["typed"]
        )
        await self._send(choices={"option": told["option"], "of": answer.choices})

    async def _thread(self, told: Json) -> None:
        self._channel = self._person.open_thread(int(told["message"]), told["name"])
        self._fake.changes.note()

    async def _archive(self, told: Json) -> None:
        place = self._place(told)
        if place.thread is not None and place.thread.is_archived:
            self._person.unarchive(place)
        else:
            self._person.archive(place)

    async def _told(self, answer: Answer) -> None:
        """Show a form, or that nobody answered; messages show by themselves."""
        if answer.is_failed:
            await self._send(error="This interaction failed")
        elif answer.modal is not None:
            self._form = answer
            await self._send(form=form_json(answer.modal))

    def _place(self, told: Json) -> Channel:
        channel = self._fake.world.channels.get(int(told["channel"]))
        if channel is None or not permissions.can_see(self._person.member, channel):
            raise Forbidden("there is no such channel")
        return channel

    def _view(self) -> Json:
        """All that the page shows."""
        visible = [
            channel
            for channel in self._page.guild.channels.values()
            if channel.type is not ChannelType.CATEGORY
            and permissions.can_see(self._person.member, channel)
        ]
        if self._channel not in visible:
            self._channel = visible[0] if visible else None
        shown = [] if self._channel is None else self._messages(self._channel)
        members = self._page.guild.members.values()
        return {
            "guild": self._page.guild.name,
            "me": self._person.name,
            "is_online": bool(self._fake.gateway.connected),
            "names": {str(member.user.id): member.user.name for member in members},
            "channels": [channel_view(channel) for channel in visible],
            "channel": None if self._channel is None else str(self._channel.id),
            "messages": shown,
            "commands": self._commands(),
        }

    def _messages(self, channel: Channel) -> list[Json]:
        hidden = [
            message
            for message in self._fake.interactions.ephemeral
            if message.channel is channel and message.ephemeral_to == self._person.id
        ]
        messages = sorted([*channel.messages.values(), *hidden], key=lambda message: message.id)
        return [self._message(message) for message in messages[-_SHOWN_MESSAGES:]]

    def _message(self, message: Message) -> Json:
        told = self._fake.world.json_of(message)
        names = {user_id: member.user.name for user_id, member in self._page.guild.members.items()}
        answered = told.get("referenced_message")
        return {
            "id": told["id"],
            "author": message.author.name,
            "is_mine": message.author is self._person.member.user,
            "is_bot": message.author.is_bot,
            "type": told["type"],
            "content": told["content"],
            "at": stamp(message.created_at),
            "is_edited": message.edited_at is not None,
            "is_ephemeral": message.ephemeral_to is not None,
            "is_loading": bool(message.flags & MessageFlag.LOADING),
            "thread": told.get("thread", {}).get("id"),
            "answered": answered and {key: answered[key] for key in ("content", "author")},
            "files": told["attachments"],
            "embeds": told["embeds"],
            "rows": [row.get("components", []) for row in told["components"]],
            "reactions": {
                emoji: [names.get(user_id, "?") for user_id in users]
                for emoji, users in message.reactions.items()
            },
        }

    def _commands(self) -> list[Json]:
        interactions = self._fake.interactions
        scopes = (self._page.guild.id, None)
        return [
            {key: item[key] for key in ("name", "description", "options")}
            for scope in scopes
            for item in interactions.commands_in(scope)
            if item["type"] == 1
        ]


def _is_past(changes: Changes, count: int) -> bool:
    return changes.count != count


def channel_view(channel: Channel) -> Json:
    """A channel or thread in the list."""
    thread = channel.thread
    return {
        "id": str(channel.id),
        "name": channel.name,
        "parent": str(channel.parent.id) if thread is not None and channel.parent else None,
        "is_archived": thread is not None and thread.is_archived,
    }


def form_json(modal: SeenModal) -> Json:
    """A form for the browser."""
    inputs: list[dict[str, Any]] = [
        {
            "custom_id": item.custom_id,
            "label": item.label,
            "kind": item.kind,
            "is_required": item.is_required,
            "value": item.value,
            "options": dict(item.options),
            "max_length": item.max_length,
            "max_values": item.max_values,
        }
        for item in modal.inputs
    ]
    return {"title": modal.title, "inputs": inputs}
