"""A Discord gateway that SIGKILLs itself right before or right after its store's n-th commit.

    python -m tests.programs.gateway_killed_at --at 7 --when before --count FILE --config FILE

The configuration is JSON: `token`, `api_base`, `store`, `socket` (of the one runner, which is
always awake), `uid` and `channel`. Without `--at` it lives until it is ended.
"""

from __future__ import annotations

import argparse
import asyncio
import json
from collections.abc import Mapping
from pathlib import Path

import grpc
import pydantic

from repobridge.crd_access import Limits, Rate
from repobridge.session.events import Cursor
from repobridge_gateway.access import OPEN
from repobridge_gateway.bot.client import BotSettings
from repobridge_gateway.channels import FixedChannels, Served
from repobridge_gateway.discord_gateway import DiscordGateway, DiscordSettings
from repobridge_gateway.fleet.status import BridgePhase, BridgeStatus, RunnerLink
from repobridge_gateway.notices import NoticeBoard
from repobridge_gateway.session_client import CHANNEL_OPTIONS, SessionClient
from repobridge_gateway.store.database import StoreWriter
from repobridge_gateway.watched import Watched
from tests.programs.killed_at import Doom


class AwakeBridge:
    """A bridge whose runner is always there."""

    def __init__(self, link: RunnerLink) -> None:
        self.name = "payments"
        self.llm = "claude"
        self.place = "somewhere"
        self.board = NoticeBoard()
        self.status = Watched(BridgeStatus(BridgePhase.READY, link=link))
        self.newest: Cursor | None = None
        self._link = link

    async def awake(self) -> RunnerLink:
        """The runner."""
        return self._link

    def accepted(self, message_id: str) -> None:
        """Nothing here sleeps."""


async def serve(config: Mapping[str, str]) -> None:
    """Serves the one channel."""
    target = f"unix:{config['socket']}"
    async with grpc.aio.insecure_channel(target, options=CHANNEL_OPTIONS) as channel:
        served = Served(
            uid=config["uid"],
            bridge=AwakeBridge(RunnerLink(SessionClient(channel), channel)),
            channel_id=config["channel"],
            created_at=0.0,
            access=OPEN,
            limits=Limits(rate=Rate(enabled=False)),
        )
        bot = BotSettings(token=pydantic.SecretStr(config["token"]), api_base=config["api_base"])
        settings = DiscordSettings(bot=bot, store_directory=Path(config["store"]))
        await DiscordGateway(settings, FixedChannels([served])).run()


def main() -> None:
    """Runs a gateway, with its end built in where one is given."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--at", type=int, default=0)
    parser.add_argument("--when", choices=("before", "after"), default="before")
    parser.add_argument("--linger", type=float, default=0.0)
    parser.add_argument("--count", type=Path, required=True)
    parser.add_argument("--config", type=Path, required=True)
    options = parser.parse_args()
    doom = Doom(at=options.at, when=options.when, linger=options.linger, count=options.count)
    StoreWriter._try = doom.around(StoreWriter._try)  # type: ignore[method-assign]
    asyncio.run(serve(json.loads(options.config.read_text())))


if __name__ == "__main__":
    main()
