"""The gateway's command in a cluster; what takes long to import waits until it is entered."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from repobridge.entry import enter


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs the gateway; exit code 2 with one sentence for what a person has to mend."""
    enter("repobridge-gateway", _serve, description=__doc__, arguments=arguments)


def _serve(config: Path | None) -> None:
    import asyncio  # noqa: PLC0415 - see `enter`

    from repobridge import settings_file  # noqa: PLC0415
    from repobridge_gateway import in_cluster  # noqa: PLC0415
    from repobridge_gateway.settings import GatewaySettings  # noqa: PLC0415

    read = partial(settings_file.load, GatewaySettings, config)
    asyncio.run(in_cluster.serve(read(), path=config, read=read))


if __name__ == "__main__":
    main()
