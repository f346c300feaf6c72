"""An agent that tells when a byte reached it: what a submitted message is measured with.

Run as a program: it stands at a prompt, and on the first byte of each input sends the time into a
FIFO. Enter makes it confirm the prompt and end the turn by hooks, as the CLI does. With no hooks
it only stamps, for the bare terminal. Standard library only, as it starts without site-packages.
"""

from __future__ import annotations

import json
import os
import re
import sys
import termios
import time
import tty
import urllib.request
from pathlib import Path

_PASTE = re.compile(rb"\x1b\[200~(.*?)\x1b\[201~", re.DOTALL)
_ROOT = Path(__file__).parents[1]
FIFO_VARIABLE = "STAMPS"


def make_executable(path: Path) -> Path:
    """Writes the program that runs this module."""
    path.write_text(
        f"#!{sys.executable} -ISE\nimport sys\nsys.path.insert(0, {str(_ROOT)!r})\n"
        "from benchmarks.stamping_agent import main\nmain(sys.argv[1:])\n"
    )
    path.chmod(0o700)
    return path


def main(words: list[str]) -> None:
    """Runs until the terminal ends."""
    if "--version" in words:
        print("2.1.197 (Claude Code)")
        return
    hook = _hook(words)
    stamps = os.open(os.environ[FIFO_VARIABLE], os.O_WRONLY)
    tty.setraw(0, termios.TCSANOW)
    os.write(1, "❯ ".encode())
    received = b""
    while data := os.read(0, 1 << 16):
        if not received:
            os.write(stamps, f"{time.perf_counter()!r}\n".encode())
            os.write(1, b".")
        received += data
        if received.endswith(b"\r"):
            if hook and (pasted := _PASTE.search(received)):
                _turn(*hook, pasted[1].decode())
            os.write(1, "❯ ".encode())
            received = b""


def _hook(words: list[str]) -> tuple[str, str] | None:
    if "--settings" not in words:
        return None
    hooks = json.loads(words[words.index("--settings") + 1])["hooks"]
    return hooks["StopFailure"][0]["hooks"][0]["url"], os.environ["REPOBRIDGE_HOOK_TOKEN"]


def _turn(url: str, token: str, prompt: str) -> None:
    prompt_id = os.urandom(8).hex()
    _post(url, token, hook_event_name="UserPromptSubmit", prompt_id=prompt_id, prompt=prompt)
    # A failure ends a turn at once; behind a Stop the transcript is waited for.
    _post(url, token, hook_event_name="StopFailure", prompt_id=prompt_id, error="unknown")


def _post(url: str, token: str, **payload: object) -> None:
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    request = urllib.request.Request(url, json.dumps(payload).encode(), headers)
    with urllib.request.urlopen(request) as answer:
        answer.read()
