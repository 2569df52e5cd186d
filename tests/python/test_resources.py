"""What is read off a compiled Triton kernel."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import triton
import triton.language as tl
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from kernelllm_jupyter.verify.compiling.resources import multiplies_in_tf32


@triton.jit
def product(a, b, c, precision: tl.constexpr):
    i = tl.arange(0, 32)
    at = i[:, None] * 32 + i[None, :]
    total = tl.dot(tl.load(a + at), tl.load(b + at), input_precision=precision)
    tl.store(c + at, total)


def compiled(dtype: str, precision: str) -> Any:
    constant = {"precision": precision}
    pointers = {"a": f"*{dtype}", "b": f"*{dtype}", "c": "*fp32", "precision": "constexpr"}
    source = ASTSource(fn=product, signature=pointers, constexprs=constant)
    return triton.compile(source, target=GPUTarget("cuda", 90, 32))


@pytest.mark.parametrize(
    ("dtype", "precision", "expected"),
    [
        ("fp32", "tf32", True),
        ("fp32", "ieee", False),
        ("fp32", "tf32x3", False),
        ("fp16", "tf32", False),
    ],
)
def test_a_product_in_tf32_is_known_from_the_compiled_kernel(
    dtype: str,
    precision: str,
    expected: bool,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path))
    assert multiplies_in_tf32(compiled(dtype, precision)) is expected
