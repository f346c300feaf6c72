"""What is told of streams: how much was seen of what was written, how late, in how many edits."""

from benchmarks.commanded import Json
from benchmarks.streams_seen import Stream, refused, stream_of

CREATE = "POST /channels/{channel_id}/messages"
EDIT = "PATCH /channels/{channel_id}/messages/{message_id}"
MARK = "PUT /channels/{channel_id}/messages/{message_id}/reactions/{emoji}/@me"


def asked(
    at: float, route: str, content: str = "", *, channel: str = "1", status: int = 200
) -> Json:
    path = f"/api/v10/channels/{channel}/messages"
    return {"at": at, "route": route, "path": path, "status": status, "content": content}


def test_a_stream_is_known_by_what_its_channel_shows_and_when() -> None:
    log = {"texts": [[10.25, 1, 60], [11.5, 2, 120], [12.75, 3, 180]], "ended": 14.0}
    requests = [
        asked(9.5, MARK, status=204),
        asked(10.0, CREATE, "⏳ Working"),
        asked(10.5, EDIT, "L0001 of"),
        asked(11.0, EDIT, "L0009 of another", channel="2"),
        asked(11.6, EDIT, status=429),
        asked(12.0, EDIT, "L0001 of\nL0002 of"),
        asked(14.5, CREATE, "the answer"),
        asked(14.6, EDIT, "-# ✓ Done"),
    ]
    assert stream_of("1", log, requests, began=9.0, period=1.0) == Stream(
        seconds=4.0,
        edits=2,
        written=180,
        shown=120,
        delays=(0.25, 0.5, 1.75),  # the last one came with the answer
        ideal_delays=(0.75, 0.5, 0.25),
        answered=0.5,
        marked=0.5,
    )
    assert refused(requests) == 1
