"""The command line, as strict as the CLI's own: what is not known is refused."""

from __future__ import annotations

import json
import re

VERSION = "2.1.197 (Claude Code)"
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_WITH_VALUE = {
    "--settings", "--setting-sources", "--session-id", "--resume", "--model",
    "--permission-mode", "--append-system-prompt",
}  # fmt: skip
_ALONE = {"--strict-mcp-config", "--fork-session", "--version"}


class BadUse(Exception):
    """Somebody started or scripted the program in a way that it does not know."""


class Arguments:
    """The options that were given, by name; the hooks' URL and the token's variable."""

    def __init__(self, words: list[str]) -> None:
        self.given: dict[str, str] = {}
        rest = iter(words)
        for word in rest:
            if word in self.given:
                raise BadUse(f"{word} was given twice")
            if word in _ALONE:
                self.given[word] = ""
            elif word in _WITH_VALUE:
                value = next(rest, None)
                if value is None:
                    raise BadUse(f"{word} needs a value")
                self.given[word] = value
            else:
                raise BadUse(f"unknown option {word!r}")
        if "--version" not in self.given:
            self._check()

    def _check(self) -> None:
        ids = [self.given[name] for name in ("--session-id", "--resume") if name in self.given]
        for each in ids:
            if not _UUID.fullmatch(each):
                raise BadUse(f"{each!r} is no session id")
        if len(ids) != 1 + ("--fork-session" in self.given):
            raise BadUse("one of --session-id and --resume, or both with --fork-session")
        self.hook_urls = _hook_urls(self.given.get("--settings"))

    @property
    def session_id(self) -> str:
        """The session that this process is."""
        return self.given.get("--session-id") or self.given["--resume"]

    @property
    def resumed_id(self) -> str:
        """The session whose history it continues; empty for a new one."""
        return self.given.get("--resume", "")


def _hook_urls(settings: str | None) -> dict[str, tuple[str, str]]:
    """The URL and the header template of each hooked event."""
    try:
        hooks = json.loads(settings or "")["hooks"]
        return {event: _http_hook(entries) for event, entries in hooks.items()}
    except (ValueError, KeyError, TypeError) as error:
        raise BadUse(f"--settings: not the hooks that are known here ({error!r})") from error


def _http_hook(entries: list[dict[str, list[dict[str, object]]]]) -> tuple[str, str]:
    [entry] = entries
    [hook] = entry["hooks"]
    headers = hook["headers"]
    if hook["type"] != "http" or not isinstance(headers, dict):
        raise ValueError("each hook is of type http, with headers")
    return str(hook["url"]), str(headers["Authorization"])
