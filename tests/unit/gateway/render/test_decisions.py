from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from repobridge.session import events as ev
from repobridge_gateway.render.asked_input import difference, visible
from repobridge_gateway.render.custom_id import Kind, Verb, parse_custom_id
from repobridge_gateway.render.decisions import (
    deny_modal,
    render_approval,
    render_resolved_approval,
    revise_modal,
    suggestion_for,
)
from repobridge_gateway.render.pieces import Button, Piece
from tests.unit.gateway.render.pictures import assert_is_golden, picture
from tests.unit.gateway.render.turns import ADA, KEY

SESSION_RULE = ev.Suggestion("s0", "work in /tmp", ev.Scope.SESSION)
ALWAYS_RULE = ev.Suggestion("s1", "Bash(make:*)", ev.Scope.ALWAYS)


def asks(
    tool: str, value: Any, *suggestions: ev.Suggestion, kind: ev.RequestKind = ev.RequestKind.TOOL
) -> ev.ApprovalRequested:
    return ev.ApprovalRequested(
        "r1",
        kind,
        tool,
        json.dumps(value, ensure_ascii=False),
        suggestions=suggestions,
        expires_at=1800.0,
    )


def resolved(outcome: ev.RequestOutcome, **facts: Any) -> ev.RequestResolved:
    return ev.RequestResolved("r1", outcome, **{"via": ev.Via.CHAT, "by": ADA, **facts})


BASH = asks(
    "Bash",
    {"command": "make test\nmake lint", "description": "Run the *tests*", "timeout": 120000},
    ALWAYS_RULE,
)
EDIT = asks(
    "Edit",
    {
        "file_path": "src/limits.py",
        "old_string": "def refill(now):\n    return int(now * RATE)\n",
        "new_string": "def refill(now):\n    return math.ceil(now * RATE)\n",
        "replace_all": True,
    },
    SESSION_RULE,
    ALWAYS_RULE,
)
WRITE = asks("Write", {"file_path": "docs/limits.md", "content": "# Limits\n```\nx\n```\n"})
FETCH = asks("WebFetch", {"url": "https://example.org/\u202egpj.exe", "prompt": "What is\nnew?"})
SERVER = asks(
    "mcp__github__create_issue", {"title": "Bug", "labels": ["a", "b"], "body": "One\nTwo"}
)
LONG = asks("Bash", {"command": "echo " + "long " * 600})
PLAN = asks(
    "ExitPlanMode",
    {"plan": "# Plan\n\n1. Mend `refill`\n2. Add a test\n"},
    kind=ev.RequestKind.PLAN,
)
LONG_PLAN = asks(
    "ExitPlanMode",
    {"plan": "# Plan\n\nFirst of all.\n\n" + "- a step\n" * 400, "allowedPrompts": ["run tests"]},
    kind=ev.RequestKind.PLAN,
)


@pytest.mark.parametrize(
    ("name", "request_"),
    [
        ("bash", BASH),
        ("edit", EDIT),
        ("write", WRITE),
        ("fetch", FETCH),
        ("server", SERVER),
        ("plan", PLAN),
    ],
)
def test_what_is_asked_is_shown_as_people_can_judge_it(
    name: str, request_: ev.ApprovalRequested
) -> None:
    done = resolved(ev.RequestOutcome.ALLOWED, scope=ev.Scope.SESSION)
    pieces = [
        render_approval(request_, key=KEY, reply_to="17"),
        render_resolved_approval(request_, done, at=1234.5),
    ]
    assert_is_golden(f"approval-{name}", picture(pieces))


def test_a_long_command_is_a_file_and_whole() -> None:
    piece = render_approval(LONG, key=KEY)
    [file] = piece.files
    assert (file.name, file.data.decode()) == ("command.sh", "echo " + "long " * 600 + "\n")
    assert piece.content == (
        "✋ **May the agent run this command?**\n"
        "-# The whole is in `command.sh`. Read it before you answer.\n"
        "-# If nobody answers, that is a no <t:1800:R>."
    )


def test_a_long_plan_is_a_file_with_its_beginning_in_the_message() -> None:
    piece = render_approval(LONG_PLAN, key=KEY)
    assert [file.name for file in piece.files] == ["plan.md", "input.txt"]
    assert piece.files[0].data.decode() == json.loads(LONG_PLAN.input_json)["plan"]
    assert "run tests" in piece.files[1].data.decode()
    assert piece.content == (
        "✋ **Here is the plan. Shall the agent go ahead?**\n"
        "# Plan\n\nFirst of all.\n"
        "-# The whole is in `plan.md` and `input.txt`. Read it before you answer.\n"
        "-# If nobody answers, that is a no <t:1800:R>."
    )


def labels(piece: Piece) -> list[str]:
    return [
        item.label for row in piece.components for item in row.items if isinstance(item, Button)
    ]


def test_only_what_is_shown_is_offered() -> None:
    assert labels(render_approval(asks("Bash", {"command": "ls"}), key=KEY)) == [
        "Allow once",
        "Deny…",
    ]
    assert labels(render_approval(EDIT, key=KEY)) == [
        "Allow once",
        "For this session",
        "Always",
        "Deny…",
    ]
    endless = ev.Suggestion("s1", "Bash(" + "x" * 400 + ")", ev.Scope.ALWAYS)
    assert labels(render_approval(asks("Bash", {"command": "ls"}, endless), key=KEY)) == [
        "Allow once",
        "Deny…",
    ]


def test_the_rule_that_an_answer_makes() -> None:
    assert suggestion_for(EDIT, ev.Scope.SESSION) == SESSION_RULE
    assert suggestion_for(EDIT, ev.Scope.ALWAYS) == ALWAYS_RULE
    assert suggestion_for(BASH, ev.Scope.SESSION) == ALWAYS_RULE
    assert suggestion_for(BASH, ev.Scope.ONCE) is None
    only_session = asks("Bash", {}, SESSION_RULE)
    assert suggestion_for(only_session, ev.Scope.ALWAYS) is None


def test_what_cannot_be_shown_cannot_be_allowed() -> None:
    huge = asks("Bash", {"command": "x" * (11 << 20)}, ALWAYS_RULE)
    piece = render_approval(huge, key=KEY)
    assert labels(piece) == ["Deny…"]
    assert piece.files == ()
    assert "too large to be shown here" in piece.content
    plan = asks("ExitPlanMode", {"plan": "x" * (11 << 20)}, kind=ev.RequestKind.PLAN)
    assert labels(render_approval(plan, key=KEY)) == ["Revise…"]


def test_an_input_that_is_kept_elsewhere_has_to_be_read_first() -> None:
    request = ev.ApprovalRequested("r1", ev.RequestKind.TOOL, "Bash", input_blob_id="b1")
    with pytest.raises(ValueError, match="has to be read"):
        render_approval(request, key=KEY)
    whole = json.dumps({"command": "make " + "x" * 70_000})
    [file] = render_approval(request, key=KEY, whole_input=whole).files
    assert file.data.decode() == "make " + "x" * 70_000 + "\n"
    gone = render_resolved_approval(request, resolved(ev.RequestOutcome.DENIED), at=1.0)
    assert gone.content == (
        "⊘ Not allowed by Ada · <t:1:t>\n-# The agent asked to run this command (`Bash`)"
    )


@pytest.mark.parametrize(
    ("told", "line"),
    [
        (
            resolved(ev.RequestOutcome.ALLOWED, scope=ev.Scope.ONCE),
            "✓ Allowed once by Ada · <t:9:t>",
        ),
        (
            resolved(ev.RequestOutcome.ALLOWED, scope=ev.Scope.SESSION),
            "✓ Allowed for this session by Ada · <t:9:t>",
        ),
        (
            resolved(ev.RequestOutcome.ALLOWED, scope=ev.Scope.ALWAYS),
            "✓ Allowed for good by Ada · <t:9:t>",
        ),
        (
            resolved(ev.RequestOutcome.ALLOWED, by=None, via=ev.Via.TERMINAL),
            "✓ Allowed in the live terminal · <t:9:t>",
        ),
        (
            resolved(ev.RequestOutcome.DENIED, note="Use *staging*\n@everyone"),
            "⊘ Not allowed by Ada · <t:9:t>\n-# “Use \\*staging\\* @\u200beveryone”",
        ),
        (
            resolved(ev.RequestOutcome.EXPIRED, by=None, via=ev.Via.POLICY, note="Nobody."),
            "– Nobody answered in time, so the agent goes on without · <t:9:t>",
        ),
        (
            resolved(ev.RequestOutcome.CANCELLED, by=None, via=ev.Via.POLICY, note="Restarted."),
            "– No longer asked: Restarted. · <t:9:t>",
        ),
        (
            resolved(ev.RequestOutcome.CANCELLED, by=None, via=ev.Via.TERMINAL),
            "– No longer asked in the live terminal · <t:9:t>",
        ),
    ],
)
def test_the_resolved_form_says_who_when_and_how(told: ev.RequestResolved, line: str) -> None:
    piece = render_resolved_approval(BASH, told, at=9.9)
    assert piece.content.startswith(f"{line}\n-# The agent asked to run this command (`Bash`)\n")
    assert "make test\nmake lint" in piece.content
    assert (piece.components, piece.files) == ((), ())


def test_a_plan_is_approved_or_sent_back() -> None:
    approved = render_resolved_approval(PLAN, resolved(ev.RequestOutcome.ALLOWED), at=9.0)
    assert approved.content.startswith("✓ Approved by Ada · <t:9:t>\n-# The plan\n")
    back = resolved(ev.RequestOutcome.DENIED, note="Smaller steps")
    assert render_resolved_approval(PLAN, back, at=9.0).content.startswith(
        "⊘ Sent back by Ada · <t:9:t>\n-# “Smaller steps”\n"
    )


def test_forms_are_found_again_by_what_they_are_called() -> None:
    deny, revise = deny_modal(KEY), revise_modal(KEY)
    found = [parse_custom_id(each.custom_id) for each in (deny, revise)]
    assert [(each.kind, each.verb) for each in found if each] == [
        (Kind.APPROVAL, Verb.DENY),
        (Kind.PLAN, Verb.REVISE),
    ]
    assert [deny.inputs[0].required, revise.inputs[0].required] == [False, True]


def test_a_difference_holds_every_line_of_both() -> None:
    assert difference("a\nb\nc", "a\nB\nc") == " a\n-b\n+B\n c"
    assert difference("", "a\nb") == "+a\n+b"
    assert difference("a", "") == "-a"
    assert difference("a", "a") == " a"
    many = "\n".join(map(str, range(1500)))
    assert difference(many, many).startswith("-0\n-1\n")


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        ("plain\ttext\n", "plain\ttext\n"),
        ("rm\u00a0-rf \u202e\u200b\x1b[2K\r", "rm⟨U+00A0⟩-rf ⟨U+202E⟩⟨U+200B⟩⟨U+001B⟩[2K⟨U+000D⟩"),
        ("\ud800", "⟨U+D800⟩"),
        ("\U0001f9d1\u200d\U0001f91d é 表", "\U0001f9d1\u200d\U0001f91d é 表"),
        ("r\u200dm", "r⟨U+200D⟩m"),
    ],
)  # fmt: skip
def test_what_hides_is_seen(text: str, seen: str) -> None:
    assert visible(text) == seen


TOOLS = ["Bash", "Edit", "Write", "MultiEdit", "WebFetch", "mcp__a__b", "`weird`" * 60, ""]
FIELDS = [
    "command", "description", "file_path", "old_string", "new_string", "content", "edits", "url",
    "plan", "timeout", "k" * 150,
]  # fmt: skip
values = st.recursive(
    st.one_of(
        st.none(), st.booleans(), st.integers(), st.text(), st.sampled_from(["```", "x" * 2500])
    ),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)
inputs = st.dictionaries(st.one_of(st.sampled_from(FIELDS), st.text()), values, max_size=5)


@given(st.sampled_from(TOOLS), inputs, st.sampled_from(ev.RequestKind), st.text(), st.text())
def test_whatever_is_asked_it_is_whole_and_can_be_sent(
    tool: str, value: dict[str, Any], kind: ev.RequestKind, label: str, name: str
) -> None:
    rule = ev.Suggestion("s", label, ev.Scope.ALWAYS)
    request = asks(tool, value, rule, kind=kind)
    piece = render_approval(request, key=KEY)
    whole = piece.content + "".join(file.data.decode() for file in piece.files)
    for text in value.values():
        if isinstance(text, str) and kind is ev.RequestKind.TOOL:
            for word in visible(text).split():
                assert _marked(word) in _marked(whole) or f'"{text}"' not in request.input_json
    done = resolved(ev.RequestOutcome.DENIED, by=ev.Actor("1", name), note=name * 50)
    render_resolved_approval(request, done, at=1.0)


def _marked(text: str) -> str:
    """Without what tells Discord that a mark is none."""
    return text.replace("\\", "").replace("\u200b", "")


@given(st.text())
def test_an_input_that_is_no_object_is_shown_as_it_is(text: str) -> None:
    request = ev.ApprovalRequested("r1", ev.RequestKind.TOOL, "Bash", text)
    piece = render_approval(request, key=KEY)
    assert labels(piece) == ["Allow once", "Deny…"]
