"""The operator's command; what takes long to import waits until it is entered."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from repobridge.entry import enter


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs the operator; exit code 2 with one sentence for what a person has to mend, 3 after the
    Lease was lost.
    """
    enter("repobridge-operator", _serve, description=__doc__, arguments=arguments)


def _serve(config: Path | None) -> None:
    import asyncio  # noqa: PLC0415 - see `enter`

    from repobridge_operator import serving, settings  # noqa: PLC0415

    asyncio.run(serving.serve(settings.load(config)))


if __name__ == "__main__":
    main()
