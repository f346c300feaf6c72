"""Decides which reply a request gets: rules first, then the queue, then the handler."""

from __future__ import annotations

import inspect
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeAlias

from tests.fakes.anthropic.replies import Reply
from tests.fakes.anthropic.requests import Kind, MessagesRequest
from tests.fakes.anthropic.scenarios import housekeeping

Handler: TypeAlias = Callable[[MessagesRequest], Reply | Awaitable[Reply]]
Match: TypeAlias = str | Callable[[str], bool]


@dataclass(frozen=True)
class Rule:
    """Replies for prompts that match: the n-th for the n-th round of such a prompt."""

    match: Match
    replies: tuple[Reply | Handler, ...]

    def matches(self, prompt: str) -> bool:
        """Whether the prompt contains the text, or satisfies the predicate."""
        return self.match in prompt if isinstance(self.match, str) else self.match(prompt)

    def reply(self, round_: int) -> Reply | Handler:
        """The reply of a round; the last one serves all later rounds."""
        return self.replies[min(round_, len(self.replies) - 1)]


class Script:
    """The replies to come, changed by tests while the server runs."""

    def __init__(self, handler: Handler) -> None:
        self.handler = handler
        self.side_handler: Handler = housekeeping
        self.rules: list[Rule] = []
        self.queue: deque[Reply] = deque()

    async def reply_to(self, request: MessagesRequest) -> Reply:
        """Choose, and use up a place of the queue when it comes from there."""
        if request.kind is not Kind.CONVERSATION:
            return await _called(self.side_handler, request)
        for rule in self.rules:
            if rule.matches(request.last_user_text):
                reply = rule.reply(request.round)
                return await _called(reply, request) if callable(reply) else reply
        if self.queue:
            return self.queue.popleft()
        return await _called(self.handler, request)


async def _called(handler: Handler, request: MessagesRequest) -> Reply:
    reply = handler(request)
    return await reply if inspect.isawaitable(reply) else reply
