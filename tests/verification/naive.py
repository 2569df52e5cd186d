"""What a plain harness says: ``torch.allclose(atol=rtol=1e-2)``, one shape, one draw of inputs.

The way in which kernels are usually compared: both modules built by one seed in one process, the
same input objects handed to both, the outputs compared once. It runs in the checker's interpreter
(so that code written for CUDA is not refused for that alone), without the checker's bounds.

``python tests/verification/naive.py FILE`` reads a JSON list of ``[reference, candidate]`` and
prints one line for each: ``correct``, ``incorrect`` or ``failed``.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import tempfile
from pathlib import Path
from typing import Any

TOLERANCE = 1e-2
#: A run that takes longer counts as failed: the large problems, in an interpreter.
LIMIT_S = 10


def said(reference: str, candidate: str) -> str:
    """The answer on one pair, from a process of its own."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        signal.alarm(LIMIT_S)
        quiet = os.open(os.devnull, os.O_WRONLY)
        os.dup2(quiet, 1)
        os.dup2(quiet, 2)
        answer = "failed"
        try:
            answer = "correct" if compared(reference, candidate) else "incorrect"
        finally:
            os.write(writer, answer.encode())
            os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as answers:
        answer = answers.read().decode()
    os.waitpid(child, 0)
    return answer or "failed"


def compared(reference: str, candidate: str) -> bool:
    """Build both, run both on the same inputs, compare the outputs."""
    import torch

    from kernelllm_jupyter.verify.child import constructor_arguments, execute
    from kernelllm_jupyter.verify.nests import leaves
    from kernelllm_jupyter.verify.surroundings import surroundings

    with tempfile.TemporaryDirectory() as folder, surroundings("cpu"), torch.no_grad():
        ours = execute(reference, Path(folder) / "reference.py")
        theirs = execute(candidate, Path(folder) / "candidate.py")
        torch.manual_seed(0)
        init = ours.get_init_inputs() if hasattr(ours, "get_init_inputs") else []
        args, kwargs = constructor_arguments(init)
        inputs = ours.get_inputs()
        torch.manual_seed(0)
        model = ours.Model(*args, **kwargs)
        torch.manual_seed(0)
        other = theirs.ModelNew(*args, **kwargs)
        expected = [leaf for _, leaf in leaves(model(*inputs))]
        got = [leaf for _, leaf in leaves(other(*inputs))]
        return len(expected) == len(got) and all(map(close, got, expected))


def close(got: Any, expected: Any) -> bool:
    import torch

    return got.shape == expected.shape and torch.allclose(
        got, expected, atol=TOLERANCE, rtol=TOLERANCE
    )


def main() -> None:
    os.environ["TRITON_INTERPRET"] = "1"
    from kernelllm_jupyter.verify.interpreter import bounds as interpreter_bounds
    from kernelllm_jupyter.verify.roles import install

    interpreter_bounds.install = lambda *_: None
    install("cpu").start(disabled=False, operators=None)
    for reference, candidate in json.loads(Path(sys.argv[1]).read_text()):
        print(said(reference, candidate), flush=True)


if __name__ == "__main__":
    main()
