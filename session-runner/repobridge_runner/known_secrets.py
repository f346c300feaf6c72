"""Which of the runner's own variables hold secrets that must never reach the log."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

_SECRET_NAME = re.compile(r"(KEY|TOKEN|SECRET|PASSWORD|PASSWD|CREDENTIAL|AUTH)", re.I)
_SHORTEST = 8


def known(environment: Mapping[str, str]) -> Iterator[str]:
    """The values of variables whose names say that they are secret."""
    for name, value in environment.items():
        if _SECRET_NAME.search(name) and len(value) >= _SHORTEST and not value.startswith("/"):
            yield value
