"""Routes of Discord's REST API that several acts take; the library keeps a limit for each."""

from __future__ import annotations

from discord.http import Route


def message_route(method: str, channel_id: str, message_id: str) -> Route:
    """Of a message."""
    return Route(
        method,
        "/channels/{channel_id}/messages/{message_id}",
        channel_id=channel_id,
        message_id=message_id,
    )


def reaction_route(method: str, channel_id: str, message_id: str, emoji: str) -> Route:
    """Of our own reaction to a message."""
    return Route(
        method,
        "/channels/{channel_id}/messages/{message_id}/reactions/{emoji}/@me",
        channel_id=channel_id,
        message_id=message_id,
        emoji=emoji,
    )
