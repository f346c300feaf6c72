"""The way into a program of the cluster: its one argument, and the sentence that it refuses with.

Light on purpose. The kernel withholds from a container's first process every signal that it has
no handler for, so the handler comes before the long imports, which are the program's own to make
when it is called.
"""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from repobridge.errors import RepoBridgeError

_USAGE_EXIT = 2


def enter(
    program: str,
    serve: Callable[[Path | None], None],
    *,
    description: str | None,
    arguments: Sequence[str] | None = None,
) -> None:
    """Runs a program with the settings file that it is given, until it ends.

    Exits with 2 and one sentence for what a person has to mend; by default the arguments are the
    process's own.
    """
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    parser = argparse.ArgumentParser(prog=program, description=description)
    parser.add_argument("--config", type=Path, help="the settings, a YAML file")
    options = parser.parse_args(arguments)
    try:
        serve(options.config)
    except RepoBridgeError as error:
        sentence = str(error)
    except OSError as error:
        sentence = f"{error.strerror or error}."
    else:
        return
    print(f"{program}: {sentence}", file=sys.stderr)  # noqa: T201
    sys.exit(_USAGE_EXIT)
