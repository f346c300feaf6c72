"""What a turn leaves in the channel: the answer, as a reply to who asked, and its files.

The last text of the agent is the answer; what it said before goes with it as a file where it is
long. An answer above the threshold is a file too, with its beginning in the message. Rendered once,
stored, and sent as stored.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from repobridge.session import events as ev
from repobridge_gateway.lines import printable
from repobridge_gateway.render import wording
from repobridge_gateway.render.custom_id import Kind, Verb, make_custom_id
from repobridge_gateway.render.filenames import numbered, safe_file_name
from repobridge_gateway.render.inline import code
from repobridge_gateway.render.limits import check
from repobridge_gateway.render.long_code import take_out
from repobridge_gateway.render.markdown import for_discord
from repobridge_gateway.render.measure import is_blank, units, well_formed
from repobridge_gateway.render.outcomes import outcome_sentence, what_goes_on
from repobridge_gateway.render.pieces import (
    FILE_BYTES,
    MESSAGE_BYTES,
    MESSAGE_UNITS,
    MOST_FILES,
    Button,
    ButtonStyle,
    File,
    Piece,
    Row,
)
from repobridge_gateway.render.split import split
from repobridge_gateway.render.summary import summary
from repobridge_gateway.render.turn_view import TurnView

MOST_MESSAGES = 4
EARLIER_UNITS = 500
"""What was said before the answer is a file from there on; less was to be read while it ran."""
SUMMARY_UNITS = 700
_MOST_NAMED = 5
_SUMMED_UP = 8000
"""Characters of which a summary is made."""
_OWN_BEGINNING = frozenset({ev.TurnOrigin.TERMINAL, ev.TurnOrigin.CRON, ev.TurnOrigin.BACKGROUND})


def render_answer(
    view: TurnView,
    ended: ev.TurnEnded,
    *,
    threshold: int,
    reply_to: str = "",
    final_text: str = "",
    key: str = "",
    files: Sequence[File] = (),
    left_out: Sequence[ev.FileProduced] = (),
    most: int = MOST_MESSAGES,
) -> tuple[Piece, ...]:
    """The messages, one at least; the first is the reply, where somebody in the channel asked.

    `threshold` is in characters, `final_text` the content of the end's blob where it has one, `key`
    the ULID of the turn for a lost one's buttons, `files` what the session put out, and `left_out`
    what of that is larger than Discord takes. ValueError where the blob was not read and the text
    did not come by itself.
    """
    final = final_text or ended.final_markdown or view.last_text
    if is_blank(final) and ended.final_blob_id:
        raise ValueError(f"the answer of {view.turn_id} has to be read before it is shown")
    final = view.text if is_blank(final) else final
    taken: set[str] = set()
    texts, own = _texts(final, threshold=threshold, most=most, taken=taken)
    own += _earlier(view, final, taken)
    own += tuple(_renamed(file, taken) for file in files)
    outcome = outcome_sentence(ended, has_text=bool(texts), has_files=bool(files or left_out))
    foot = "\n".join(filter(None, [outcome, *left_out_lines(left_out), what_goes_on(ended)]))
    contents = _with_foot(_with_lead(texts, _lead(view)), foot)
    reply = "" if view.opened is not None and view.opened.origin in _OWN_BEGINNING else reply_to
    return tuple(map(check, _pieces(contents, own, reply, _buttons(ended, key))))


def _texts(
    final: str, *, threshold: int, most: int, taken: set[str]
) -> tuple[tuple[str, ...], tuple[File, ...]]:
    """The answer as messages, and its files: long code, or the whole of it."""
    if is_blank(final):
        return (), ()
    names = set(taken)
    shorter, files = take_out(final, taken=names)
    # What is far above the threshold is not worth telling to its end.
    is_near = len(shorter) <= 2 * threshold + _SUMMED_UP
    text = for_discord(shorter) if is_near else ""
    parts = split(text) if is_near and units(text) <= threshold else ()
    if parts and len(parts) <= most:
        taken |= names
        return parts, files
    name = numbered("answer.md", taken)
    content = printable(well_formed(final)).strip("\n") + "\n"
    beginning = summary(for_discord(final[:_SUMMED_UP]), limit=SUMMARY_UNITS)
    told = f"-# The whole answer is in {code(name)} · {wording.count(len(content), 'character')}"
    message = f"{beginning}\n{told}" if beginning else told
    return (message,), _files(name, content, taken)


def _files(name: str, content: str, taken: set[str]) -> tuple[File, ...]:
    """A text as a file, or where Discord would not take it, as several."""
    # No character has more than four bytes.
    step = FILE_BYTES // 4
    names = [name, *(numbered(name, taken) for _ in range(step, len(content), step))]
    return tuple(
        File(each, "text/markdown", content[number * step : (number + 1) * step].encode())
        for number, each in enumerate(names)
    )


def _earlier(view: TurnView, final: str, taken: set[str]) -> tuple[File, ...]:
    earlier = printable(well_formed(view.text_before(final)))
    if units(earlier) < EARLIER_UNITS:
        return ()
    cut = "(The beginning is left out.)\n\n" if view.is_text_cut else ""
    name = numbered("earlier.md", taken)
    return _files(name, f"{cut}{earlier}\n", taken)


def _renamed(file: File, taken: set[str]) -> File:
    return replace(file, name=numbered(safe_file_name(file.name, fallback="file"), taken))


def _lead(view: TurnView) -> str:
    """What a message that nobody in the channel asked for comes from."""
    if view.opened is None:
        return ""
    who = wording.person(view.opened.actor)
    return {
        ev.TurnOrigin.TERMINAL: f"-# Asked in the live terminal{f' by {who}' if who else ''}",
        ev.TurnOrigin.CRON: "-# From a scheduled task",
        ev.TurnOrigin.BACKGROUND: "-# From a background task",
    }.get(view.opened.origin, "")


def left_out_lines(files: Sequence[ev.FileProduced]) -> list[str]:
    """Why files of the session are not there."""
    told = [_why_left_out(file) for file in files[:_MOST_NAMED]]
    more = len(files) - _MOST_NAMED
    return [*told, f"-# So {'does' if more == 1 else 'do'} {more} more."] if more > 0 else told


def _why_left_out(file: ev.FileProduced) -> str:
    name = code(safe_file_name(file.name, fallback="A file"))
    if file.size <= FILE_BYTES:
        return f"-# {name} is not kept any more. If the session still has it, ask for it again."
    return (
        f"-# {name} has {wording.size(file.size)}, more than Discord takes."
        " It stays with the session."
    )


def _with_lead(texts: Sequence[str], lead: str) -> tuple[str, ...]:
    if not lead or not texts:
        return (lead,) if lead else tuple(texts)
    first = f"{lead}\n{texts[0]}"
    return (first, *texts[1:]) if units(first) <= MESSAGE_UNITS else (lead, *texts)


def _with_foot(texts: Sequence[str], foot: str) -> tuple[str, ...]:
    if not foot:
        return tuple(texts)
    last = f"{texts[-1]}\n\n{foot}" if texts else foot
    return (*texts[:-1], last) if units(last) <= MESSAGE_UNITS else (*texts, foot)


def _buttons(ended: ev.TurnEnded, key: str) -> tuple[Row, ...]:
    if ended.outcome is not ev.TurnOutcome.LOST or not key:
        return ()
    go_on = Button("Continue", make_custom_id(Kind.TURN, key, Verb.CONTINUE), ButtonStyle.PRIMARY)
    return (Row((go_on, Button("Discard", make_custom_id(Kind.TURN, key, Verb.DISCARD)))),)


def _pieces(
    contents: Sequence[str], files: Sequence[File], reply_to: str, rows: tuple[Row, ...]
) -> list[Piece]:
    """The texts, the files with the last of them, and more messages where the files need them."""
    groups = _groups(files)
    pieces = [Piece(text) for text in contents]
    if groups:
        pieces[-1] = replace(pieces[-1], files=groups[0])
    pieces += [Piece(files=group) for group in groups[1:]]
    pieces[-1] = replace(pieces[-1], components=rows)
    pieces[0] = replace(pieces[0], reply_to=reply_to)
    return pieces


def _groups(files: Sequence[File]) -> list[tuple[File, ...]]:
    """The files, as many to a message as it takes."""
    groups: list[list[File]] = []
    room = 0
    for file in files:
        if not groups or len(groups[-1]) == MOST_FILES or len(file.data) > room:
            groups.append([])
            room = MESSAGE_BYTES
        groups[-1].append(file)
        room -= len(file.data)
    return [tuple(group) for group in groups]
