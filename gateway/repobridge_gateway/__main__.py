"""The gateway's command in a cluster: its arguments, and what it refuses with.

Light on purpose. The kernel withholds from a container's first process every signal that it has
no handler for, so the handler comes before the long imports.
"""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from repobridge.errors import RepoBridgeError

_USAGE_EXIT = 2


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs the gateway; exit code 2 with one sentence for what a person has to mend."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    parser = argparse.ArgumentParser(prog="repobridge-gateway", description=__doc__)
    parser.add_argument("--config", type=Path, help="the settings, a YAML file")
    options = parser.parse_args(arguments)
    try:
        _serve(options.config)
    except RepoBridgeError as error:
        _refuse(str(error))
    except OSError as error:
        _refuse(f"{error.strerror or error}.")


def _serve(config: Path | None) -> None:
    import asyncio  # noqa: PLC0415 - see the module's docstring

    from repobridge import settings_file  # noqa: PLC0415
    from repobridge_gateway import in_cluster  # noqa: PLC0415
    from repobridge_gateway.settings import GatewaySettings  # noqa: PLC0415

    asyncio.run(in_cluster.serve(settings_file.load(GatewaySettings, config)))


def _refuse(sentence: str) -> NoReturn:
    print(f"repobridge-gateway: {sentence}", file=sys.stderr)  # noqa: T201
    sys.exit(_USAGE_EXIT)


if __name__ == "__main__":
    main()
