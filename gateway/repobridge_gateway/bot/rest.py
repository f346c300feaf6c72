"""Everything that we do to Discord by its REST API, paced, with what became of it.

Payloads are our own and go through the library's HTTP client, which keeps each route's limit: a
message of ours needs its nonce and its components as they were stored, and no view in memory.
"""

from __future__ import annotations

import asyncio
import io
import json
from collections.abc import Callable, Mapping, Sequence
from itertools import islice
from typing import Any

import discord
from discord.http import HTTPClient, Route

from repobridge_gateway.bot.faults import failures_as_chat_errors
from repobridge_gateway.bot.payloads import (
    Json,
    archive_from,
    attachment_from,
    edit_payload,
    message_from,
    message_payload,
    modal_payload,
    place_from,
)
from repobridge_gateway.bot.routes import message_route, reaction_route
from repobridge_gateway.chat import (
    ArchivePage,
    Attachment,
    ChatMessage,
    Interaction,
    Person,
    Place,
)
from repobridge_gateway.pacer import Lane, Pacer, Priority
from repobridge_gateway.render.measure import shortened
from repobridge_gateway.render.pieces import MESSAGE_UNITS, File, Modal, Piece

CALL_SECONDS = 60.0
"""One call, with its waiting for the limit of its route."""
_HISTORY = 100
_ARCHIVED = 100
_MESSAGE, _DEFERRED, _DEFERRED_UPDATE, _UPDATE, _CHOICES, _MODAL = 4, 5, 6, 7, 8, 9
_CHOICES_AT_MOST = 25


class Rest:
    """Discord's REST API as one bot sees it; each call raises ChatError."""

    def __init__(
        self,
        http: HTTPClient,
        pacer: Pacer,
        *,
        told: Callable[[str], Place | None] = lambda channel_id: None,
        named: Callable[[str], str] = lambda channel_id: "",
    ) -> None:
        """`told` says where a channel is that the websocket has told of, and `named` its name."""
        self._named = named
        self._http = http
        self._pacer = pacer
        self._told = told
        self.me = ""
        """Our own user's id, once it is known."""
        self.application_id = ""

    # ------------------------------------------------------------- messages

    async def send(self, channel_id: str, piece: Piece, *, nonce: str, priority: Priority) -> str:
        """Creates a message; its id. The same nonce within minutes makes no second one."""
        route = Route("POST", "/channels/{channel_id}/messages", channel_id=channel_id)
        payload = message_payload(piece, nonce=nonce)
        made = await self._paced(route, priority, payload=payload, files=piece.files)
        return str(made["id"])

    async def edit(self, channel_id: str, message_id: str, piece: Piece) -> None:
        """Changes a message; what waits of the same message and is older is left out (Replaced)."""
        route = message_route("PATCH", channel_id, message_id)
        payload = edit_payload(piece)

        async def call() -> None:
            await self._request(route, payload=payload)

        lane = Lane(channel_id, route.key)
        await self._pacer.newest(lane, message_id, Priority.EDIT, call)

    async def show(self, channel_id: str, message_id: str, look: Callable[[], Piece]) -> Piece:
        """Changes a message to what it looks like when it is this call's turn; that look.

        What waits of the same message and is older is left out (Replaced).
        """
        route = message_route("PATCH", channel_id, message_id)

        async def call() -> Piece:
            piece = look()
            await self._request(route, payload=edit_payload(piece))
            return piece

        lane = Lane(channel_id, route.key)
        return await self._pacer.newest(lane, message_id, Priority.EDIT, call)

    async def settle(self, channel_id: str, message_id: str, piece: Piece) -> None:
        """Changes a message for the last time, with the urgency of a notice."""
        route = message_route("PATCH", channel_id, message_id)
        await self._paced(route, Priority.NOTICE, payload=edit_payload(piece))

    async def delete(self, channel_id: str, message_id: str) -> None:
        """Removes a message of ours."""
        await self._paced(message_route("DELETE", channel_id, message_id), Priority.NOTICE)

    async def react(self, channel_id: str, message_id: str, emoji: str) -> None:
        """Adds a reaction of ours."""
        await self._paced(reaction_route("PUT", channel_id, message_id, emoji), Priority.REACTION)

    async def unreact(self, channel_id: str, message_id: str, emoji: str) -> None:
        """Takes a reaction of ours back."""
        route = reaction_route("DELETE", channel_id, message_id, emoji)
        await self._paced(route, Priority.REACTION)

    async def typing(self, channel_id: str) -> None:
        """Shows that we write, for ten seconds."""
        route = Route("POST", "/channels/{channel_id}/typing", channel_id=channel_id)
        await self._paced(route, Priority.REACTION)

    # -------------------------------------------------------------- reading

    async def after(
        self, place: Place, message_id: str, *, limit: int = _HISTORY
    ) -> tuple[Sequence[ChatMessage], str]:
        """What people wrote after a message, oldest first, and the last id of the page.

        The id is empty at the end of the channel: a page may have nothing of people in it.
        """
        raw = await self._history(place.channel_id, {"after": message_id, "limit": limit})
        found = sorted(raw, key=lambda each: int(each["id"]))
        of_people = [message_from(each, place, me=self.me) for each in found]
        last = str(found[-1]["id"]) if len(found) == limit else ""
        return [each for each in of_people if each is not None], last

    async def own_after(self, channel_id: str, message_id: str) -> tuple[Sequence[Json], str]:
        """Our own messages after one, oldest first, and the last id of the page, as `after`."""
        raw = await self._history(channel_id, {"after": message_id, "limit": _HISTORY})
        found = sorted(raw, key=lambda each: int(each["id"]))
        last = str(found[-1]["id"]) if len(found) == _HISTORY else ""
        return [each for each in found if str(each["author"]["id"]) == self.me], last

    async def _history(self, channel_id: str, params: Json) -> list[Json]:
        route = Route("GET", "/channels/{channel_id}/messages", channel_id=channel_id)
        found: list[Json] = await self._paced(route, Priority.READING, params=params)
        return found

    async def attachments(self, channel_id: str, message_id: str) -> Sequence[Attachment]:
        """The files of a message, with links that are good now."""
        raw = await self._paced(message_route("GET", channel_id, message_id), Priority.READING)
        return tuple(map(attachment_from, raw.get("attachments") or ()))

    async def message(self, place: Place, message_id: str) -> ChatMessage | None:
        """What somebody wrote; None for what no person did. Its author has no roles."""
        route = message_route("GET", place.channel_id, message_id)
        return message_from(await self._paced(route, Priority.READING), place, me=self.me)

    async def text(self, channel_id: str, message_id: str) -> str:
        """What a message says."""
        raw = await self._paced(message_route("GET", channel_id, message_id), Priority.READING)
        return str(raw.get("content") or "")

    async def content(self, url: str, *, largest_bytes: int) -> bytes:
        """A file, at most so many bytes of it."""
        with failures_as_chat_errors():
            async with asyncio.timeout(CALL_SECONDS):
                data = await self._http.get_from_cdn(url)
        return data[:largest_bytes]

    async def member(self, guild_id: str, user_id: str, *, now: float) -> Person:
        """Somebody as they are in a guild now."""
        route = Route(
            "GET", "/guilds/{guild_id}/members/{user_id}", guild_id=guild_id, user_id=user_id
        )
        raw = await self._paced(route, Priority.READING)
        user = raw["user"]
        name = raw.get("nick") or user.get("global_name") or user["username"]
        return Person(
            user_id=user_id,
            display_name=str(name),
            role_ids=frozenset(map(str, raw["roles"])),
            as_of=now,
        )

    async def place(self, channel_id: str) -> Place:
        """Where a channel is, which never changes; asked for only where nobody has told us."""
        if known := self._told(channel_id):
            return known
        route = Route("GET", "/channels/{channel_id}", channel_id=channel_id)
        return place_from(await self._paced(route, Priority.READING), me=self.me)

    def name_of(self, channel_id: str) -> str:
        """What a channel or thread is called, as far as the websocket has told; else empty."""
        return self._named(channel_id)

    # -------------------------------------------------------------- threads

    async def open_thread(self, channel_id: str, message_id: str, name: str) -> Place:
        """Makes a thread of a message."""
        route = Route(
            "POST",
            "/channels/{channel_id}/messages/{message_id}/threads",
            channel_id=channel_id,
            message_id=message_id,
        )
        made = await self._paced(route, Priority.NOTICE, payload={"name": name})
        return place_from(made, me=self.me)

    async def bring(self, thread_id: str, user_id: str) -> None:
        """Makes somebody a member of a thread."""
        route = Route(
            "PUT",
            "/channels/{channel_id}/thread-members/{user_id}",
            channel_id=thread_id,
            user_id=user_id,
        )
        await self._paced(route, Priority.REACTION)

    async def revive(self, thread_id: str) -> None:
        """Takes a thread out of the archive."""
        route = Route("PATCH", "/channels/{channel_id}", channel_id=thread_id)
        await self._paced(route, Priority.NOTICE, payload={"archived": False})

    async def active_threads(self, guild_id: str) -> Sequence[Place]:
        """The threads of a guild that are not archived."""
        route = Route("GET", "/guilds/{guild_id}/threads/active", guild_id=guild_id)
        raw = await self._paced(route, Priority.READING)
        return tuple(place_from(each, me=self.me) for each in raw["threads"])

    async def archived_threads(self, channel_id: str, *, before: str = "") -> ArchivePage:
        """The public threads of a channel that were archived before a time, the last one first."""
        route = Route(
            "GET", "/channels/{channel_id}/threads/archived/public", channel_id=channel_id
        )
        return await self._archived(route, before)

    async def archived_with_us(self, channel_id: str, *, before: str = "") -> ArchivePage:
        """The archived private threads we are in that were made before one, the last first."""
        route = Route(
            "GET",
            "/channels/{channel_id}/users/@me/threads/archived/private",
            channel_id=channel_id,
        )
        return await self._archived(route, before)

    async def _archived(self, route: Route, before: str) -> ArchivePage:
        params: Json = {"limit": _ARCHIVED} | ({"before": before} if before else {})
        raw = await self._paced(route, Priority.READING, params=params)
        return archive_from(raw, me=self.me)

    # --------------------------------------------------------- interactions

    async def say_privately(self, interaction: Interaction, text: str) -> None:
        """Answers an interaction with a sentence that only its person sees."""
        await self._answer(interaction, _MESSAGE, _private(text))

    async def add_privately(self, interaction: Interaction, text: str) -> None:
        """Says a sentence that only its person sees, after the first answer, within 15 minutes."""
        route = Route(
            "POST",
            "/webhooks/{application_id}/{token}",
            application_id=self.application_id,
            token=interaction.token,
        )
        with failures_as_chat_errors():
            await self._send(route, payload=_private(text))

    async def defer(self, interaction: Interaction, *, is_private: bool = True) -> None:
        """Acknowledges a command whose answer comes later, by `follow`."""
        flags = message_payload(Piece(), is_private=is_private)["flags"]
        await self._answer(interaction, _DEFERRED, {"flags": flags})

    async def acknowledge(self, interaction: Interaction) -> None:
        """Acknowledges a click: the message changes later, or not at all."""
        await self._answer(interaction, _DEFERRED_UPDATE, None)

    async def update(self, interaction: Interaction, piece: Piece) -> None:
        """Changes the message that was clicked."""
        await self._answer(interaction, _UPDATE, edit_payload(piece))

    async def ask(self, interaction: Interaction, modal: Modal) -> None:
        """Opens a form."""
        await self._answer(interaction, _MODAL, modal_payload(modal))

    async def complete(self, interaction: Interaction, choices: Mapping[str, str]) -> None:
        """Offers what an option may be completed to: each as it is shown, and its value."""
        first = islice(choices.items(), _CHOICES_AT_MOST)
        offered = [{"name": shown, "value": value} for shown, value in first]
        await self._answer(interaction, _CHOICES, {"choices": offered})

    async def follow(self, interaction: Interaction, piece: Piece) -> None:
        """Fills in the answer to a deferred command, within 15 minutes."""
        route = Route(
            "PATCH",
            "/webhooks/{application_id}/{token}/messages/@original",
            application_id=self.application_id,
            token=interaction.token,
        )
        payload = message_payload(piece)
        del payload["flags"]
        with failures_as_chat_errors():
            await self._send(route, payload=payload, files=piece.files)

    async def _answer(self, interaction: Interaction, kind: int, data: Json | None) -> None:
        # Not paced: these have no part in the limit of all routes, and 3 seconds to be done.
        route = Route(
            "POST",
            "/interactions/{interaction_id}/{token}/callback",
            interaction_id=interaction.interaction_id,
            token=interaction.token,
        )
        payload: Json = {"type": kind}
        with failures_as_chat_errors():
            await self._send(route, payload=payload | ({"data": data} if data else {}), files=())

    async def register(self, guild_id: str, commands: Sequence[Json]) -> None:
        """Makes these the commands of a guild, and no others."""
        route = Route(
            "PUT",
            "/applications/{application_id}/guilds/{guild_id}/commands",
            application_id=self.application_id,
            guild_id=guild_id,
        )
        await self._paced(route, Priority.NOTICE, payload=list(commands))

    # ---------------------------------------------------------------- calls

    async def _paced(
        self,
        route: Route,
        priority: Priority,
        *,
        payload: Any = None,
        files: Sequence[File] = (),
        params: Json | None = None,
    ) -> Any:
        channel = str(route.channel_id or route.guild_id or "")

        async def call() -> Any:
            return await self._request(route, payload=payload, files=files, params=params)

        return await self._pacer.do(Lane(channel, route.key), priority, call)

    async def _request(
        self,
        route: Route,
        *,
        payload: Any = None,
        files: Sequence[File] = (),
        params: Json | None = None,
    ) -> Any:
        with failures_as_chat_errors():
            return await self._send(route, payload=payload, files=files, params=params)

    async def _send(
        self,
        route: Route,
        *,
        payload: Any = None,
        files: Sequence[File] = (),
        params: Json | None = None,
    ) -> Any:
        options: dict[str, Any] = {"params": params} if params else {}
        async with asyncio.timeout(CALL_SECONDS):
            if not files:
                if payload is not None:
                    options["json"] = payload
                return await self._http.request(route, **options)
            told = [{"id": number, "filename": file.name} for number, file in enumerate(files)]
            form: list[Json] = [
                {"name": "payload_json", "value": json.dumps(payload | {"attachments": told})}
            ]
            sent = [discord.File(io.BytesIO(file.data), filename=file.name) for file in files]
            form += [
                {
                    "name": f"files[{number}]",
                    "value": opened.fp,
                    "filename": file.name,
                    "content_type": file.media_type or "application/octet-stream",
                }
                for number, (file, opened) in enumerate(zip(files, sent, strict=True))
            ]
            return await self._http.request(route, form=form, files=sent, **options)


def _private(text: str) -> Json:
    """A sentence to one person, cut where it is longer than a message."""
    return message_payload(Piece(shortened(text, MESSAGE_UNITS)), is_private=True)
