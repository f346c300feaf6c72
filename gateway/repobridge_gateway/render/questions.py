"""What the agent wants to know, as messages: buttons, lists or forms; and what people answered.

Nothing is remembered here: the answers given so far are an argument, and a message that is rendered
anew shows them. A question with more options than a list holds is answered in writing.
"""

from __future__ import annotations

from collections.abc import Sequence

from repobridge.session import events as ev
from repobridge_gateway.lines import printable
from repobridge_gateway.render import wording
from repobridge_gateway.render.custom_id import CustomId, Kind, Verb, make_custom_id
from repobridge_gateway.render.decisions import outcome_line
from repobridge_gateway.render.inline import escaped, plain
from repobridge_gateway.render.limits import check, check_modal
from repobridge_gateway.render.markdown import for_discord
from repobridge_gateway.render.measure import is_blank, shortened, units, well_formed
from repobridge_gateway.render.pieces import (
    LABEL_UNITS,
    MESSAGE_UNITS,
    MODAL_DESCRIPTION_UNITS,
    MODAL_LABEL_UNITS,
    MOST_BUTTONS,
    MOST_OPTIONS,
    MOST_ROWS,
    OPTION_UNITS,
    PLACEHOLDER_UNITS,
    Button,
    ButtonStyle,
    File,
    Modal,
    Option,
    Piece,
    Row,
    Select,
    TextInput,
)
from repobridge_gateway.session_values import Answer

_ANSWER_UNITS = 200


def render_question(
    asked: ev.QuestionAsked, *, key: str, answers: Sequence[Answer] = (), reply_to: str = ""
) -> Piece:
    """The message that asks; `answers` are those given so far, `key` is the request's ULID."""
    given = {answer.question_id: answer for answer in answers}
    open_ones = [number for number, each in enumerate(asked.questions) if each.id not in given]
    text, files = _text(asked, given)
    return check(Piece(text, files, tuple(_rows(asked, key, open_ones)), reply_to=reply_to))


def render_resolved_question(
    asked: ev.QuestionAsked,
    resolved: ev.RequestResolved,
    *,
    at: float,
    answers: Sequence[Answer] = (),
) -> Piece:
    """What the message becomes once that is over; the answers stand in it where they are known.

    Its file, where it had one, stays as it was sent.
    """
    given = {answer.question_id: answer for answer in answers}
    declined = resolved.outcome is ev.RequestOutcome.DENIED
    head = outcome_line(resolved, at=at)
    if declined:
        head = head.replace("Not allowed", "Skipped", 1)
    lines = [head]
    for question in asked.questions:
        answer = given.get(question.id)
        line = f"> {_short(question.text or question.header)}"
        told = f"\n> **{_said(answer)}**" if answer and not declined else ""
        if units("\n".join([*lines, line + told])) > MESSAGE_UNITS:
            break
        lines.append(line + told)
    return check(Piece("\n".join(lines)))


def answer_modal(asked: ev.QuestionAsked, number: int, *, key: str) -> Modal:
    """The form for an answer in own words to the question of that number."""
    question = asked.questions[number]
    label = _one_line(question.header) or "Your answer"
    field = TextInput(
        make_custom_id(Kind.QUESTION, key, Verb.TEXT, number),
        shortened(label, MODAL_LABEL_UNITS),
        shortened(_one_line(question.text), MODAL_DESCRIPTION_UNITS),
        max_units=2000,
    )
    custom_id = make_custom_id(Kind.QUESTION, key, Verb.WRITE, number)
    return check_modal(Modal(custom_id, "Your answer", (field,)))


def chosen(asked: ev.QuestionAsked, what: CustomId, values: Sequence[str]) -> Answer | None:
    """The answer that a click gives (`values` are a list's); None where it can be none."""
    if what.kind is not Kind.QUESTION or what.verb is not Verb.CHOOSE or not what.numbers:
        return None
    if what.numbers[0] >= len(asked.questions):
        return None
    question = asked.questions[what.numbers[0]]
    picked = [str(what.numbers[1])] if len(what.numbers) == 2 else list(dict.fromkeys(values))
    known = {str(index): option.label for index, option in enumerate(question.options)}
    if not picked or any(each not in known for each in picked):
        return None
    if len(picked) > 1 and not question.multi:
        return None
    return Answer(question.id, tuple(known[each] for each in picked))


def written(question: ev.Question, text: str) -> Answer | None:
    """The answer that own words give; None where they are none and only options are allowed.

    An option's words, or for a question with more options than a list holds its number, choose it.
    """
    said = text.strip()
    labels = [each.label for each in question.options]
    by_name = [label for label in labels if label.casefold() == said.casefold()]
    if by_name:
        return Answer(question.id, (by_name[0],))
    is_number = said.isascii() and said.isdigit() and len(said) < 5
    if len(labels) > MOST_OPTIONS and is_number and 1 <= int(said) <= len(labels):
        return Answer(question.id, (labels[int(said) - 1],))
    return Answer(question.id, other=said) if said and question.allow_other else None


def is_answered(asked: ev.QuestionAsked, answers: Sequence[Answer]) -> bool:
    """True where every question has its answer."""
    return {each.id for each in asked.questions} <= {answer.question_id for answer in answers}


def _rows(asked: ev.QuestionAsked, key: str, open_ones: Sequence[int]) -> list[Row]:
    """What the first open questions are answered with, and below it what all are."""
    rows: list[Row] = []
    writable: list[int] = []
    for number in open_ones[: MOST_ROWS - 1]:
        question = asked.questions[number]
        is_listed = 0 < len(question.options) <= MOST_OPTIONS
        if is_listed and len(asked.questions) == 1 and _is_short(question):
            rows.append(_buttons(question, number, key))
        elif is_listed:
            rows.append(Row((_select(question, number, key, of=len(asked.questions)),)))
        if question.allow_other or not is_listed:
            writable.append(number)
    last: list[Button] = []
    for number in writable:
        which = f" for {number + 1}" if len(asked.questions) > 1 else ""
        label = "In my words" if asked.questions[number].options else "Answer"
        custom_id = make_custom_id(Kind.QUESTION, key, Verb.WRITE, number)
        last.append(Button(f"{label}{which}…", custom_id))
    last.append(Button("Skip", make_custom_id(Kind.QUESTION, key, Verb.SKIP)))
    return [*rows, Row(tuple(last))]


def _is_short(question: ev.Question) -> bool:
    labels = [_one_line(option.label) for option in question.options]
    return (
        not question.multi
        and len(labels) <= MOST_BUTTONS
        and all(0 < units(label) <= LABEL_UNITS for label in labels)
    )


def _buttons(question: ev.Question, number: int, key: str) -> Row:
    return Row(
        tuple(
            Button(
                _one_line(option.label),
                make_custom_id(Kind.QUESTION, key, Verb.CHOOSE, number, index),
                ButtonStyle.PRIMARY,
            )
            for index, option in enumerate(question.options)
        )
    )


def _select(question: ev.Question, number: int, key: str, *, of: int) -> Select:
    options = tuple(
        Option(
            shortened(_one_line(option.label) or f"Option {index + 1}", OPTION_UNITS),
            str(index),
            shortened(_one_line(option.description), OPTION_UNITS),
        )
        for index, option in enumerate(question.options)
    )
    what = _one_line(question.header) or ("Choose" if of == 1 else f"Question {number + 1}")
    return Select(
        make_custom_id(Kind.QUESTION, key, Verb.CHOOSE, number),
        options,
        shortened(f"{what} (one or more)" if question.multi else what, PLACEHOLDER_UNITS),
        1,
        len(options) if question.multi else 1,
    )


def _text(asked: ev.QuestionAsked, given: dict[str, Answer]) -> tuple[str, tuple[File, ...]]:
    head = f"{wording.ASKING} **The agent has a question.**"
    if len(asked.questions) > 1:
        head = f"{wording.ASKING} **The agent has {len(asked.questions)} questions.**"
    foot = (
        f"\n-# It goes on without an answer <t:{int(asked.expires_at)}:R>."
        if asked.expires_at
        else ""
    )
    numbered = len(asked.questions) > 1
    whole = "\n\n".join(
        _question(each, number if numbered else 0, given.get(each.id))
        for number, each in enumerate(asked.questions, 1)
    )
    if units(f"{head}\n{whole}{foot}") <= MESSAGE_UNITS:
        return f"{head}\n{whole}{foot}", ()
    lines = [head]
    for number, each in enumerate(asked.questions, 1):
        line = f"{number}. {_short(each.text)}" if numbered else _short(each.text)
        if units("\n".join([*lines, line])) > MESSAGE_UNITS - 300:
            break
        lines.append(line)
    lines.append("-# The whole, with all there is to choose from, is in `question.md`.")
    file = File("question.md", "text/markdown", f"{well_formed(whole)}\n".encode())
    return "\n".join(lines) + foot, (file,)


def _question(question: ev.Question, number: int, answer: Answer | None) -> str:
    text = for_discord(question.text or question.header)
    lines = [f"**{number}.** {text}" if number else text]
    if answer is not None:
        return "\n".join([*lines, f"{wording.DONE} {_said(answer)}"])
    for index, option in enumerate(question.options, 1):
        about = (
            f" – {escaped(well_formed(option.description))}" if option.description.strip() else ""
        )
        lines.append(f"{index}. **{escaped(well_formed(option.label))}**{about}")
    if question.multi:
        lines.append("-# More than one may be chosen.")
    return "\n".join(lines)


def _said(answer: Answer) -> str:
    parts = [*answer.options, *([answer.other] if answer.other else [])]
    return escaped(shortened(_one_line(", ".join(parts)), _ANSWER_UNITS))


def _short(text: str) -> str:
    return escaped(shortened(_one_line(plain(text)), _ANSWER_UNITS))


def _one_line(text: str) -> str:
    line = " ".join(printable(well_formed(text)).split())
    return "" if is_blank(line) else line
