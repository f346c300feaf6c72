"""One connection to the websocket gateway: the protocol from hello to close."""

from __future__ import annotations

import asyncio
import json
import zlib
from collections import deque
from typing import Any

from aiohttp import WSMsgType, web

from tests.fakes.discord.model import Application, Json
from tests.fakes.discord.payloads import guild_create_json, member_json, user_json
from tests.fakes.discord.sessions import (
    GUILD_MEMBERS,
    GUILD_PRESENCES,
    KNOWN_INTENTS,
    MESSAGE_CONTENT,
    Session,
    Shard,
)
from tests.fakes.discord.wires import Wires
from tests.fakes.discord.world import World

_HEARTBEAT, _IDENTIFY, _PRESENCE, _VOICE, _RESUME, _MEMBERS = 1, 2, 3, 4, 6, 8
_MAX_PAYLOAD = 4096
_A_MINUTE = 120
_RECONNECT, _INVALID_SESSION, _HELLO, _ACK = 7, 9, 10, 11


class CloseSocket(Exception):
    """The connection ends with one of the gateway's codes."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(f"{code} {reason}")
        self.code = code
        self.reason = reason


class Connection:
    """A socket; its writer task alone writes, so that nothing overtakes."""

    def __init__(
        self,
        *,
        world: World,
        wires: Wires,
        resume_url: str,
        guilds_per_shard: int,
    ) -> None:
        self.session: Session | None = None
        self._world = world
        self._sessions = wires.sessions
        self._wires = wires
        self._resume_url = resume_url
        self._guilds_per_shard = guilds_per_shard
        self._outbox: asyncio.Queue[str] = asyncio.Queue()
        self._dispatches: asyncio.Queue[str] = asyncio.Queue()
        self._received: deque[float] = deque(maxlen=_A_MINUTE + 1)
        self._socket = web.WebSocketResponse(max_msg_size=4096 * 4, autoping=True, timeout=0.5)
        self._transport: asyncio.Transport | None = None

    async def serve(self, http: web.Request) -> web.WebSocketResponse:
        """Speak the protocol until either side ends."""
        compressed = http.query.get("compress")
        zipped = zlib.compressobj() if compressed == "zlib-stream" else None
        await self._socket.prepare(http)
        self._transport = http.transport
        self._wires.connections.append(self)
        tasks = [asyncio.create_task(self._write(zipped)), asyncio.create_task(self._pump())]
        try:
            if http.query.get("v", "10") != "10":
                raise CloseSocket(4012, "Invalid API version")
            if compressed not in (None, "zlib-stream"):
                raise CloseSocket(4002, f"{compressed} is not imitated")
            interval_ms = int(self._wires.heartbeat_seconds * 1000)
            self._put({"op": _HELLO, "d": {"heartbeat_interval": interval_ms}})
            await self._read()
        except CloseSocket as closed:
            await self.close(closed.code, closed.reason)
        finally:
            self._wires.connections.remove(self)
            self._leave()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        return self._socket

    async def close(self, code: int, reason: str = "") -> None:
        """End the connection with a code."""
        self._leave()
        await self._socket.close(code=code, message=reason.encode())

    def cut(self) -> None:
        """End the connection without a word."""
        self._leave()
        if self._transport is not None:
            self._transport.abort()

    def ask_to_reconnect(self) -> None:
        """Send op 7."""
        self._put({"op": _RECONNECT, "d": None})

    def invalidate(self, *, is_resumable: bool) -> None:
        """Send op 9; a session that can't be resumed is gone."""
        if self.session is not None and not is_resumable:
            self._sessions.all.pop(self.session.id, None)
        self._put({"op": _INVALID_SESSION, "d": is_resumable})

    def ask_for_heartbeat(self) -> None:
        """Send op 1."""
        self._put({"op": _HEARTBEAT, "d": None})

    def _leave(self) -> None:
        if self.session is not None and self.session.send == self._dispatch:
            self.session.send = None
            self.session.left_at = self._world.clock.monotonic()
        self._wires.changes.note()

    def _put(self, payload: Json) -> None:
        self._outbox.put_nowait(json.dumps({"s": None, "t": None} | payload))

    def _dispatch(self, text: str) -> None:
        self._dispatches.put_nowait(text)

    async def _pump(self) -> None:
        """Let dispatches through while nobody holds them; heartbeats go past them."""
        while True:
            text = await self._dispatches.get()
            await self._wires.dispatches.wait()
            self._outbox.put_nowait(text)

    async def _write(self, zipped: Any) -> None:
        while True:
            text = await self._outbox.get()
            try:
                if zipped is None:
                    await self._socket.send_str(text)
                else:
                    data = zipped.compress(text.encode()) + zipped.flush(zlib.Z_SYNC_FLUSH)
                    await self._socket.send_bytes(data)
            except ConnectionError:
                return

    async def _read(self) -> None:
        async for message in self._socket:
            if message.type is not WSMsgType.TEXT or len(message.data) > _MAX_PAYLOAD:
                raise CloseSocket(4002, "Error while decoding payload.")
            self._count()
            try:
                payload = json.loads(message.data)
                op, data = payload["op"], payload.get("d")
            except (ValueError, KeyError, TypeError):
                raise CloseSocket(4002, "Error while decoding payload.") from None
            await self._handle(op, data)

    def _count(self) -> None:
        """Refuse more than Discord's 120 payloads a minute."""
        now = self._world.clock.monotonic()
        self._received.append(now)
        if len(self._received) > _A_MINUTE and now - self._received[0] < 60:
            raise CloseSocket(4008, "Rate limited.")

    async def _handle(self, op: int, data: Any) -> None:
        if op == _HEARTBEAT:
            self._wires.heartbeats += 1
            if not self._wires.withholds_acks:
                self._put({"op": _ACK, "d": None})
            self._wires.changes.note()
        elif op == _IDENTIFY:
            self._identify(data)
        elif op == _RESUME:
            self._resume(data)
        elif self.session is None:
            raise CloseSocket(4003, "Not authenticated.")
        elif op == _MEMBERS:
            self._send_members(self.session, data)
        elif op not in (_PRESENCE, _VOICE):
            raise CloseSocket(4001, "Unknown opcode.")

    def _identify(self, data: Json) -> None:
        if self.session is not None:
            raise CloseSocket(4005, "Already authenticated.")
        application = self._world.application
        if data.get("token") != application.token:
            raise CloseSocket(4004, "Authentication failed.")
        shard = self._shard_of(data.get("shard"))
        intents = data.get("intents")
        check_intents(intents, application)
        if not self._may_identify():
            self._put({"op": _INVALID_SESSION, "d": False})
            return
        session = self.session = self._sessions.open(intents=int(intents or 0), shard=shard)
        self._wires.identifies += 1
        guilds = [guild for guild in self._world.guilds.values() if shard.serves(guild.id)]
        session.send = self._dispatch
        session.dispatch("READY", self._ready(session, [guild.id for guild in guilds]))
        for guild in guilds:
            bot = guild.members.get(application.user.id)
            if bot is not None and session.intents & 1:
                with_members = bool(session.intents & GUILD_PRESENCES)
                told = guild_create_json(guild, bot, with_members=with_members)
                session.dispatch("GUILD_CREATE", told)
        self._wires.changes.note()

    def _may_identify(self) -> bool:
        """Whether the last identify was long enough ago."""
        now, last = self._world.clock.monotonic(), self._wires.identified_at
        if last is not None and now - last < self._wires.identify_seconds:
            self._wires.refused_identifies += 1
            self._wires.changes.note()
            return False
        self._wires.identified_at = now
        return True

    def _shard_of(self, told: object) -> Shard:
        match told:
            case None:
                shard = Shard()
            case [int(number), int(count)] if 0 <= number < count:
                shard = Shard(number, count)
            case _:
                raise CloseSocket(4010, "Invalid shard.")
        served = sum(shard.serves(guild_id) for guild_id in self._world.guilds)
        if served > self._guilds_per_shard:
            raise CloseSocket(4011, "Sharding required.")
        return shard

    def _ready(self, session: Session, guild_ids: list[int]) -> Json:
        application = self._world.application
        return {
            "v": 10,
            "user": user_json(application.user) | {"verified": True, "mfa_enabled": False},
            "guilds": [{"id": str(guild_id), "unavailable": True} for guild_id in guild_ids],
            "session_id": session.id,
            "session_type": "normal",
            "resume_gateway_url": self._resume_url,
            "shard": [session.shard.number, session.shard.count],
            "application": {"id": str(application.id), "flags": application.flags},
            "private_channels": [],
            "presences": [],
            "relationships": [],
        }

    def _resume(self, data: Json) -> None:
        if self.session is not None:
            raise CloseSocket(4005, "Already authenticated.")
        if data.get("token") != self._world.application.token:
            raise CloseSocket(4004, "Authentication failed.")
        session = self._sessions.find(data.get("session_id"), now=self._world.clock.monotonic())
        sequence = data.get("seq")
        missed = None
        if session is not None and isinstance(sequence, int):
            if sequence > session.sequence:
                raise CloseSocket(4007, "Invalid seq.")
            missed = session.missed_since(sequence)
        if session is None or missed is None or self._wires.refuses_resume:
            self._wires.refused_resumes += 1
            if session is not None:
                self._sessions.all.pop(session.id, None)
            self._put({"op": _INVALID_SESSION, "d": False})
            self._wires.changes.note()
            return
        self.session = session
        session.resumes += 1
        session.left_at = None
        for text in missed:
            self._dispatch(text)
        session.send = self._dispatch
        session.dispatch("RESUMED", {"_trace": []})
        self._wires.changes.note()

    def _send_members(self, session: Session, data: Json) -> None:
        guild = self._world.guilds.get(int(data["guild_id"]))
        if guild is None:
            return
        found = list(guild.members.values())
        unknown: list[str] = []
        if "user_ids" in data:
            told = data["user_ids"]
            wanted = [int(item) for item in (told if isinstance(told, list) else [told])]
            found = [guild.members[user_id] for user_id in wanted if user_id in guild.members]
            unknown = [str(user_id) for user_id in wanted if user_id not in guild.members]
        elif data.get("query") or data.get("limit"):
            prefix = str(data.get("query") or "").lower()
            named = [member for member in found if member.user.name.lower().startswith(prefix)]
            found = named[: int(data.get("limit") or 100)]
        elif not session.intents & GUILD_MEMBERS:
            raise CloseSocket(4014, "Disallowed intent(s).")
        parts = [found[start : start + 1000] for start in range(0, len(found), 1000)] or [[]]
        for index, part in enumerate(parts):
            chunk: Json = {
                "guild_id": str(guild.id),
                "members": [member_json(member) for member in part],
                "chunk_index": index,
                "chunk_count": len(parts),
                "not_found": unknown,
            }
            if data.get("nonce"):
                chunk["nonce"] = data["nonce"]
            session.dispatch("GUILD_MEMBERS_CHUNK", chunk)


def check_intents(intents: object, application: Application) -> None:
    """Refuse unknown bits, and privileged ones that the application's owner has not switched on."""
    if not isinstance(intents, int) or intents & ~KNOWN_INTENTS:
        raise CloseSocket(4013, "Invalid intent(s).")
    allowed = {
        GUILD_MEMBERS: application.has_members_intent,
        GUILD_PRESENCES: application.has_presence_intent,
        MESSAGE_CONTENT: application.has_content_intent,
    }
    if any(intents & bit and not is_on for bit, is_on in allowed.items()):
        raise CloseSocket(4014, "Disallowed intent(s).")
