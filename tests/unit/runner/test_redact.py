"""Secrets leave a text whole or cut in any way, early or late, and ordinary text is left alone."""

from __future__ import annotations

import base64
import json
import time
from urllib.parse import quote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from repobridge_runner.keypatterns import PATTERNS
from repobridge_runner.redact import REDACTED, Redactor

PASSWORD = 'p@ss/w"ord\\1'
LONG = "correct horse battery staple"
KNOWN = Redactor([PASSWORD, LONG, "tiny", "s3cr3t"])

DISCORD = "MTEyMzU4MTMyMTM0NTU4OTE0NA.GzZ0aB.abcdefghijklmnopqrstuvwxyz0123456789AB"
JWT = "eyJjdHkiOiJKV1QifQ.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U"
BODY = "MIIEpAIBAAKCAQEA0Z3VS5JJcds3xfn\n/ygWyF8PbnGy0AHB7MhgHcTz6sE2I2yPB==\n"
KEYS = {
    "anthropic": "sk-ant-api03-AbCdEf_0123456789-xyz",
    "openai project": "sk-proj-abcdefghij0123456789_-ABC",
    "openai": "sk-" + "a1B2" * 12,
    "github": "ghp_" + "aB3d" * 9,
    "github oauth": "gho_" + "aB3d" * 9,
    "github server": "ghs_" + "aB3d" * 9,
    "github fine": "github_pat_11ABCDEFG0" + "a1_B" * 15,
    "gitlab": "glpat-ab12CD34ef56GH78ij90",
    "slack": "xoxb-123456789012-abcdefGHIJKL",
    "slack app": "xapp-1-A0123-456-abcdef",
    "aws id": "AKIAIOSFODNN7EXAMPLE",
    "google": "AIzaSyA-1234567890abcdefghijklmnopqrstu",
    "discord": DISCORD,
    "jwt": JWT,
    "npm": "npm_" + "a1B2" * 9,
}


@pytest.mark.parametrize("key", KEYS.values(), ids=KEYS.keys())
@pytest.mark.parametrize(
    "frame", ["{}", "key {} end", '{{"k": "{}"}}', "a={},b\n", "%3D{}%26", r"a\n{}\n"]
)
def test_a_key_is_known_by_its_shape(key: str, frame: str) -> None:
    assert Redactor().text(frame.format(key)) == frame.format(REDACTED)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("curl -H 'Authorization: Bearer abcd1234' x", "curl -H 'Authorization: Bearer # ' x"),
        ('"authorization": "Basic dXNlcjpwYXNz"', '"authorization": "Basic # "'),
        (r"{\"Authorization\": \"Bearer abcd1234\"}", r"{\"Authorization\": \"Bearer # \"}"),
        ("x-api-key: abcdefgh12345", "x-api-key: # "),
        ("https://user:pa:ss@host/x", "https://# @host/x"),
        ("https://:only@host", "https://# @host"),
        ("https://0123456789abcdef0123456789abcdef@host", "https://# @host"),
        (
            "aws_secret_access_key = wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY\n",
            "aws_secret_access_key = # \n",
        ),
        ('"SecretAccessKey":"wJalrXUtnFEMI/K7MDENG"', '"SecretAccessKey":"# "'),
        ("export DB_PASSWORD='hunter2hunter2' && x", "export DB_PASSWORD='# ' && x"),
        ("MY_TOKEN=abcdefgh\nOTHER=abcdefgh", "MY_TOKEN=# \nOTHER=abcdefgh"),
        (
            f"-----BEGIN RSA PRIVATE KEY-----\n{BODY}-----END RSA PRIVATE KEY-----\nnext",
            "-----BEGIN RSA PRIVATE KEY-----# -----END RSA PRIVATE KEY-----\nnext",
        ),
        (
            "DEK-Info: AES-128-CBC,0123ABCD\n\n" + BODY + "-----END",
            "DEK-Info: AES-128-CBC,# -----END",
        ),
    ],
)
def test_what_surrounds_a_key_tells_where_it_is(text: str, expected: str) -> None:
    assert Redactor().text(text) == expected.replace("# ", REDACTED)


@pytest.mark.parametrize(
    "text",
    [
        "git@github.com:acme/x.git and ssh://git@github.com/acme/x.git",
        "see http://localhost:8080/path?x=a@b and http://[::1]:80",
        "sk-learn, sk-text-repr-fallback-class",
        'TOKEN=$(cat file) PASSWORD="$1" MAX_TOKENS=100000000',
        "Authorization: Bearer $TOKEN, or Bearer tokens in general",
        "-----BEGIN PRIVATE KEY-----\n...\n-----END PRIVATE KEY-----",
        'if "-----BEGIN RSA PRIVATE KEY-----" in text: pass',
        "MAJOR.minor.patch, Monday, N, O. eyJ eyJhb.eyJ",
        "tiny words stay, and so does the AKIA prefix alone",
    ],
)
def test_ordinary_text_is_left_alone(text: str) -> None:
    assert KNOWN.text(text) == text


@pytest.mark.parametrize(
    "written",
    [
        PASSWORD,
        quote(PASSWORD, safe=""),
        quote(PASSWORD, safe="").lower(),
        json.dumps(PASSWORD)[1:-1],
        json.dumps(json.dumps(PASSWORD))[3:-3],
        LONG,
        LONG.replace(" ", "+"),
        LONG.replace(" ", "%20"),
    ],
)
def test_a_known_value_is_found_as_it_is_written(written: str) -> None:
    assert KNOWN.text(f"<{written}>") == f"<{REDACTED}>"


@pytest.mark.parametrize("before", [b"", b"u", b"us", b"user:", b"git:\xff"])
@pytest.mark.parametrize("after", [b"", b":", b"\xff\xff"])
def test_a_known_value_is_found_within_base64(before: bytes, after: bytes) -> None:
    out = KNOWN.text(base64.b64encode(before + LONG.encode() + after).decode())
    assert REDACTED in out
    # At most the characters that share bits with a neighbour are left.
    assert len(out) - len(REDACTED) <= (len(before) + len(after)) * 8 // 6 + 6


def test_the_long_lines_of_a_known_value_are_secret_by_themselves() -> None:
    lines = ["first line of the value 1", "short", "second line of the value 2"]
    out = Redactor(["\n".join(lines)]).text("".join(f"+ {line}\n" for line in lines))
    assert out == f"+ {REDACTED}\n+ short\n+ {REDACTED}\n"


def test_a_structure_is_redacted_in_keys_and_values() -> None:
    value = {
        LONG: [1, None, True, f"x {LONG}", {"k": (LONG,)}],
        "Authorization": "anything",
        "X-Api-Key": "",
    }
    assert KNOWN.json(value) == {
        REDACTED: [1, None, True, f"x {REDACTED}", {"k": [REDACTED]}],
        "Authorization": REDACTED,
        "X-Api-Key": "",
    }


def test_a_bottomless_structure_is_cut() -> None:
    value: object = LONG
    for _ in range(900):
        value = [value]
    assert REDACTED in json.dumps(KNOWN.json(value))
    assert LONG not in json.dumps(KNOWN.json(value))


_FRAGMENTS = st.one_of(
    st.sampled_from(
        [
            *KEYS.values(), PASSWORD, LONG, "s3cr3t", quote(PASSWORD), json.dumps(PASSWORD),
            "https://", "://", "user:", "pass@", "Authorization: ", "Bearer ", "sk-", "sk-ant-",
            "eyJ", ".eyJ", "M", "TOKEN=", "aws_secret_access_key", " = ", '"', "\\", "\n", " ",
            "-----BEGIN ", "RSA PRIVATE KEY-----", BODY, "-----END RSA PRIVATE KEY-----",
            "DEK-Info: AES-128-CBC,", "correct horse", "corr", "a" * 30, "A1" * 20, "é", "💥",
        ]
    ),
    st.text(alphabet='sk-ant_:/@. \n"\\AMeyJ=0', max_size=6),
)  # fmt: skip


@st.composite
def _split_texts(draw: st.DrawFn) -> list[str]:
    text = "".join(
        fragment[: draw(st.integers(0, len(fragment)))] if draw(st.booleans()) else fragment
        for fragment in draw(st.lists(_FRAGMENTS, max_size=12))
    )
    if draw(st.booleans()):
        return list(text)
    cuts = sorted(draw(st.lists(st.integers(0, len(text)), max_size=10)))
    return [text[a:b] for a, b in zip([0, *cuts], [*cuts, len(text)], strict=True)]


def _covered_by_hand(redactor: Redactor, text: str) -> str:
    covered = [False] * len(text)
    for start in range(len(text)):
        for value in redactor._values:
            if text.startswith(value, start):
                covered[start : start + len(value)] = [True] * len(value)
        for pattern in PATTERNS:
            if match := pattern.decides.match(text, start):
                end = match.end(1)
                if pattern.goes_on is not None and (run := pattern.goes_on.match(text, end)):
                    end = run.end()
                covered[match.start(1) : end] = [True] * (end - match.start(1))
    out = ""
    for index, character in enumerate(text):
        if not covered[index]:
            out += character
        elif index == 0 or not covered[index - 1]:
            out += REDACTED
    return out


@settings(max_examples=400, deadline=None)
@given(_split_texts())
def test_any_split_gives_what_the_whole_gives(pieces: list[str]) -> None:
    whole = "".join(pieces)
    expected = KNOWN.text(whole)
    stream = KNOWN.stream()
    out = ""
    for piece in pieces:
        out += stream.feed(piece)
        # Nothing that is released is ever taken back.
        assert expected.startswith(out)
    assert out + stream.finish() == expected


@settings(max_examples=200, deadline=None)
@given(_split_texts())
def test_exactly_the_characters_of_matches_are_covered(pieces: list[str]) -> None:
    whole = "".join(pieces)
    assert KNOWN.text(whole) == _covered_by_hand(KNOWN, whole)


@settings(max_examples=200, deadline=None)
@given(_split_texts(), st.sampled_from([*KEYS.values(), LONG]))
def test_no_part_of_a_secret_is_released_early(pieces: list[str], secret: str) -> None:
    stream = KNOWN.stream()
    before = "".join(map(stream.feed, pieces)) + stream.feed("\n")
    held = stream.held
    out = "".join(map(stream.feed, secret))
    assert secret not in before + out + stream.finish()
    assert held or secret[:3] not in out


def test_a_complete_line_flows_at_once() -> None:
    stream = KNOWN.stream()
    for line in ["An ordinary line, as agents write them.\n", "- `x = 1`\n", "\n", "| a | b |\n"]:
        assert stream.feed(line) == line
        assert stream.held == 0


def test_a_word_is_held_only_while_it_may_become_a_key() -> None:
    stream = Redactor().stream()
    assert stream.feed("the end of a quick sk") == "the end of a quick "
    assert stream.held == 2
    assert stream.feed("y is wild") == "sky is wild"


def test_a_key_without_an_end_is_never_kept() -> None:
    stream = Redactor().stream()
    assert stream.feed("x sk-ant-0123456789") == f"x {REDACTED}"
    for _ in range(100):
        assert stream.feed("a" * 1000) == ""
        assert stream.held <= 1
    assert stream.feed(" z") == " z"
    assert stream.finish() == ""


def test_a_finished_stream_starts_another_text() -> None:
    stream = Redactor().stream()
    assert stream.feed("sk-ant-01234567") + stream.finish() == REDACTED
    assert stream.feed("89 ") + stream.finish() == "89 "


@pytest.mark.parametrize(
    "unit",
    [
        "x", "M", "sk-ant-", "eyJ", ".eyJaaaaaaaa", "://a:", "TOKEN=", "-----BEGIN ", "s3cr3",
        "https://u:" + "p" * 600, "Authorization: Bearer ", "aws_secret_access_key=",
    ],
)  # fmt: skip
def test_an_endless_line_takes_time_in_proportion(unit: str) -> None:
    def seconds(size: int) -> float:
        text = unit * (size // len(unit))
        start = time.thread_time()  # the processor's: what others take of it does not count
        stream = KNOWN.stream()
        for index in range(0, len(text), 65536):
            stream.feed(text[index : index + 65536])
            assert stream.held <= 1100
        stream.finish()
        return time.thread_time() - start

    seconds(50_000)
    small = min(seconds(100_000) for _ in range(3))
    assert seconds(800_000) < small * 8 * 3 + 0.2


def test_ten_megabytes_without_a_newline_pass() -> None:
    text = "0123456789abcdef " * 600_000
    assert KNOWN.text(text) == text
