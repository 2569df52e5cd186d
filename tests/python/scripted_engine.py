"""An engine whose replies are written down: for orders of arrival that no model gives on demand."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from typing import Any

from kernelllm_jupyter.engines import ProgressCallback
from kernelllm_jupyter.errors import EngineError
from kernelllm_jupyter.values import FinishReason, Prompt, Sampling

#: A piece of text, a moment to wait for, or the end of the engine.
Step = str | threading.Event | EngineError


class ScriptedCompletion:
    """Says its steps one after another; waits for the moments among them, unless it is closed."""

    def __init__(self, steps: Sequence[Step]):
        self.tokens = 0
        self.finish: FinishReason | None = None
        self.notes: list[str] = []
        self.closed = threading.Event()
        self._steps = steps

    def __iter__(self) -> Iterator[str]:
        for step in self._steps:
            while isinstance(step, threading.Event) and not step.wait(0.01):
                if self.closed.is_set():
                    break
            if self.closed.is_set():
                return
            if isinstance(step, EngineError):
                self.finish = "failed"
                raise step
            if isinstance(step, str):
                self.tokens += 1
                yield step
        self.finish = self.finish or "stop"

    def close(self) -> None:
        self.closed.set()
        self.finish = self.finish or "cancelled"


class ScriptedEngine:
    """Gives the next script to each call of ``generate``; the last one again when all are given."""

    model = "scripted"

    def __init__(self, *scripts: Sequence[Step]):
        self._scripts = scripts
        self.asked: list[tuple[Prompt, Sampling]] = []
        self.completions: list[ScriptedCompletion] = []

    def load(self, progress: ProgressCallback | None = None) -> None: ...

    def generate(self, prompt: Prompt, sampling: Sampling) -> ScriptedCompletion:
        script = self._scripts[min(len(self.asked), len(self._scripts) - 1)]
        self.asked.append((prompt, sampling))
        self.completions.append(ScriptedCompletion(script))
        return self.completions[-1]

    def status(self) -> dict[str, Any]:
        return {}

    def unload(self) -> None: ...


def never() -> threading.Event:
    """A moment that does not come."""
    return threading.Event()
