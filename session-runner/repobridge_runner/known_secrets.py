"""Which of the runner's own variables hold secrets that must never reach the log."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from repobridge_runner.credentials import secret_values
from repobridge_runner.settings import RunnerSettings

_SECRET_NAME = re.compile(r"(KEY|TOKEN|SECRET|PASSWORD|PASSWD|CREDENTIAL|AUTH)", re.I)
_SHORTEST = 8


def known(environment: Mapping[str, str], settings: RunnerSettings) -> Iterator[str]:
    """The repository's credentials, and the variables whose names say that they are secret."""
    yield from secret_values(settings.repository.credentials_dir)
    for name, value in {**environment, **settings.agent.environment}.items():
        if _SECRET_NAME.search(name) and len(value) >= _SHORTEST and not value.startswith("/"):
            yield value
