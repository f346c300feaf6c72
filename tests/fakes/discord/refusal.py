"""Refusals with the codes and bodies of the real API."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_MESSAGES: Mapping[int, tuple[int, str]] = {
    10003: (404, "Unknown Channel"),
    10004: (404, "Unknown Guild"),
    10007: (404, "Unknown Member"),
    10008: (404, "Unknown Message"),
    10011: (404, "Unknown Role"),
    10013: (404, "Unknown User"),
    10014: (400, "Unknown Emoji"),
    10015: (404, "Unknown Webhook"),
    10002: (404, "Unknown Application"),
    10062: (404, "Unknown interaction"),
    10063: (404, "Unknown application command"),
    20001: (403, "Bots cannot use this endpoint"),
    30010: (400, "Maximum number of reactions reached (20)"),
    40005: (413, "Request entity too large"),
    40060: (400, "Interaction has already been acknowledged."),
    50001: (403, "Missing Access"),
    50005: (403, "Cannot edit a message authored by another user"),
    50006: (400, "Cannot send an empty message"),
    50008: (400, "Cannot send messages in a non-text channel"),
    50013: (403, "Missing Permissions"),
    50021: (403, "Cannot execute action on a system message"),
    50024: (400, "Cannot execute action on this channel type"),
    50027: (401, "Invalid Webhook Token"),
    50083: (400, "Thread is archived"),
    50109: (400, "The request body contains invalid JSON."),
    160002: (400, "Cannot reply without permission to read message history"),
    160005: (400, "Thread is locked"),
    200000: (400, "Message was blocked by automatic moderation"),
    160004: (400, "A thread has already been created for this message"),
}


class ApiRefusal(Exception):
    """A request that Discord would not take; `code` 0 is a plain HTTP error."""

    def __init__(
        self, status: int, code: int, message: str, *, errors: dict[str, Any] | None = None
    ) -> None:
        super().__init__(f"{status} {code} {message} {errors or ''}".rstrip())
        self.status = status
        self.code = code
        self.message = message
        self.errors = errors

    @property
    def body(self) -> dict[str, Any]:
        """The JSON that the client gets."""
        body: dict[str, Any] = {"message": self.message, "code": self.code}
        return body if self.errors is None else body | {"errors": self.errors}


class Unimplemented(Exception):
    """Something that the real Discord can do and the imitation can't: a failure of the test."""


def refusal(code: int) -> ApiRefusal:
    """The refusal of one of Discord's codes."""
    status, message = _MESSAGES[code]
    return ApiRefusal(status, code, message)


def unauthorized() -> ApiRefusal:
    """Without a token, or with a wrong one."""
    return ApiRefusal(401, 0, "401: Unauthorized")


def not_found() -> ApiRefusal:
    """No such route."""
    return ApiRefusal(404, 0, "404: Not Found")


class FormErrors:
    """Gathers what is wrong with a body, as the tree of a 50035, all under a prefix."""

    def __init__(self, prefix: str = "") -> None:
        self._prefix = prefix
        self._tree: dict[str, Any] = {}

    def add(self, field: str, code: str, message: str) -> None:
        """Note one error; the field is a path with dots."""
        node = self._tree
        for part in (self._prefix + field).split("."):
            node = node.setdefault(part, {})
        node.setdefault("_errors", []).append({"code": code, "message": message})

    def check_length(self, field: str, value: str, *, least: int = 0, most: int) -> None:
        """Note a text that is too long, too short or missing."""
        if least and not value:
            self.add(field, "BASE_TYPE_REQUIRED", "This field is required")
        elif len(value) > most:
            if least:
                message = f"Must be between {least} and {most} in length."
                self.add(field, "BASE_TYPE_BAD_LENGTH", message)
            else:
                self.add(field, "BASE_TYPE_MAX_LENGTH", f"Must be {most} or fewer in length.")
        elif len(value) < least:
            message = f"Must be between {least} and {most} in length."
            self.add(field, "BASE_TYPE_BAD_LENGTH", message)

    def check_count(self, field: str, count: int, *, least: int = 0, most: int) -> None:
        """Note a list that is too long or too short."""
        if count > most or count < least:
            if least:
                message = f"Must be between {least} and {most} in length."
                self.add(field, "BASE_TYPE_BAD_LENGTH", message)
            else:
                self.add(field, "BASE_TYPE_MAX_LENGTH", f"Must be {most} or fewer in length.")

    def raise_if_any(self) -> None:
        """Refuse when something was noted."""
        if self._tree:
            raise ApiRefusal(400, 50035, "Invalid Form Body", errors=self._tree)


def form_error(field: str, code: str, message: str) -> ApiRefusal:
    """A 50035 with one error."""
    errors = FormErrors()
    errors.add(field, code, message)
    try:
        errors.raise_if_any()
    except ApiRefusal as refused:
        return refused
    raise AssertionError("an error was added")
