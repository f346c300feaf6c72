"""The one exception with which a check refuses a request."""

from __future__ import annotations


class ApiRefusal(Exception):
    """A request that the real API would not take; becomes the error document of that status."""

    def __init__(self, status: int, error_type: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.error_type = error_type
        self.message = message


def invalid(message: str) -> ApiRefusal:
    """The usual refusal: 400 invalid_request_error."""
    return ApiRefusal(400, "invalid_request_error", message)
