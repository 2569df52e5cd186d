"""Which replies are decoded together."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field

from kernelllm_jupyter.engines.batching import MAX_BATCH, MAX_SIDE_BY_SIDE, Batcher

BOUND_S = 20.0


@dataclass(eq=False)
class Request:
    prompt: tuple[int, ...]
    cancelled: bool = False
    decoded: threading.Event = field(default_factory=threading.Event)


class Decoder:
    """Notes each batch; while ``gate`` is shut, batches stay where they are."""

    def __init__(self) -> None:
        self.batches: list[list[Request]] = []
        self.gate = threading.Event()
        self.gate.set()
        self.entered = threading.Semaphore(0)

    def __call__(self, batch: Sequence[Request]) -> None:
        self.batches.append(list(batch))
        self.entered.release()
        assert self.gate.wait(BOUND_S)
        for request in batch:
            request.decoded.set()


def finish(requests: Sequence[Request]) -> None:
    assert all(request.decoded.wait(BOUND_S) for request in requests)


def test_requests_of_one_prompt_that_come_together_are_one_batch() -> None:
    decoder = Decoder()
    batcher = Batcher(decoder)
    requests = [Request((1, 2, 3)) for _ in range(8)]
    for request in requests:
        batcher.expect(request)  # As the server does for a connection that it has accepted.
    for request in requests:
        batcher.submit(request)
        batcher.settle(request)
    finish(requests)
    assert decoder.batches == [requests]


def test_different_prompts_run_side_by_side() -> None:
    decoder = Decoder()
    decoder.gate.clear()
    batcher = Batcher(decoder)
    requests = [Request((number,)) for number in range(MAX_SIDE_BY_SIDE)]
    for request in requests:
        batcher.submit(request)
    for _ in requests:
        assert decoder.entered.acquire(timeout=BOUND_S)
    assert batcher.busy == len(requests)
    decoder.gate.set()
    finish(requests)


def test_more_than_fit_wait_for_their_turn() -> None:
    decoder = Decoder()
    decoder.gate.clear()
    batcher = Batcher(decoder)
    running = [Request((number,)) for number in range(MAX_SIDE_BY_SIDE)]
    for request in running:
        batcher.submit(request)
    for _ in running:
        assert decoder.entered.acquire(timeout=BOUND_S)
    late = Request((99,))
    batcher.submit(late)
    assert not decoder.entered.acquire(timeout=0.2)
    decoder.gate.set()
    finish([*running, late])


def test_a_batch_has_an_upper_limit() -> None:
    decoder = Decoder()
    batcher = Batcher(decoder)
    requests = [Request((1,)) for _ in range(MAX_BATCH + 3)]
    for request in requests:
        batcher.expect(request)
    for request in requests:
        batcher.submit(request)
        batcher.settle(request)
    finish(requests)
    assert max(len(batch) for batch in decoder.batches) <= MAX_BATCH
    decoded = [request for batch in decoder.batches for request in batch]
    assert sorted(map(id, decoded)) == sorted(map(id, requests))


def test_a_visitor_that_never_submits_holds_nobody_up_for_long() -> None:
    decoder = Decoder()
    batcher = Batcher(decoder)
    batcher.expect("somebody who only looks")
    request = Request((1,))
    batcher.submit(request)
    finish([request])
