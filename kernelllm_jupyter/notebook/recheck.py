"""The panel's Check and Benchmark buttons: both act on the generated cell's present text.

The text is asked of the front end (a person may have edited it), then the work runs in a thread,
so that the Jupyter kernel stays free. One at a time for each panel; Stop ends it, and leaves the
panel as it was before.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from kernelllm_jupyter.errors import CheckCancelled, KernelLLMError
from kernelllm_jupyter.heading import without_heading
from kernelllm_jupyter.notebook import cell as cells
from kernelllm_jupyter.notebook.panel import View
from kernelllm_jupyter.options import Request
from kernelllm_jupyter.records import Recording
from kernelllm_jupyter.report import Report
from kernelllm_jupyter.translate import run_check
from kernelllm_jupyter.values import Problem

__all__ = ["Recheck"]


class Recheck:
    """What the buttons do; ``report`` is what the panel last settled on."""

    def __init__(
        self,
        problem: Problem,
        request: Request,
        front: cells.FrontEnd | None,
        settle: Callable[[Report], None],
    ):
        self._problem = problem
        self._request = request
        self._front = front
        self._settle = settle
        self._busy = threading.Lock()
        self._cancel = threading.Event()
        self.view: View | None = None
        self.recording: Recording | None = None
        #: The front end that asked last; a reload makes it another.
        self.session: str | None = None
        self.report = Report("done", request.model)

    def check(self) -> None:
        self._start(self._check)

    def benchmark(self) -> None:
        self._start(self._benchmark)

    def stop(self) -> None:
        self._cancel.set()

    def _start(self, work: Callable[[str], Report]) -> None:
        if not self._busy.acquire(blocking=False):
            return
        self._cancel = threading.Event()
        self.session = cells.asking_session()
        self._show(stage="checking", message="Reading the cell …", verdict=None, timing=None)
        if self._front is None:
            self._in_background(work, self.report.code)
            return

        def received(source: str | None) -> None:
            # A front end that is gone, or a cell that was deleted, leaves what was generated.
            present = self.report.code if source is None else without_heading(source)
            self._in_background(work, present)

        cells.read_generated(self._front, received)

    def _in_background(self, work: Callable[[str], Report], code: str) -> None:
        def run() -> None:
            try:
                self._settle(work(code))
            except CheckCancelled:
                before = "; what is shown is from before." if self.report.verdict else "."
                self._settle(replace(self.report, stage="stopped", message=f"Stopped{before}"))
            except KernelLLMError as error:
                self._fail(str(error), code)
            except Exception as error:
                # A fault of ours: the thread has nobody else to tell, and the panel would wait.
                self._fail(f"{type(error).__name__}: {error}", code)
                raise
            finally:
                self._busy.release()

        threading.Thread(target=run, name="kernelllm-recheck", daemon=True).start()

    def _fail(self, message: str, code: str) -> None:
        verdict = self.report.verdict if code == self.report.code else None
        self._settle(
            replace(
                self.report,
                stage="failed",
                message=message,
                code=code,
                verdict=verdict,
                timing=None,
            )
        )

    def _check(self, code: str) -> Report:
        options = replace(self._request, check=True).check_options
        assert options is not None

        def progress(message: str) -> None:
            self._show(stage="checking", message=message, code=code)

        verdict = run_check(self._problem, code, options, progress, self._cancel)
        if self.recording is not None:
            self.recording.verdict(code, verdict)
        return replace(
            self.report, stage="done", message="", code=code, verdict=verdict, timing=None
        )

    def _benchmark(self, code: str) -> Report:
        from kernelllm_jupyter.verify.benchmark import benchmark

        def progress(message: str) -> None:
            self._show(stage="timing", message=message, code=code)

        verdict = self.report.verdict if code == self.report.code else None
        options = self._request.benchmark_options
        timing = benchmark(
            self._problem, code, options, verdict=verdict, progress=progress, cancel=self._cancel
        )
        if self.recording is not None:
            self.recording.timing(code, timing)
        return replace(
            self.report, stage="done", message="", code=code, verdict=verdict, timing=timing
        )

    def _show(self, **changes: Any) -> None:
        if self.view is not None:
            self.view.show(replace(self.report, background=True, **changes))
