"""How fast is a candidate? Medians of eager PyTorch, ``torch.compile`` and the candidate.

Imports no torch: all is measured in a worker process, on a GPU only. Where there is none the
answer says so at once.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

from kernelllm_jupyter.values import Problem, Timing
from kernelllm_jupyter.verify.gpu import NO_GPU, gpu_present

__all__ = ["benchmark"]


def benchmark(
    problem: Problem,
    code: str,
    *,
    timeout_s: float = 300.0,
    progress: Callable[[str], None] | None = None,
    cancel: threading.Event | None = None,
) -> Timing:
    """Time ``code`` against the reference, in milliseconds of one call.

    Raises as :func:`kernelllm_jupyter.verify.check.check` does; a candidate that fails gives a
    ``Timing`` that was not measured and says why.
    """
    if not gpu_present():
        return Timing("not measured", f"{NO_GPU} Times of Triton's interpreter would mean nothing.")
    raise NotImplementedError
