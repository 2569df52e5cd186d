"""Our models aside while something is timed: nothing begins, what runs goes on, memory comes back.

Through real processes and checkpoints on a CPU; what is moved there is moved the same way on a GPU.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from engine_fixtures import make_checkpoint
from tape_graph import capturing
from test_engine_batching import Decoder, Request, finish
from test_engine_faults import Heard
from test_engine_stepping import llama, reply, tokens

from kernelllm_jupyter.engines import LoadProgress
from kernelllm_jupyter.engines.batching import Batcher
from kernelllm_jupyter.engines.local import LocalEngine, stop_all
from kernelllm_jupyter.engines.parking import GivenUp, given_up, parked
from kernelllm_jupyter.errors import CheckCancelled
from kernelllm_jupyter.timings import Work
from kernelllm_jupyter.values import Sampling
from kernelllm_jupyter.verify.timing.aside import (
    FIXED_BYTES,
    models_aside,
    need_bytes,
    server_note,
)

PROMPT = "class ModelNew"
SHORT = Sampling(temperature=0.0, max_new_tokens=24)
#: More than any test waits for: it must be cancelled.
ENDLESS = Sampling(temperature=0.0, max_new_tokens=30_000)
BOUND_S = 60.0
GIB = 1 << 30


# --- what is given up ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("free", "need", "caches", "movable", "expected"),
    [
        (None, None, 0, True, "nothing"),
        (20 * GIB, 10 * GIB, 4 * GIB, True, "nothing"),
        (8 * GIB, 10 * GIB, 4 * GIB, True, "caches"),
        (8 * GIB, 10 * GIB, 2 * GIB, True, "weights"),
        (8 * GIB, 10 * GIB, 2 * GIB, False, "caches"),
        (60 * GIB, None, 2 * GIB, True, "weights"),
        (10 * GIB, 10 * GIB, 0, True, "weights"),
    ],
    ids=["no GPU", "room", "caches", "weights", "packed", "all there is", "just not"],
)
def test_as_little_is_given_up_as_leaves_room(
    free: int | None, need: int | None, caches: int, movable: bool, expected: GivenUp
) -> None:
    assert given_up(free, need, caches, movable=movable) == expected


def test_what_a_measurement_needs_grows_with_the_problem() -> None:
    work = Work(GIB, GIB, 0)
    assert need_bytes(work, sweep=False) == FIXED_BYTES + 48 * GIB
    assert need_bytes(work, sweep=True) is None, "up to what memory allows"
    assert need_bytes(None, sweep=False) is None


def test_a_server_cannot_be_parked_and_the_timing_says_so() -> None:
    note = server_note("http://127.0.0.1:8000#meta-llama/Llama-3.1-8B")
    assert "127.0.0.1:8000" in note
    assert "cannot be parked" in note
    assert server_note("starter") == server_note(None) == ""


# --- nothing begins ------------------------------------------------------------------------------


def test_a_hold_lets_go_on_what_is_decoded_and_begins_nothing() -> None:
    decoder = Decoder()
    decoder.gate.clear()
    batcher = Batcher(decoder)
    first, second = Request((1,)), Request((2,))
    batcher.submit(first)
    assert decoder.entered.acquire(timeout=BOUND_S)
    batcher.hold()
    batcher.hold()
    batcher.submit(second)
    assert not batcher.at_rest
    decoder.gate.set()
    finish([first])
    batcher.release()
    assert batcher.held
    assert not second.decoded.is_set()
    assert decoder.batches == [[first]]
    batcher.release()
    finish([second])


# --- memory goes and comes back ------------------------------------------------------------------


def spoil(old: list[Any]) -> None:
    """What still looks at memory that was given back reads this."""
    for tensor in old:
        if tensor.is_floating_point():
            tensor.fill_(float("nan"))


def test_a_parked_model_writes_the_same_afterwards_and_waits_meanwhile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    from kernelllm_jupyter.engines.host import ModelHost
    from kernelllm_jupyter.engines.placement import Placement

    host = ModelHost("tiny", str(make_checkpoint(tmp_path / "checkpoint")), "cpu", "auto")
    host.load()
    assert host._loaded is not None
    model = host._loaded.model

    def begun() -> Heard:
        heard = Heard()
        host.submit(PROMPT, SHORT, heard)
        return heard

    def written(heard: Heard) -> str:
        assert heard.over.wait(BOUND_S)
        return "".join(heard.said)

    before = written(begun())
    monkeypatch.setattr(Placement, "free_bytes", lambda self: 0)
    with host.parked(None, lambda: None) as (gave, note):
        assert (gave, note) == ("weights", "")
        assert host.status()["parked"]
        away = [tensor.data for tensor in model.parameters()]
        waiting = begun()
        with host.parked(None, lambda: None) as again:
            assert again == ("weights", ""), "it is away already"
        assert not waiting.said
    spoil(away)
    assert written(waiting) == before
    assert not host.status()["parked"]
    # What does not come back at once is brought back when it is needed.
    move = Placement._move
    failures = [torch.OutOfMemoryError("CUDA out of memory.")] * 2

    def full(self: Placement, device: Any) -> None:
        if self.away and failures:
            raise failures.pop()
        move(self, device)

    monkeypatch.setattr(Placement, "_move", full)
    with host.parked(None, lambda: None):
        pass
    assert "out of memory" in written(begun())
    assert written(begun()) == before


def test_without_room_in_main_memory_weights_stay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from kernelllm_jupyter.engines import placement
    from kernelllm_jupyter.engines.loading import load_checkpoint

    loaded = load_checkpoint(make_checkpoint(tmp_path / "checkpoint"), "cpu", "auto")
    monkeypatch.setattr(placement, "available_bytes", lambda: 1000)
    monkeypatch.setattr(placement.Placement, "free_bytes", lambda self: 0)
    gave, note = placement.Placement(loaded).make_room(None)
    assert gave == "caches"
    assert "no room" in note


def test_compiled_passes_outlive_the_memory_that_they_ran_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """With tapes for CUDA graphs, which hold addresses as those do."""
    import torch

    from kernelllm_jupyter.engines.attention import use_grouped
    from kernelllm_jupyter.engines.placement import Placement
    from kernelllm_jupyter.engines.stepping import Stepper, decode

    model = llama(vocabulary=16)
    use_grouped(model)
    capturing(monkeypatch, [90])
    stepper = Stepper(model, "cpu", guesses=True)
    stepper._captures = True
    monkeypatch.setattr(torch, "compile", lambda run, **_: run)
    stepper.compile()
    loaded: Any = SimpleNamespace(model=model, device="cpu", stepper=stepper, quantization="none")
    monkeypatch.setattr(Placement, "free_bytes", lambda self: 0)
    placement = Placement(loaded)

    def written(count: int) -> list[list[int]]:
        replies = [reply([1, 2, 3, 1, 2], 12, seed=at, temperature=0.5) for at in range(count)]
        assert decode(stepper, replies)
        return tokens(replies)

    before = [written(1), written(3)]
    assert stepper.cache_bytes()
    for _ in range(2):
        old = [tensor.data for tensor in model.parameters()]
        assert placement.make_room(None) == ("weights", "")
        spoil(old)
        assert stepper.cache_bytes() == 0
        away = [tensor.data for tensor in model.parameters()]
        placement.bring_back()
        spoil(away)
        assert [written(1), written(3)] == before
        assert stepper.way == "compiled"


def test_nothing_is_compiled_anew_after_a_park() -> None:
    import torch

    from kernelllm_jupyter.engines.placement import Placement
    from kernelllm_jupyter.engines.slots import Slots
    from kernelllm_jupyter.engines.stepping import Stepper

    model = llama(vocabulary=16)
    stepper, slots = Stepper(model, "cpu", guesses=True), Slots(1, 64, "cpu")
    loaded: Any = SimpleNamespace(model=model, device="cpu", stepper=None, quantization="none")
    placement = Placement(loaded)
    read = torch.tensor([[3, 1, 4, 1]])
    with torch.no_grad():
        stepper.run(slots, torch.zeros((1, 1), dtype=torch.long))
        traced = torch.compile(stepper.run, fullgraph=True, dynamic=False, backend="eager")
        slots.positions = torch.arange(4)[None]
        before = traced(slots, read).clone()
        placement._move(torch.device("cpu"))
        slots.let_go()
        slots.take_up()
        with torch.compiler.set_stance("fail_on_recompile"):
            torch.testing.assert_close(traced(slots, read), before)


# --- through the process -------------------------------------------------------------------------


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> LocalEngine:
    # Models of other files' tests would be put aside as well.
    stop_all()
    folder = tmp_path_factory.mktemp("checkpoint")
    made = LocalEngine(str(make_checkpoint(folder, context=32_768, endless=True)))
    made.load()
    return made


@contextmanager
def aside(within_s: float = BOUND_S, at_most_s: float = BOUND_S) -> Iterator[list[str]]:
    with parked(None, within_s=within_s, at_most_s=at_most_s) as found:
        yield [each.state for each in found]


def in_thread(work: Callable[[], None]) -> threading.Thread:
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    return thread


def wait_until(condition: Callable[[], bool]) -> None:
    until = time.monotonic() + BOUND_S
    while not condition():
        assert time.monotonic() < until, "it never came to be"
        time.sleep(0.02)


def test_who_generates_meanwhile_waits_and_is_told(engine: LocalEngine) -> None:
    expected = "".join(engine.generate(PROMPT, SHORT))
    told: list[LoadProgress] = []
    with aside() as states:
        assert states == ["parked"]
        assert engine.status()["parked"]
        completion = engine.generate(PROMPT, SHORT)
        pieces: list[str] = []
        reading = in_thread(lambda: pieces.extend(completion))
        loading = in_thread(lambda: engine.load(told.append))
        wait_until(lambda: bool(completion.notes and told))
        assert engine.status()["streams"] == 1
        assert not pieces
        assert loading.is_alive()
    reading.join(BOUND_S)
    loading.join(BOUND_S)
    assert "".join(pieces) == expected
    assert "a benchmark has the GPU" in completion.notes[0]
    assert "a benchmark has the GPU" in told[0].message


def test_streams_in_flight_are_not_disturbed(engine: LocalEngine) -> None:
    streams = [engine.generate(f"class {name}", ENDLESS) for name in "AB"]
    for stream in streams:
        next(stream)
    with aside(within_s=0.3) as states:
        assert states == ["busy"]
        for stream in streams:
            next(stream)
    assert "".join(engine.generate(PROMPT, SHORT)), "it was let go again"
    # With the last of them the process comes to rest, by whatever way they end.
    for stream in streams:
        stream.close()
    with aside() as states:
        assert states == ["parked"]


def test_a_park_ends_with_its_time_and_with_the_last_who_asked(engine: LocalEngine) -> None:
    with aside(at_most_s=0.3) as states:
        assert states == ["parked"]
        assert "".join(engine.generate(PROMPT, SHORT)), "it went on by itself"
    with aside() as states:
        with aside() as others:
            assert states == others == ["parked"]
        assert engine.status()["parked"]
    wait_until(lambda: not engine.status()["parked"])


def _streaming(engine: LocalEngine) -> Any:
    stream = engine.generate(PROMPT, ENDLESS)
    next(stream)
    return stream


def test_a_measurement_says_which_model_would_not_rest(
    engine: LocalEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    from kernelllm_jupyter.verify.timing import aside as module

    monkeypatch.setattr(module, "REST_WITHIN_S", 0.3)
    said: list[str] = []

    def around(cancel: threading.Event | None = None) -> Any:
        return models_aside(
            lambda: pytest.fail("it is on no GPU"),
            sweep=False,
            at_most_s=BOUND_S,
            progress=said.append,
            cancel=cancel,
        )

    stream = _streaming(engine)
    with around() as found:
        assert [each.code for each in found.disturbed] == ["own_model"]
    assert said == ["Waiting for the model to be idle"]
    cancel = threading.Event()
    cancel.set()
    monkeypatch.setattr(module, "REST_WITHIN_S", BOUND_S)
    with pytest.raises(CheckCancelled), around(cancel):
        pass
    stream.close()
    with around() as found:
        assert not found.disturbed
        assert not found.notes


def test_a_process_that_dies_is_in_nobodys_way(engine: LocalEngine) -> None:
    with aside():
        os.kill(engine.status()["pid"], signal.SIGKILL)
        wait_until(lambda: engine.status()["state"] == "not running")
    stream = _streaming(engine)
    killer = in_thread(lambda: _kill_when_asked(engine))
    with aside() as states:
        assert states == []
    killer.join(BOUND_S)
    stream.close()


def _kill_when_asked(engine: LocalEngine) -> None:
    """Once a park is asked for, the next stream waits."""
    wait_until(lambda: engine.status()["parked"] is False)
    second = engine.generate("class B", SHORT)
    wait_until(lambda: engine.status()["streams"] == 2)
    os.kill(engine.status()["pid"], signal.SIGKILL)
    second.close()
