"""What answers in a cluster that a person plays with, as no packet leaves it: model and Discord."""

from __future__ import annotations

import sys

from tests.cluster.addresses import DISCORD_PORT, MODEL_PORT, NODE_ADDRESS
from tests.cluster.daemons import Daemon
from tests.cluster.places import Place

CHANNEL = "hello"
"""The only channel there."""
_DISCORD = "discord"


def make_model() -> Daemon:
    """The imitation of the model's API."""
    answering = ("--host", NODE_ADDRESS, "--port", str(MODEL_PORT), "--scenario", "demo")
    return Daemon("model", [sys.executable, "-m", "tests.fakes.anthropic", *answering])


def make_discord() -> Daemon:
    """The imitation of Discord, with its page."""
    serving = ("--host", NODE_ADDRESS, "--port", str(DISCORD_PORT), "--channel", CHANNEL)
    return Daemon(_DISCORD, [sys.executable, "-m", "tests.fakes.discord", *serving])


def told(place: Place) -> dict[str, str]:
    """What the imitation of Discord has said of itself, by name; nothing before it answers."""
    log = place.logs / f"{_DISCORD}.log"
    lines = log.read_text().splitlines() if log.exists() else []
    return {name: value for name, found, value in (line.partition(": ") for line in lines) if found}


def is_there(place: Place) -> bool:
    """Whether Discord answers."""
    return f"channel {CHANNEL}" in told(place)
