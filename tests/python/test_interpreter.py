"""Triton's interpreter, as the check mends it, computes what a GPU computes.

The tables run in a process of their own, because Triton decides on import whether to interpret.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy
import pytest
import torch

HERE = Path(__file__).parent


def outcome(program: str) -> dict[str, Any]:
    environment = {**os.environ, "TRITON_INTERPRET": "1", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, str(HERE / program)],
        capture_output=True,
        text=True,
        env=environment,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def test_the_language_computes_what_pytorch_computes() -> None:
    found = outcome("interpreter_table.py")
    assert found["failures"] == {}
    assert found["count"] > 250
    # What a version of the language lacks is a handful of lines.
    assert len(found["absent"]) < 8


def test_whole_kernels_do_what_they_do_on_a_gpu() -> None:
    found = outcome("interpreter_kernels.py")
    assert found["failures"] == {}
    assert found["count"] > 15
    assert len(found["absent"]) < 8


def test_every_function_of_libdevice_can_be_called_and_is_right() -> None:
    found = outcome("libdevice_table.py")
    assert found["failures"] == {}
    assert found["count"] > 250
    assert found["compared"] > 100


def test_every_function_of_the_language_is_in_the_tables() -> None:
    import triton.language as tl

    text = "".join(path.read_text() for path in HERE.glob("*.py"))
    functions = {
        name
        for name in dir(tl)
        if not name.startswith("_")
        and callable(getattr(tl, name))
        and not isinstance(getattr(tl, name), type | tl.dtype)
    }
    untried = {name for name in functions if not re.search(rf"\btl\.{name}\b", text)}
    assert untried <= INTERNAL


#: Public by name, and no functions that a Triton kernel calls.
INTERNAL = {"aggregate_replace", "expect_zero", "philox_impl", "str_to_ty", "to_tensor"}


# --- formats that numpy lacks ------------------------------------------------------------------

EIGHT = {"fp8e4nv": torch.float8_e4m3fn, "fp8e5": torch.float8_e5m2}
FNUZ = {"fp8e4b8": torch.float8_e4m3fnuz, "fp8e5b16": torch.float8_e5m2fnuz}
FORMATS = {"bf16": torch.bfloat16, **EIGHT, **FNUZ}


def numbers() -> torch.Tensor:
    """Of every size, with ties, infinities and NaN."""
    torch.manual_seed(0)
    spread = torch.randn(20000) * 10.0 ** torch.randint(-12, 12, (20000,))
    every_half = torch.arange(0, 1 << 16, dtype=torch.int32).to(torch.int16).view(torch.float16)
    special = torch.tensor([0.0, -0.0, float("inf"), -float("inf"), float("nan"), 1e-45, 3e38])
    return torch.cat([spread, every_half.float(), special])


@pytest.mark.parametrize("name", FORMATS)
def test_widening_is_exact_for_every_pattern(name: str) -> None:
    from kernelllm_jupyter.verify.interpreter.formats import widened

    bits, integer = (16, torch.int16) if name == "bf16" else (8, torch.int8)
    patterns = torch.arange(0, 1 << bits).to(integer)
    raw = patterns.numpy().view(f"u{bits // 8}")
    torch.testing.assert_close(
        torch.from_numpy(widened(raw, name)),
        patterns.view(FORMATS[name]).float(),
        rtol=0,
        atol=0,
        equal_nan=True,
    )


@pytest.mark.parametrize("name", FORMATS)
def test_narrowing_rounds_to_nearest_even_and_saturates_as_the_hardware_does(name: str) -> None:
    from kernelllm_jupyter.verify.interpreter.formats import narrowed, widened

    values = numbers()
    got = torch.from_numpy(widened(narrowed(values.numpy(), name), name))
    dtype = FORMATS[name]
    largest = torch.finfo(dtype).max
    clipped = values if name == "bf16" else values.clamp(-largest, largest)
    torch.testing.assert_close(got, clipped.to(dtype).float(), rtol=0, atol=0, equal_nan=True)


def test_toward_zero_never_grows_a_number() -> None:
    from kernelllm_jupyter.verify.interpreter.formats import narrowed, widened

    values = numbers().numpy()
    for name in FORMATS:
        got = widened(narrowed(values, name, toward_zero=True), name)
        known = ~numpy.isnan(values)
        assert (numpy.abs(got[known]) <= numpy.abs(values[known])).all()
