"""The session-runner's command: its arguments, its environment, and what it refuses with.

Light on purpose. The kernel withholds from a container's first process every signal that it has
no handler for, so the handler comes before the long imports; and `relay` needs none of them.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NoReturn

from repobridge import __version__
from repobridge.errors import Refusal, RepoBridgeError

_USAGE_EXIT = 2


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs the session-runner; exit code 2 with one sentence for what a person has to mend."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    options = _parser().parse_args(arguments)
    try:
        if options.command == "relay":
            from repobridge_runner import stdio  # noqa: PLC0415 - see the module's docstring

            stdio.relay(options.socket or stdio.DEFAULT_SOCKET, source=0, sink=1)
        else:
            _serve(options.config, os.environ)
    except (Refusal, RepoBridgeError) as error:
        _refuse(str(error))
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        _refuse(f"{where}{error.strerror or error}.")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="repobridge-runner", description=__doc__)
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    parser.add_argument(
        "--config",
        type=Path,
        help="the settings, a JSON file; without it the variable REPOBRIDGE_SETTINGS holds them",
    )
    commands = parser.add_subparsers(dest="command", title="instead of serving")
    relay = commands.add_parser("relay", help="connect the standard streams to a runner's socket")
    relay.add_argument("--socket", type=Path, help="by default that of a pod's runner")
    return parser


def _serve(config: Path | None, environment: Mapping[str, str]) -> None:
    import asyncio  # noqa: PLC0415 - see the module's docstring
    from dataclasses import replace  # noqa: PLC0415

    from repobridge_runner import ownenvironment, serving, settings  # noqa: PLC0415

    own = ownenvironment.part(environment)
    if config is not None:
        loaded = settings.load(config)
    elif own.settings:
        loaded = settings.parse(own.settings, source=ownenvironment.SETTINGS_VARIABLE)
    else:
        raise settings.SettingsError(
            f"There are no settings; name a file with --config, or set"
            f" {ownenvironment.SETTINGS_VARIABLE}."
        )
    agent = replace(loaded.agent, environment={**loaded.agent.environment, **own.agent})
    asyncio.run(serving.serve(replace(loaded, agent=agent), own.runner))


def _refuse(sentence: str) -> NoReturn:
    print(f"repobridge-runner: {sentence}", file=sys.stderr)  # noqa: T201
    sys.exit(_USAGE_EXIT)


if __name__ == "__main__":
    main()
