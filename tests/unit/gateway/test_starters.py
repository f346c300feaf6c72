"""A message as the first prompt of its thread: another message, at the same place."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from repobridge_gateway.chat import Attachment, ChatMessage, Person, Place
from repobridge_gateway.starters import (
    is_starter,
    make_starter,
    quoted,
    stands_at,
    starter_id,
    title_of,
)
from repobridge_gateway.store.chatjson import message_from_json, message_to_json

CHANNEL = Place(guild_id="1", channel_id="700", parent_id="")
ANN = Person(user_id="ann", display_name="Ann", role_ids=frozenset({"9"}), as_of=5.0)
BOB = Person(user_id="bob", display_name="Bob\n[admin]")
FILE = Attachment(attachment_id="5", name="a.txt", size=1, media_type="", url="there")


def message(
    content: str = "fix it", *, author: Person = BOB, files: tuple[Attachment, ...] = ()
) -> ChatMessage:
    return ChatMessage(
        message_id="900000000000000001",
        place=CHANNEL,
        author=author,
        content=content,
        attachments=files,
    )


@given(st.integers(1, 2**63 - 1))
def test_an_id_leads_to_the_starters_and_back_within_the_same_millisecond(number: int) -> None:
    there = starter_id(str(number))
    assert starter_id(there) == str(number) != there
    assert int(there) >> 22 == number >> 22


def test_somebody_elses_message_is_run_in_the_name_of_who_marked_it_and_says_whose_it_is() -> None:
    starter = make_starter(message(files=(FILE,)), ANN)
    assert starter == ChatMessage(
        message_id=starter_id("900000000000000001"),
        place=Place(guild_id="1", channel_id="900000000000000001", parent_id="700", is_ours=True),
        author=BOB,
        content="fix it",
        attachments=(FILE,),
        sponsor=ANN,
    )
    assert (is_starter(starter), is_starter(message())) == (True, False)
    assert stands_at(starter) == stands_at(message()) == ("700", "900000000000000001")
    assert starter.asker == ANN
    assert quoted(starter, "fix it") == "Bob [admin] wrote:\n\nfix it"


def test_ones_own_message_is_ones_own() -> None:
    known = Person(user_id="ann", display_name="Ann")
    starter = make_starter(message(author=known), ANN)
    assert starter is not None
    assert (starter.author, starter.sponsor) == (ANN, None)
    assert quoted(starter, "fix it") == "fix it"


def test_what_is_kept_of_it_is_read_again() -> None:
    starter = make_starter(message(), ANN)
    assert starter is not None
    read = message_from_json(message_to_json(starter))
    assert (read.sponsor, stands_at(read)) == (ANN, ("700", "900000000000000001"))


def test_nothing_and_commands_of_ours_are_no_prompt_but_a_file_is() -> None:
    assert [make_starter(message(each), ANN) for each in ("  ", "/status")] == [None, None]
    assert make_starter(message("", files=(FILE,)), ANN) is not None


def test_a_thread_is_called_by_the_first_line_or_by_who_wrote() -> None:
    def title(content: str) -> str:
        return title_of(message(content), me="77")

    assert title("<@77> Fix\tthe build\nand more") == "Fix the build"
    assert title("<@!77>") == title("") == "Session of Bob [admin]"
    assert len(title("x" * 4000)) == 80
