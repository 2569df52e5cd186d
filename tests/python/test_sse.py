"""Server-sent events, split in every way a network may split them."""

from __future__ import annotations

import pytest

from kernelllm_jupyter.engines.sse import MAX_EVENT_BYTES, EventReader, EventTooLong, ServerEvent

STREAM = (
    "\ufeff: a comment\r\n"
    "data: first\r\n\r\n"
    "event: error\ndata: größer 🚀\ndata:  two\n\n"
    "id: 7\rdata\rdata: x\r\r"
    'error: {"code": 500}\n\n'
    "\n\n: only a comment\n\n"
    "data: no blank line follows"
).encode()
EVENTS = [
    ServerEvent("first"),
    ServerEvent("größer 🚀\n two", "error"),
    ServerEvent("\nx"),
    ServerEvent('{"code": 500}', "error"),
    ServerEvent("no blank line follows"),
]


def read(pieces: list[bytes]) -> list[ServerEvent]:
    reader = EventReader()
    return [event for piece in pieces for event in reader.feed(piece)] + reader.flush()


@pytest.mark.parametrize("size", [1, 2, 3, 5, 7, 16, 1000])
def test_events_are_the_same_however_the_bytes_are_split(size: int) -> None:
    pieces = [STREAM[at : at + size] for at in range(0, len(STREAM), size)]
    assert read(pieces) == EVENTS


def test_events_are_the_same_whichever_two_pieces_they_come_in() -> None:
    for cut in range(len(STREAM) + 1):
        assert read([STREAM[:cut], STREAM[cut:]]) == EVENTS, cut


def test_an_event_is_given_as_soon_as_its_blank_line_is_there() -> None:
    reader = EventReader()
    assert reader.feed(b"data: a\n") == []
    assert reader.feed(b"\n") == [ServerEvent("a")]
    assert reader.flush() == []


def test_bytes_that_are_no_utf8_are_replaced() -> None:
    assert read([b"data: a\xff\n\n"]) == [ServerEvent("a\ufffd")]


@pytest.mark.parametrize("piece", [b"x" * 65536, b"data: " + b"x" * 65529 + b"\n"])
def test_an_event_without_end_is_refused(piece: bytes) -> None:
    reader = EventReader()
    for _ in range(MAX_EVENT_BYTES // len(piece) - 1):
        assert reader.feed(piece) == []
    with pytest.raises(EventTooLong):
        reader.feed(piece * 3)
