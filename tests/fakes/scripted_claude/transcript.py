"""The transcript: lines of the same shape as the CLI's, as far as a runner reads them."""

from __future__ import annotations

import json
import os
import re
import threading
from typing import Any


class Transcript:
    """The record of one session in the configuration directory.

    With `late_seconds` what is told now is written that much later, as the CLI does it.
    """

    late_seconds = 0.0

    def __init__(self, config_directory: str, working_directory: str, session_id: str) -> None:
        folder = re.sub(r"[^A-Za-z0-9]", "-", working_directory)
        self.path = os.path.join(config_directory, "projects", folder, f"{session_id}.jsonl")
        self._session_id = session_id
        self._messages = 0
        self._held: list[bytes] = []
        self._lock = threading.Lock()

    @property
    def exists(self) -> bool:
        """Whether the session was ever used."""
        return os.path.exists(self.path)

    def entries(self) -> list[dict[str, Any]]:
        """Everything that was written."""
        if not self.exists:
            return []
        with open(self.path, encoding="utf-8") as file:
            return [json.loads(line) for line in file if line.endswith("\n")]

    def prompts(self) -> list[str]:
        """Every prompt that was taken, in order."""
        contents = (e["message"]["content"] for e in self.entries() if e.get("type") == "user")
        return [content for content in contents if isinstance(content, str)]

    def cut_prompt(self) -> str:
        """The prompt of a turn that never ended; empty when the last one did."""
        cut = ""
        for entry in self.entries():
            if entry.get("type") == "user" and not entry.get("isMeta"):
                content = entry["message"]["content"]
                cut = content if isinstance(content, str) else ""  # a list: it was interrupted
            elif entry.get("subtype") == "turn_duration":
                cut = ""
        return cut

    def user(self, prompt: str) -> None:
        """A prompt was taken."""
        self._append({"type": "user", "message": {"role": "user", "content": prompt}})

    def continued(self) -> None:
        """The model is told to go on with the turn that was cut."""
        content = [{"type": "text", "text": "Continue from where you left off."}]
        entry = {"type": "user", "isMeta": True, "message": {"role": "user", "content": content}}
        self._append(entry)

    def assistant(self, text: str) -> None:
        """The answer of one request, with what it used."""
        self._messages += 1
        usage = {
            "input_tokens": 3,
            "output_tokens": max(1, len(text) // 4),
            "cache_creation_input_tokens": 0,
            "cache_read_input_tokens": 0,
        }
        message = {
            "id": f"msg_{os.getpid()}_{self._messages}",
            "role": "assistant",
            "model": "scripted",
            "content": [{"type": "text", "text": text}],
            "stop_reason": "end_turn",
            "usage": usage,
        }
        self._append({"type": "assistant", "message": message})

    def interrupted(self) -> None:
        """The turn was interrupted."""
        content = [{"type": "text", "text": "[Request interrupted by user]"}]
        self._append({"type": "user", "message": {"role": "user", "content": content}})

    def turn_over(self) -> None:
        """The turn ended by itself."""
        self._append({"type": "system", "subtype": "turn_duration", "isMeta": False})

    def flush(self) -> None:
        """Writes what is held."""
        with self._lock:
            held, self._held = self._held, []
            if not held:
                return
            try:
                self._write(b"".join(held))
            except OSError:
                return  # a full disk costs the CLI its memory, and not its life

    def _write(self, data: bytes) -> None:
        os.makedirs(os.path.dirname(self.path), mode=0o700, exist_ok=True)
        descriptor = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            os.write(descriptor, data)
        finally:
            os.close(descriptor)

    def _append(self, entry: dict[str, Any]) -> None:
        whole = {"isSidechain": False, "sessionId": self._session_id, **entry}
        data = (json.dumps(whole) + "\n").encode("utf-8", "surrogatepass")
        with self._lock:
            self._held.append(data)
        if not self.late_seconds:
            self.flush()
            return
        later = threading.Timer(self.late_seconds, self.flush)
        later.daemon = True
        later.start()
