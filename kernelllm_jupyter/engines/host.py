"""The model in its process: how loading goes, what is decoded, what it says of itself.

Knows no sockets: :mod:`kernelllm_jupyter.engines.server` speaks to the clients.
"""

from __future__ import annotations

import os
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from kernelllm_jupyter.engines import LoadProgress
from kernelllm_jupyter.engines.batching import Batcher
from kernelllm_jupyter.engines.parking import GivenUp
from kernelllm_jupyter.errors import EngineError
from kernelllm_jupyter.values import Prompt, Sampling

if TYPE_CHECKING:
    from kernelllm_jupyter.engines.decoding import Reply, Sink
    from kernelllm_jupyter.engines.loading import LoadedModel
    from kernelllm_jupyter.engines.placement import Placement

__all__ = ["ModelHost", "in_words"]


class ModelHost:
    """One model, from its name to its replies.

    ``path`` is a folder or a Hugging Face id, ``name`` what the user calls it.
    """

    def __init__(self, name: str, path: str, device: str, dtype: str, quantization: str = "none"):
        self.name = name
        self.batcher: Batcher[Reply] = Batcher(self._decode)
        self._path = path
        self._device = device
        self._dtype = dtype
        self._quantization = quantization
        self._started = time.time()
        self._changed = threading.Condition()
        self._steps: list[LoadProgress] = []
        self._loaded: LoadedModel | None = None
        self._failure: EngineError | None = None
        self._placement: Placement | None = None
        self._compiling: threading.Thread | None = None
        self._parks, self._parking = 0, threading.Lock()

    @property
    def failed(self) -> bool:
        return self._failure is not None

    @property
    def loading(self) -> bool:
        return self._loaded is None and self._failure is None

    @property
    def downloading(self) -> bool:
        """Whether what it does now is fetching files."""
        with self._changed:
            return self.loading and bool(self._steps) and self._steps[-1].stage == "download"

    def load(self) -> None:
        """Load the model; whoever waits for it is told how that goes."""
        try:
            loaded = self._load()
        except EngineError as error:
            self._end_loading(None, error)
        except BaseException as error:
            traceback.print_exc()
            message = f"{self.name} could not be loaded: {in_words(error)}"
            self._end_loading(None, EngineError(message))
        else:
            self._end_loading(loaded, None)

    def _load(self) -> LoadedModel:
        from kernelllm_jupyter.engines.checkpoint import fetch

        folder = fetch(self._path, self._report)
        self._report(LoadProgress("starting", "Importing PyTorch and transformers"))
        from kernelllm_jupyter.engines.decoding import warm_up
        from kernelllm_jupyter.engines.loading import load_checkpoint
        from kernelllm_jupyter.engines.placement import Placement

        self._report(LoadProgress("load", f"Loading {self.name}"))
        loaded = load_checkpoint(
            folder,
            self._device,
            self._dtype,
            self._quantization,
            lambda need: self._report(LoadProgress("load", f"{self.name} {need}")),
        )
        warm_up(loaded)
        self._placement = Placement(loaded)
        if loaded.stepper is not None:
            # A minute's work, while the first replies are decoded without.
            self._compiling = threading.Thread(
                target=loaded.stepper.compile, name="compile", daemon=True
            )
            self._compiling.start()
        return loaded

    def _report(self, step: LoadProgress) -> None:
        with self._changed:
            # Byte counts replace one another: a late client wants the last one, not all.
            if self._steps and self._steps[-1].stage == step.stage == "download":
                self._steps.pop()
            self._steps.append(step)
            self._changed.notify_all()

    def _end_loading(self, loaded: LoadedModel | None, failure: EngineError | None) -> None:
        with self._changed:
            self._loaded, self._failure = loaded, failure
            self._changed.notify_all()

    def wait(self, tell: Callable[[LoadProgress], None], beat: Callable[[], None]) -> None:
        """Wait until the model is loaded; raises ``EngineError`` where it will not be.

        Tells each step, and gives a ``beat`` twice a second; either may raise to end the wait.
        """
        told: list[LoadProgress] = []
        while self.loading:
            with self._changed:
                self._changed.wait(0.5)
                steps = list(self._steps)
            # The last one told may have been replaced by newer byte counts.
            for step in steps[max(0, len(told) - 1) :]:
                if step not in told:
                    tell(step)
            told = steps
            beat()
        if self._failure is not None:
            raise self._failure

    # --- parked -------------------------------------------------------------------------------

    @contextmanager
    def parked(
        self, need_bytes: int | None, beat: Callable[[], None]
    ) -> Iterator[tuple[GivenUp, str]]:
        """Have nothing decoded while this lasts, and ``need_bytes`` free on the device.

        Waits for what is decoded already, with a ``beat`` from time to time, which may raise. What
        was given up, and why it was not more, is handed out.
        """
        self.batcher.hold()
        try:
            while not self.batcher.at_rest or self._is_compiling:
                beat()
            assert self._placement is not None
            with self._parking:
                self._parks += 1
            try:
                yield self._placement.make_room(need_bytes)
            finally:
                self._go_on()
        finally:
            self.batcher.release()

    @property
    def _is_compiling(self) -> bool:
        return self._compiling is not None and self._compiling.is_alive()

    def _go_on(self) -> None:
        """Bring the weights back after the last park; what does not fit now may when it is used."""
        with self._parking:
            self._parks -= 1
            if self._parks:
                return
            assert self._placement is not None
            try:
                self._placement.bring_back()
            except Exception as error:
                print(f"the weights stay in main memory for now: {in_words(error)}", flush=True)

    # --- replies ------------------------------------------------------------------------------

    def submit(self, prompt: Prompt, sampling: Sampling, sink: Sink) -> Reply:
        """Queue one reply; raises ``EngineError`` where the prompt or the sampling cannot be."""
        from kernelllm_jupyter.engines.decoding import reply_for

        assert self._loaded is not None
        reply = reply_for(self._loaded, prompt, sampling, sink)
        self.batcher.submit(reply)
        return reply

    def _decode(self, replies: Sequence[Reply]) -> None:
        from kernelllm_jupyter.engines.decoding import decode_batch
        from kernelllm_jupyter.engines.loading import release_memory

        waiting = [reply for reply in replies if not reply.cancelled]
        if not waiting:
            return
        assert self._loaded is not None
        assert self._placement is not None
        try:
            self._placement.bring_back()
            decode_batch(self._loaded, waiting)
        except BaseException as error:
            traceback.print_exc()
            words = f"{self.name} failed while it generated: {in_words(error)}"
            # What the frames of the failed call hold is free for whoever tries again.
            traceback.clear_frames(error.__traceback__)
            release_memory(self._loaded)
            for reply in waiting:
                reply.fail(words)

    def status(self) -> dict[str, Any]:
        """What ``%kernelllm status`` shows; what is not known yet is None."""
        loaded = self._loaded
        stepper = loaded.stepper if loaded else None
        return {
            "model": self.name,
            "state": "ready" if loaded else "failed" if self.failed else "loading",
            "pid": os.getpid(),
            "device": loaded.device if loaded else self._device,
            "dtype": loaded.dtype if loaded else self._dtype,
            "quantization": self._quantization,
            "parameters": loaded.parameters if loaded else None,
            "memory_bytes": int(loaded.model.get_memory_footprint()) if loaded else None,
            "decoding": f"{stepper.way} passes" if stepper else "generate",
            "streams": self.batcher.busy,
            "parked": self._parks > 0,
            "up_s": round(time.time() - self._started, 1),
        }


def in_words(error: BaseException) -> str:
    """One line for an exception that is not ours."""
    name = type(error).__name__
    lines = str(error).strip().splitlines() or [""]
    if name == "OutOfMemoryError":
        return (
            f"the GPU is out of memory ({lines[0] or name}). Ask for fewer tokens or candidates, "
            "or free the GPU."
        )
    if isinstance(error, MemoryError) or "DefaultCPUAllocator" in str(error):
        return (
            "this machine is out of memory. Ask for fewer tokens or candidates, or end what else "
            "needs memory."
        )
    return f"{name}: {lines[0]}" if lines[0] else name
