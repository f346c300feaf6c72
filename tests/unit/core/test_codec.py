import typing
from enum import Enum

import pytest
from hypothesis import given
from hypothesis import strategies as st

from repobridge.session import codec, events
from repobridge.session.v1 import session_pb2 as pb

BODIES = typing.get_args(events.Body)
ENUMS = [
    kind
    for kind in vars(events).values()
    if isinstance(kind, type) and issubclass(kind, Enum) and kind is not Enum
]
text = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
whole = st.integers(0, 2**31)
st.register_type_strategy(str, text)
st.register_type_strategy(int, whole)
st.register_type_strategy(float, st.integers(1, 4_000_000_000).map(float))


@given(st.sampled_from(BODIES).flatmap(st.from_type))
def test_every_event_survives_the_wire(body: events.Body) -> None:
    event = events.Event(
        body=body,
        conversation_id="main",
        session_id="s",
        generation=2,
        turn_id="t",
        log_id="l",
        sequence=7,
        at=1.5,
    )
    wire = pb.Event.FromString(codec.event_to_pb(event).SerializeToString())
    assert codec.event_from_pb(wire) == event


def test_every_kind_of_event_on_the_wire_has_a_value_type_with_the_same_fields() -> None:
    kinds = {f.name: f.message_type for f in pb.Event.DESCRIPTOR.oneofs_by_name["kind"].fields}
    ours = {codec._BODY_FIELDS[body]: body for body in BODIES}
    assert set(ours) == set(kinds)
    for name, body in ours.items():
        wire = kinds[name]
        assert wire is not None
        assert [f.name for f in wire.fields] == list(body.__dataclass_fields__), name


@pytest.mark.parametrize("kind", ENUMS, ids=lambda k: k.__name__)
def test_every_enum_has_the_wires_members(kind: type[Enum]) -> None:
    wire = pb.DESCRIPTOR.enum_types_by_name[kind.__name__]
    prefix = wire.values[0].name.removesuffix("UNSPECIFIED")
    assert {v.name.removeprefix(prefix): v.number for v in wire.values[1:]} == {
        m.name: m.value for m in kind
    }


def test_an_event_of_a_newer_version_is_nothing() -> None:
    assert codec.event_from_pb(pb.Event(sequence=3)) is None
