"""Our models aside while something is timed: none of them generates, and none is in the way.

A *park* is held over a connection to each model process and lasts as long as that connection, so
that it ends with whoever asked for it, by whatever way that ends. What is decoded already goes on
to its end first. What a process gives up of its memory it decides itself, by :func:`given_up`, and
takes up again afterwards. Imports no torch; moving is :mod:`kernelllm_jupyter.engines.placement`'s.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from kernelllm_jupyter.engines.runtime import ServerFiles, all_files, holder
from kernelllm_jupyter.engines.wire import PROTOCOL, Channel, ChannelClosed

__all__ = ["GivenUp", "Parked", "given_up", "parked"]

#: What a process may give up of its device's memory; each includes the one before.
GivenUp = Literal["nothing", "caches", "weights"]
#: The allocator's rounding and fragments, and what a driver takes for a new process.
MARGIN_BYTES = 1 << 30
SLICE_S = 0.2


def given_up(
    free_bytes: int | None, need_bytes: int | None, caches_bytes: int, *, movable: bool
) -> GivenUp:
    """The least that leaves room for a problem, or all there is where that is not enough.

    ``free_bytes`` is None where the model is not on a GPU, ``need_bytes`` where the problem takes
    what it gets; weights that are not ``movable`` (packed in few bits) stay.
    """
    if free_bytes is None:
        return "nothing"
    if need_bytes is not None:
        if free_bytes >= need_bytes + MARGIN_BYTES:
            return "nothing"
        if free_bytes + caches_bytes >= need_bytes + MARGIN_BYTES:
            return "caches"
    return "weights" if movable else "caches"


@dataclass(frozen=True)
class Parked:
    """How one model process took it: ``parked``, or ``busy`` where it was at work too long.

    ``note`` says what it could not give up.
    """

    model: str
    state: Literal["parked", "busy"]
    given_up: GivenUp = "nothing"
    note: str = ""


@contextmanager
def parked(
    need_bytes: int | None,
    *,
    within_s: float,
    at_most_s: float,
    waiting: Callable[[], None] = lambda: None,
    runtime_dir: Path | None = None,
) -> Iterator[tuple[Parked, ...]]:
    """Have every model process of this user parked, while this lasts.

    ``need_bytes`` is what shall be free on their devices, None for all that can be. Processes that
    do not come to rest ``within_s`` are let go again, as ``busy`` ones; after ``at_most_s`` a
    process goes on by itself. ``waiting`` is called again and again meanwhile, and may raise.
    A process that dies is none any more.
    """
    asked: list[tuple[Channel, str]] = []
    try:
        for files in all_files(runtime_dir):
            if (found := _asked(files, need_bytes, at_most_s)) is not None:
                asked.append(found)
        until = time.monotonic() + within_s
        answers = [_answer(channel, model, until, waiting) for channel, model in asked]
        yield tuple(answer for answer in answers if answer is not None)
    finally:
        for channel, _ in asked:
            channel.close()


def _asked(
    files: ServerFiles, need_bytes: int | None, at_most_s: float
) -> tuple[Channel, str] | None:
    """A connection over which parking was asked for; None where there is nobody to ask."""
    about = holder(files)
    if about is None:
        return None
    try:
        channel = Channel.connect(files.socket, 1.0)
    except OSError:
        return None
    try:
        hello = channel.receive(2.0)
        # One of another version is not told: what it does shows as use of the GPU.
        if hello is not None and hello.get("protocol") == PROTOCOL:
            channel.send({"op": "park", "need_bytes": need_bytes, "at_most_s": at_most_s})
            return channel, str(about.get("model", "a model"))
    except ChannelClosed:
        pass
    channel.close()
    return None


def _answer(
    channel: Channel, model: str, until: float, waiting: Callable[[], None]
) -> Parked | None:
    try:
        while True:
            message = channel.receive(SLICE_S)
            if message is not None and "parked" in message:
                return _told(model, message["parked"])
            if message is not None and "error" in message:
                return None
            if message is None:
                waiting()
            if time.monotonic() > until:
                break
    except ChannelClosed:
        return None
    with suppress(ChannelClosed):
        channel.close()
    return Parked(model, "busy")


def _told(model: str, found: dict[str, Any]) -> Parked:
    gave = found.get("given_up")
    known: tuple[GivenUp, ...] = ("nothing", "caches", "weights")
    return Parked(
        model, "parked", next((each for each in known if each == gave), "nothing"), found["note"]
    )
