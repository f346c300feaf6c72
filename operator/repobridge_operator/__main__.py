"""The operator's command: its arguments, and what it refuses with.

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
    """Runs the operator; exit code 2 with one sentence for what a person has to mend, 3 after the
    Lease was lost.
    """
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    parser = argparse.ArgumentParser(prog="repobridge-operator", description=__doc__)
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

    from repobridge_operator import serving, settings  # noqa: PLC0415

    asyncio.run(serving.serve(settings.load(config)))


def _refuse(sentence: str) -> NoReturn:
    print(f"repobridge-operator: {sentence}", file=sys.stderr)  # noqa: T201
    sys.exit(_USAGE_EXIT)


if __name__ == "__main__":
    main()
