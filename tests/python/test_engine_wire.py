"""Messages over a socket: whole, in order, and without waiting for each other."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Iterator

import pytest

from kernelllm_jupyter.engines.wire import Channel, ChannelClosed, error_from, error_report
from kernelllm_jupyter.errors import EngineDied, EngineError, ModelNotFound

MESSAGES = [{"text": "größer\n\u2028 {}"}, {"tokens": 3, "nested": [{"a": None}]}, {"end": "stop"}]


@pytest.fixture
def ends() -> Iterator[tuple[socket.socket, Channel]]:
    """A bare socket, and a channel at its other end."""
    here, there = socket.socketpair(socket.AF_UNIX)
    channel = Channel(there)
    yield here, channel
    channel.close()
    here.close()


def test_messages_arrive_whole_wherever_they_are_cut(ends: tuple[socket.socket, Channel]) -> None:
    here, channel = ends
    stream = b"".join(json.dumps(message).encode() + b"\n" for message in MESSAGES)
    for size in range(1, len(stream)):
        found = []
        for at in range(0, len(stream), size):
            here.sendall(stream[at : at + size])
            while (message := channel.receive(0.0)) is not None:
                found.append(message)
        assert found == MESSAGES


def test_nothing_in_time_is_none_and_keeps_what_had_come(
    ends: tuple[socket.socket, Channel],
) -> None:
    here, channel = ends
    here.sendall(b'{"a"')
    assert channel.receive(0.01) is None
    here.sendall(b": 1}\n")
    assert channel.receive(1.0) == {"a": 1}


@pytest.mark.parametrize("nonsense", [b"no json\n", b"[1, 2]\n", b"\xff\xfe\n", b"\n"])
def test_what_is_no_message_ends_the_channel(
    ends: tuple[socket.socket, Channel], nonsense: bytes
) -> None:
    here, channel = ends
    here.sendall(nonsense)
    with pytest.raises(ChannelClosed):
        channel.receive(1.0)


def test_a_reader_that_is_stopped_does_not_hold_up_the_sender(
    ends: tuple[socket.socket, Channel],
) -> None:
    here, channel = ends
    sent = [{"number": number, "text": "x" * 1000} for number in range(2000)]
    for message in sent:  # Far more than the socket holds; nobody reads.
        channel.send(message)
    assert not channel.flush(0.05)
    reader = Channel(here)
    found = []
    flushing = threading.Thread(target=channel.flush, args=(20.0,))
    flushing.start()
    while len(found) < len(sent):
        message = reader.receive(20.0)
        assert message is not None
        found.append(message)
    flushing.join()
    assert found == sent


def test_the_end_of_the_other_side_is_told(ends: tuple[socket.socket, Channel]) -> None:
    here, channel = ends
    here.sendall(b'{"last": 1}\n')
    here.close()
    assert channel.receive(1.0) == {"last": 1}
    with pytest.raises(ChannelClosed):
        channel.receive(1.0)
    with pytest.raises(ChannelClosed):
        channel.send({"to": "nobody"})


def test_closing_wakes_who_waits(ends: tuple[socket.socket, Channel]) -> None:
    _, channel = ends
    threading.Timer(0.1, channel.close).start()
    started = time.monotonic()
    with pytest.raises(ChannelClosed):
        channel.receive(30.0)
    assert time.monotonic() - started < 15.0
    channel.close()
    with pytest.raises(ChannelClosed):
        channel.receive(0.0)


def test_errors_keep_their_kind_over_the_wire() -> None:
    for error in (EngineDied("gone"), ModelNotFound("nowhere"), EngineError("else")):
        again = error_from(error_report(error))
        assert type(again) is type(error)
        assert str(again) == str(error)
    assert type(error_from({"error": {"kind": "SystemExit", "message": "x"}})) is EngineError
