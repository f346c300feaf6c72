"""Clicks in SQLite."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Any

from repobridge_gateway.clicks import Asked, Click, Clicked, Standing
from repobridge_gateway.requested import TURN
from repobridge_gateway.store import requests
from repobridge_gateway.store.chatjson import person_from_json, person_to_json
from repobridge_gateway.store.database import Database, Transaction

_CLICK = "c.interaction_id, c.ulid, c.person_json, c.verdict"


class SqliteClicks:
    """A `ClickStore`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def click(self, click: Click) -> Clicked:
        """Keeps a click if it is the first on its request."""
        return await self._database.write(lambda transaction: _click(transaction, click))

    async def standing(self, click: Click) -> Clicked:
        """What a click would come to."""
        return await self._database.read(lambda connection: _standing(connection, click))

    async def choose(self, click: Click) -> Clicked:
        """Keeps a part of an answer, which decides nothing yet."""
        return await self._database.write(lambda transaction: _choose(transaction, click))

    async def choices(self, ulid: str) -> Sequence[Click]:
        """The parts of an answer that were kept."""
        rows = await self._database.read(
            lambda connection: connection.execute(
                f"SELECT {_CLICK} FROM clicks AS c WHERE ulid = ? AND state = 'PART'"
                " ORDER BY changed_at, interaction_id",
                (ulid,),
            ).fetchall()
        )
        return [_click_of(row) for row in rows]

    async def end(self, ulid: str) -> None:
        """Ends a request of which no log will tell the end."""

        def act(transaction: Transaction) -> None:
            row = transaction.one("SELECT bridge, request_id FROM requests WHERE ulid = ?", (ulid,))
            if row is not None:
                requests.resolve(transaction, row[0], row[1])

        await self._database.write(act)

    async def undecided(self) -> Sequence[tuple[Click, Asked]]:
        """Clicks that won and are not carried out yet."""

        def query(connection: sqlite3.Connection) -> list[tuple[Click, Asked]]:
            rows = connection.execute(
                f"SELECT {requests.COLUMNS}, {_CLICK} FROM clicks AS c"
                " JOIN requests AS r ON r.ulid = c.ulid WHERE c.state = 'WON'"
                " ORDER BY c.interaction_id"
            )
            return [
                (_click_of(row[requests.WIDTH :]), requests.asked_of(row[: requests.WIDTH]))
                for row in rows
            ]

        return await self._database.read(query)

    async def decided(self, interaction_id: str) -> None:
        """Notes that a click was carried out."""

        def act(transaction: Transaction) -> None:
            transaction.execute(
                "UPDATE clicks SET state = 'DONE', changed_at = ?"
                " WHERE interaction_id = ? AND state = 'WON'",
                (transaction.now, int(interaction_id)),
            )

        await self._database.write(act, essential=True)

    async def released(self, interaction_id: str) -> None:
        """Lets others decide."""

        def act(transaction: Transaction) -> None:
            transaction.execute(
                "UPDATE clicks SET state = 'RELEASED', changed_at = ?"
                " WHERE interaction_id = ? AND state = 'WON'",
                (transaction.now, int(interaction_id)),
            )
            transaction.execute(
                "UPDATE requests SET winner = NULL WHERE winner = ? AND is_open = 1",
                (int(interaction_id),),
            )

        await self._database.write(act)

    async def asked(self, ulid: str) -> Asked | None:
        """An open request."""
        found = await self._database.read(
            lambda connection: requests.select(connection, "ulid = ? AND is_open = 1", (ulid,))
        )
        return found[0] if found else None

    async def turn(self, bridge: str, turn_id: str) -> Asked | None:
        """The row of a turn."""
        # The row's name is this prefix with the id of the message behind it.
        first = f"{TURN} {turn_id} "
        found = await self._database.read(
            lambda connection: requests.select(
                connection,
                "bridge = ? AND request_id >= ? AND request_id < ?",
                (bridge, first, f"{first}\U0010ffff"),
            )
        )
        return found[0] if found else None

    async def open_requests(self, bridge: str = "") -> Sequence[Asked]:
        """The open requests."""
        return await self._database.read(
            lambda connection: requests.select(
                connection, "is_open = 1 AND (bridge = ?1 OR ?1 = '')", (bridge,)
            )
        )

    async def stale_buttons(self) -> Sequence[Asked]:
        """Messages whose buttons are still to be taken away."""
        return await self._database.read(
            lambda connection: requests.select(
                connection, "is_open = 0 AND has_buttons = 1 AND message_id IS NOT NULL"
            )
        )

    async def buttons_gone(self, ulid: str) -> None:
        """Notes that they are."""

        def act(transaction: Transaction) -> None:
            transaction.execute(
                "UPDATE requests SET has_buttons = 0 WHERE ulid = ? AND is_open = 0", (ulid,)
            )

        await self._database.write(act)


def _click(transaction: Transaction, click: Click) -> Clicked:
    clicked = _standing(transaction, click)
    if clicked.standing is Standing.WON and clicked.is_new:
        _keep(transaction, click, state="WON")
        transaction.execute(
            "UPDATE requests SET winner = ? WHERE ulid = ?", (int(click.interaction_id), click.ulid)
        )
    return clicked


def _choose(transaction: Transaction, click: Click) -> Clicked:
    clicked = _standing(transaction, click)
    if clicked.standing is Standing.WON and clicked.is_new:
        _keep(transaction, click, state="PART")
    return clicked


def _standing(source: Transaction | sqlite3.Connection, click: Click) -> Clicked:
    """What a click comes to, without anything done."""
    row = source.execute(
        f"SELECT {requests.COLUMNS}, r.is_open, r.winner FROM requests AS r WHERE r.ulid = ?",
        (click.ulid,),
    ).fetchone()
    if row is None:
        return Clicked(standing=Standing.UNKNOWN)
    asked, (is_open, winner) = requests.asked_of(row), row[requests.WIDTH :]
    if winner is not None:
        first = _find(source, winner)
        is_same = winner == int(click.interaction_id)
        standing = Standing.WON if is_same else Standing.TAKEN
        return Clicked(standing=standing, is_new=not is_same, asked=asked, winner=first)
    if not is_open:
        return Clicked(standing=Standing.OVER, asked=asked)
    if _find(source, int(click.interaction_id)) is not None:
        # It could not decide once, and does not get another chance behind its writer's back.
        return Clicked(standing=Standing.OVER, is_new=False, asked=asked)
    return Clicked(standing=Standing.WON, asked=asked, winner=click)


def _keep(transaction: Transaction, click: Click, *, state: str) -> None:
    number = int(click.interaction_id)
    transaction.execute(
        "INSERT INTO clicks VALUES (?, ?, ?, ?, ?, ?)",
        (number, click.ulid, person_to_json(click.person), click.verdict, state, transaction.now),
    )


def _find(source: Transaction | sqlite3.Connection, interaction_id: int) -> Click | None:
    row = source.execute(
        f"SELECT {_CLICK} FROM clicks AS c WHERE interaction_id = ?", (interaction_id,)
    ).fetchone()
    return _click_of(row) if row else None


def _click_of(row: Sequence[Any]) -> Click:
    return Click(
        interaction_id=str(row[0]), ulid=row[1], person=person_from_json(row[2]), verdict=row[3]
    )
