"""What agents ask, as far as somebody here has to know it again: remembered, or read once more."""

from __future__ import annotations

from collections import OrderedDict

from repobridge.session import events as ev
from repobridge_gateway.channels import Served
from repobridge_gateway.clicks import Asked
from repobridge_gateway.requested import Request
from repobridge_gateway.session_values import Answer

MOST = 2_000


class RequestBook:
    """The requests that were heard of last, with the answers that were given here."""

    def __init__(self) -> None:
        self._requests: OrderedDict[tuple[str, str], Request] = OrderedDict()
        self._answers: OrderedDict[str, tuple[Answer, ...]] = OrderedDict()

    def remember(self, uid: str, request: Request) -> None:
        """Keeps what a bridge's agent asks."""
        self._requests[uid, request.request_id] = request
        if len(self._requests) > MOST:
            self._requests.popitem(last=False)

    def answer(self, ulid: str, answers: tuple[Answer, ...]) -> None:
        """Keeps what was answered so far."""
        self._answers[ulid] = answers
        if len(self._answers) > MOST:
            self._answers.popitem(last=False)

    def answers(self, ulid: str) -> tuple[Answer, ...]:
        """What was answered, as far as it is known."""
        return self._answers.get(ulid, ())

    def known(self, asked: Asked) -> Request | None:
        """A request, if it is remembered."""
        return self._requests.get((asked.bridge, asked.request_id))

    async def find(self, served: Served, asked: Asked) -> Request | None:
        """A request that waits; None where it does not any more. Raises a Refusal."""
        if (known := self.known(asked)) is not None:
            return known
        link = served.bridge.status.value.link
        if link is None:
            return None
        sessions = await link.client.sessions()
        session = sessions.of(asked.conversation)
        for each in session.open_requests if session is not None else ():
            if each.request_id != asked.request_id or each.sequence < 1:
                continue
            before = ev.Cursor(sessions.runner.log_id, each.sequence - 1)
            async for event in link.client.subscribe(before):
                if isinstance(event.body, ev.ApprovalRequested | ev.QuestionAsked):
                    self.remember(asked.bridge, event.body)
                break
        return self.known(asked)
