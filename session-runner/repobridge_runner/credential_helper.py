"""The credential helper that git runs: answers with the mounted username and password.

Run as a file of its own, by our git and by the agent's, hence nothing but the standard library.
Arguments: the mounted directory, the protocol and the host that they are for, and git's operation.
"""

from __future__ import annotations

import sys
from pathlib import Path

DEFAULT_USERNAME = "x-access-token"
"""What the large hosts take beside a token; used where the Secret names nobody."""


def answer(directory: Path, *, protocol: str, host: str, question: str) -> str:
    """Git's answer to a question, empty when it is about another host or protocol."""
    asked = dict(line.split("=", 1) for line in question.splitlines() if "=" in line)
    if asked.get("protocol") != protocol or asked.get("host", "").lower() != host.lower():
        return ""
    name = directory / "username"
    username = name.read_text(encoding="utf-8").strip() if name.is_file() else ""
    password = (directory / "password").read_text(encoding="utf-8").strip("\r\n")
    return f"username={username or DEFAULT_USERNAME}\npassword={password}\n"


def main(arguments: list[str]) -> None:
    """Answers `get`; what git asks to be kept or forgotten is left alone."""
    directory, protocol, host, operation = arguments
    if operation == "get":
        question = sys.stdin.read()
        sys.stdout.write(answer(Path(directory), protocol=protocol, host=host, question=question))


if __name__ == "__main__":
    main(sys.argv[1:])
