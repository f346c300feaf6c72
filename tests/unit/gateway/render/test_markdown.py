from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from repobridge_gateway.render.fences import Kind, scan
from repobridge_gateway.render.inline import code, escaped, inline, plain
from repobridge_gateway.render.markdown import for_discord
from repobridge_gateway.render.split import split
from tests.unit.gateway.render.pictures import assert_is_golden

ZERO = "\u200b"
_CODE = re.compile(r"\\[!-/:-@\[-`{-~]|(?<!`)(`+)(?!`)(.+?)(?<!`)\1(?!`)", re.S)
_LIVE = re.compile(r"@everyone|@here|<@[!&]?\d|<#\d|<t:-?\d|</[^<>\n]{1,100}:\d|<a?:\w+:\d|\|\|")

AGENTS = """\
# Rate limits ##
#### A **deep** heading

Setext
------

We now refill [the bucket](https://example.org/bucket) on every request,
see [src/limits.py](src/limits.py#L10) and [the tests](tests/test_limits.py).

* [ ] write a test
* [x] mend it
  + nested
1) first
2) second

***

| Route      | Before |  After | Note         |
|------------|-------:|-------:|:------------:|
| `/pay`     |   12.5 |    3.1 | **faster**   |
| 表示       |      1 |      1 | a \\| b      |

![a graph](https://example.org/g.png) and <b>bold</b> <kbd>Ctrl</kbd><br>Vec<T> &lt;tag&gt;

> [!WARNING]
> > careful

Ask @everyone or <@123>, `@here` stays.[^1]

[^1]: Not really.

~~~python title="a.py"
print("```")
~~~
"""


def test_what_an_agent_writes_reads_well_in_discord() -> None:
    assert_is_golden("markdown", for_discord(AGENTS) + "\n")


@pytest.mark.parametrize(
    ("markdown", "told"),
    [
        ("###### six", "**six**"),
        ("### three ###", "### three"),
        ("# C#", "# C#"),
        ("Title\n=====\ntext", "# Title\ntext"),
        ("text\n\n---\n\nmore", "text\n\n────────────\n\nmore"),
        ("![](https://e.org/a.png)", "[image](https://e.org/a.png)"),
        ("![alt](a.png)", "alt (`a.png`)"),
        ("[![ci](https://e.org/b.svg)](https://ci.org)", "[ci](https://ci.org)"),
        ('[t](https://e.org "title")', "[t](https://e.org)"),
        ("[t](https://e.org/a_(b))", "[t](https://e.org/a_(b))"),
        ("[t][r]\n\n[r]: https://e.org", "[t](https://e.org)"),
        ("[t][unknown]", "[t][unknown]"),
        ("[a.py:4](a.py)", "a.py:4 (`a.py`)"),
        ("[`a.py`](src/a.py)", "`a.py`"),
        ("[top](#top)", "top"),
        ("[mail](mailto:a@e.org)", "mail (`a@e.org`)"),
        ("[x](javascript:alert%281%29)", "x (`javascript:alert%281%29`)"),
        ("a <i>lean</i> <p>word</p>", "a *lean* word"),
        ('<a href="https://e.org">there</a>', "[there](https://e.org)"),
        ('<img src="https://e.org/a.png" alt="A">', "[A](https://e.org/a.png)"),
        ("Map<String, T>", "Map<String, T>"),
        ("before\n<!-- not\nfor you -->\nafter", "before\n\nafter"),
        ("&amp; &lt;b&gt; &copy;", "& <b> &copy;"),
        ("__strong words__ __init__.py a__b__c", r"**strong words** \_\_init\_\_.py a\_\_b\_\_c"),
        ("a || b || c", r"a \|\| b \|\| c"),
        ("> > > deep", "> deep"),
        (">>> doctest", "> doctest"),
        ("a\n\n\n\n\nb", "a\n\nb"),
        ("+ a\n\t+ b", "- a\n    - b"),
        (
            "see https://e.org/a__b__c, _https://e.org_",
            "see https://e.org/a__b__c, _https://e.org_",
        ),
        ("an unclosed ``` mark", r"an unclosed \`\`\` mark"),
        (r"\*not lean\* \`<@1>\`", rf"\*not lean\* \`<{ZERO}@1>\`"),
        ("```\nopen", "```\nopen\n```"),
        ("``` {.python .numbered}\nx\n```", "```python\nx\n```"),
        ("```\n```", "```\n \n```"),
        ("> ```\n> quoted\nnot", "> ```\n> quoted\n> ```\nnot"),
        ("1. ```sh\n   ls\n   ```", "1.\n```sh\nls\n```"),
        ("- a\n  ```\n  b\n    c\nd\n  ```\n- e", "- a\n```\nb\n  c\nd\n```\n- e"),
        (">   ```\n>   b\n>   ```", "> ```\n> b\n> ```"),
        ("````md\n```\nx\n```\n````", f"```md\n`{ZERO}``\nx\n`{ZERO}``\n```"),
    ],
)
def test_what_discord_does_not_know_is_told_otherwise(markdown: str, told: str) -> None:
    assert for_discord(markdown) == told


@pytest.mark.parametrize(
    ("markdown", "told"),
    [
        ("[github.com](https://github.com/a)", "[github.com](https://github.com/a)"),
        ("[www.github.com](https://github.com/a)", "[www.github.com](https://github.com/a)"),
        ("[e.org](https://evil.example/a)", "[e.org](https://evil.example/a) (`evil.example`)"),
        ("[app.py](https://github.com/app.py)", "[app.py](https://github.com/app.py)"),
        ("[https://e.org](https://e.org)", "https://e.org"),
        ("[https://e.org](https://evil.example)", "`https://e.org` (https://evil.example)"),
        ("[x](https://github.com@evil.example/)", "x (`https://github.com@evil.example/`)"),
        ("[x](https://gіthub.com)", "[x](https://gіthub.com) (`gіthub.com`)"),
        ("[x](https://xn--gthub-n2e.com)", "[x](https://xn--gthub-n2e.com) (`xn--gthub-n2e.com`)"),
        ("[x](http://[::1)", "x (`http://[::1`)"),
    ],
)  # fmt: skip
def test_a_link_leads_where_it_seems_to(markdown: str, told: str) -> None:
    assert for_discord(markdown) == told


@pytest.mark.parametrize(
    "mention",
    [
        "@everyone", "@here", "<@12>", "<@!12>", "<@&12>", "<#12>", "</run it:12>", "<t:12:R>",
        "<:wave:12>", "<a:wave:12>", "<id:customize>", "&lt;@12&gt;", "&#64;everyone",
    ],
)  # fmt: skip
def test_mentions_are_shown_and_do_nothing(mention: str) -> None:
    for text in (mention, f"# {mention}", f"- [ ] {mention}", f"> {mention}", f"**{mention}**"):
        told = for_discord(text)
        assert not _LIVE.search(told)
        assert ZERO in told
    assert for_discord(f"`{mention}`") == f"`{mention}`"
    assert for_discord(f"```\n{mention}\n```") == f"```\n{mention}\n```"


def test_text_that_comes_to_look_like_a_fence_is_none() -> None:
    told = for_discord("~~~ words that are no language<br>and more of them")
    assert told == rf"{ZERO}\~\~\~ words that are no language" + "\nand more of them"


def test_what_turns_text_around_or_obeys_is_shown_as_unknown() -> None:
    assert (
        for_discord("a\u202eb\u2066c\x1b[31m\x07\u2028")
        == "a\ufffdb\ufffdc\ufffd\\[31m\ufffd\ufffd"
    )
    assert for_discord("&#27; &#8238; &#0;") == "&#27; &#8238; &#0;"
    assert for_discord("\x000\x00 `a`") == "\ufffd0\ufffd `a`"


parts = st.one_of(
    st.sampled_from(
        [
            "@everyone", "<@1>", "<", "@1>", "|", "|", "`", "``", "```", "\n", "\n\n", "[", "](",
            ")", "https://e.org", "> ", "- ", "# ", "__", "**", "\\", "|a|b|\n|-|-|\n|c|<@1>|\n",
            "&lt;@1", "<b>", "</b>", "<br>", "<!--", "-->", "~~~", "\u202e", "\ud800", "[^1]",
            "&#64;here",
        ]
    ),
    st.text(max_size=10),
)  # fmt: skip


@given(st.lists(parts, max_size=30).map("".join))
def test_whatever_is_written_is_safe_and_whole(markdown: str) -> None:
    told = for_discord(markdown)
    assert not re.search(
        r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]", told
    )
    lines = scan(told)
    assert not lines[-1].leaves_open
    for line in lines:
        if line.kind is Kind.TEXT:
            assert not _LIVE.search(re.sub(r"https?://\S+", "·", _CODE.sub("·", line.text)))
    assert all(len(each) <= 2000 for each in split(told))


@pytest.mark.parametrize(
    "unit",
    ["[", "`", "__a ", " __a", "<b>", "<!--\n", "> ", "# ", "|", "\\", "*a", "<a ", "- ", "&"],
)
def test_much_of_one_mark_takes_no_time(unit: str) -> None:
    assert for_discord(unit * 20_000) is not None
    assert plain(unit * 2_000) is not None


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", ""),
        ("make test", "`make test`"),
        ("a`b", "`` a`b ``"),
        ("a``b", "`aˋˋb`"),
        ("`", "`` ` ``"),
        ("two\nlines", "`two lines`"),
    ],
)
def test_any_line_can_be_inline_code(text: str, told: str) -> None:
    assert code(text) == told


def test_a_name_is_only_a_name() -> None:
    assert escaped("**Ada** <@1> `x` @here\n# [y]") == (
        rf"\*\*Ada\*\* <{ZERO}@1\> \`x\` @{ZERO}here \# \[y\]"
    )


@given(st.text(st.characters(exclude_characters="\0\\`<&[_|@")))
def test_a_line_without_a_mark_is_as_one_with_a_mark_elsewhere(line: str) -> None:
    assert inline(rf"\* {line}") == rf"\* {inline(line)}"


@pytest.mark.parametrize(
    ("markdown", "told"),
    [
        ("**a** *b* `c` [d](e) ~~f~~ __g__ _h_ ![i](j)", "a b c d f g h i"),
        ("snake_case_name 2*3*4", "snake_case_name 2*3*4"),
        (r"a \| b &amp; <br> c", "a | b & / c"),
    ],
)
def test_plain_text_is_what_a_reader_sees(markdown: str, told: str) -> None:
    assert plain(markdown) == told
