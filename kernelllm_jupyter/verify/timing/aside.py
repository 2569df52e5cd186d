"""Our own models aside while something is timed: at rest, and off the GPU where it needs the room.

Runs in the caller's process and imports no torch. :func:`need_bytes` is pure.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from kernelllm_jupyter.address import server_address
from kernelllm_jupyter.engines.lifecycle import running
from kernelllm_jupyter.engines.parking import parked
from kernelllm_jupyter.errors import CheckCancelled
from kernelllm_jupyter.timings import Work
from kernelllm_jupyter.values import Finding

__all__ = ["Aside", "models_aside", "need_bytes", "server_note"]

#: How long our own models are waited for, until none of them generates.
REST_WITHIN_S = 30.0
#: Whatever the problem: two processes on the GPU with a buffer each to clear its cache with, the
#: copy and the product that show its limits, and what compiling tries out.
FIXED_BYTES = 6 << 30
#: For each byte that a call reads or writes: inputs in several sets and copies, weights and outputs
#: in two processes, and the exact results.
TIMES = 24


@dataclass(frozen=True)
class Aside:
    """What our models did to a measurement, and what is to be said of them beside it."""

    disturbed: tuple[Finding, ...] = ()
    notes: tuple[str, ...] = ()


def need_bytes(work: Work | None, *, sweep: bool) -> int | None:
    """The device memory that a measurement takes; None where that is all it can get: over sizes,
    or for a problem of which nothing is known."""
    return None if work is None or sweep else FIXED_BYTES + TIMES * work.bytes


@contextmanager
def models_aside(
    find_work: Callable[[], Work | None],
    *,
    sweep: bool,
    at_most_s: float,
    progress: Callable[[str], None] | None,
    cancel: threading.Event | None,
) -> Iterator[Aside]:
    """Our models parked while this lasts; raises ``CheckCancelled`` while it waits for them.

    ``find_work`` is asked where a model of ours is on a GPU.
    """
    models = running()
    if not models:
        yield Aside()
        return
    on_gpu = any(str(each.get("device")).startswith(("cuda", "auto")) for each in models)
    need = need_bytes(find_work(), sweep=sweep) if on_gpu else 0
    told = False

    def waiting() -> None:
        nonlocal told
        if cancel is not None and cancel.is_set():
            raise CheckCancelled("The benchmark was cancelled.")
        if progress is not None and not told:
            progress("Waiting for the model to be idle")
            told = True

    with parked(need, within_s=REST_WITHIN_S, at_most_s=at_most_s, waiting=waiting) as found:
        busy = ", ".join(each.model for each in found if each.state == "busy")
        text = f"A model of ours was still at work during the measurement: {busy}."
        gone = [each.model for each in found if each.given_up == "weights"]
        if gone and progress is not None:
            progress(f"{', '.join(gone)} made room on the GPU")
        yield Aside(
            (Finding("own_model", text),) if busy else (),
            tuple(
                f"{each.model} keeps a part of the GPU's memory: {each.note}."
                for each in found
                if each.note
            ),
        )


def server_note(model: str | None) -> str:
    """What a timing says of a candidate's model where that is on a server: we cannot park it."""
    address = server_address(model) if model is not None else None
    if address is None:
        return ""
    return (
        f"The model's server ({address.authority}) cannot be parked: if it uses this GPU, it has "
        "its memory, and its work disturbs these figures."
    )
