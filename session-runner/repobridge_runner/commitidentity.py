"""Who commits in the agent's git where nobody else is named: a pod has no person's configuration.

It stands in for the system's configuration, which it includes: so every other source (that file,
the agent's home, the repository, an environment variable) wins over it.
"""

from __future__ import annotations

from pathlib import Path

from repobridge.telemetry import Logger
from repobridge_runner.wholefile import write_whole

_SYSTEM = "/etc/gitconfig"
_log = Logger("repobridge.runner")


def offer_identity(path: Path, *, name: str, email: str) -> dict[str, str]:
    """Writes the configuration, where it is not so yet; the variables that lead a git to it.

    None for an empty name or email, and none where it can't be written: that costs commits only.
    """
    if not (name and email):
        return {}
    text = f"[user]\n\tname = {_quoted(name)}\n\temail = {_quoted(email)}\n"
    text += f"[include]\n\tpath = {_SYSTEM}\n"
    try:
        if not path.is_file() or path.read_text(encoding="utf-8") != text:
            write_whole(path, text)
    except (OSError, ValueError) as error:
        _log.warning("commits have no default identity", error=str(error))
        return {}
    return {"GIT_CONFIG_SYSTEM": str(path)}


def _quoted(value: str) -> str:
    escaped = value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'
