"""libdevice functions in Triton's interpreter, which has none: mapped to torch on the CPU.

The same functions stand in for names that older Triton code uses (``tl.math.tanh``,
``tl.libdevice.tanh``) and that Triton no longer has.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy
import torch
import triton.language as tl
import triton.runtime.interpreter as tri

from kernelllm_jupyter.verify.interpreter_bfloat16 import is_bfloat16, narrowed, widened

__all__ = ["FUNCTIONS", "install"]

Function = Callable[..., torch.Tensor]


def _round_away(x: torch.Tensor) -> torch.Tensor:
    return torch.sign(x) * torch.floor(torch.abs(x) + 0.5)


def _cbrt(x: torch.Tensor) -> torch.Tensor:
    return torch.sign(x) * torch.abs(x).pow(1.0 / 3.0)


def _fma(x: torch.Tensor, y: torch.Tensor, z: torch.Tensor) -> torch.Tensor:
    return (x.double() * y.double() + z.double()).to(x.dtype)


#: libdevice's names and what computes them on a CPU; ``fast_`` forms are as exact as the others.
FUNCTIONS: dict[str, Function] = {
    "abs": torch.abs,
    "acos": torch.acos,
    "acosh": torch.acosh,
    "add_rn": torch.add,
    "asin": torch.asin,
    "asinh": torch.asinh,
    "atan": torch.atan,
    "atan2": torch.atan2,
    "atanh": torch.atanh,
    "cbrt": _cbrt,
    "ceil": torch.ceil,
    "copysign": torch.copysign,
    "cos": torch.cos,
    "cosh": torch.cosh,
    "cyl_bessel_i0": torch.special.i0,
    "div_rn": torch.div,
    "erf": torch.erf,
    "erfc": torch.erfc,
    "erfinv": torch.erfinv,
    "exp": torch.exp,
    "exp10": lambda x: torch.pow(torch.full_like(x, 10.0), x),
    "exp2": torch.exp2,
    "expm1": torch.expm1,
    "fabs": torch.abs,
    "fast_cosf": torch.cos,
    "fast_dividef": torch.div,
    "fast_expf": torch.exp,
    "fast_log2f": torch.log2,
    "fast_logf": torch.log,
    "fast_powf": torch.pow,
    "fast_sinf": torch.sin,
    "fast_tanf": torch.tan,
    "fast_tanhf": torch.tanh,
    "finitef": torch.isfinite,
    "floor": torch.floor,
    "fma": _fma,
    "fmax": torch.fmax,
    "fmin": torch.fmin,
    "fmod": torch.fmod,
    "hypot": torch.hypot,
    "isfinited": torch.isfinite,
    "isinf": torch.isinf,
    "isnan": torch.isnan,
    "j0": torch.special.bessel_j0,
    "j1": torch.special.bessel_j1,
    "lgamma": torch.lgamma,
    "llrint": torch.round,
    "log": torch.log,
    "log10": torch.log10,
    "log1p": torch.log1p,
    "log2": torch.log2,
    "mul_rn": torch.mul,
    "nearbyint": torch.round,
    "nextafter": torch.nextafter,
    "pow": torch.pow,
    "rint": torch.round,
    "round": _round_away,
    "rsqrt": torch.rsqrt,
    "signbit": torch.signbit,
    "sigmoid": torch.sigmoid,
    "sin": torch.sin,
    "sinh": torch.sinh,
    "sqrt": torch.sqrt,
    "sqrt_rn": torch.sqrt,
    "sub_rn": torch.sub,
    "tan": torch.tan,
    "tanh": torch.tanh,
    "tgamma": lambda x: torch.exp(torch.lgamma(x)),
    "trunc": torch.trunc,
    "y0": torch.special.bessel_y0,
    "y1": torch.special.bessel_y1,
}
MODULES = (
    "triton.language.extra.libdevice",
    "triton.language.extra.cuda.libdevice",
    "triton.language.extra.hip.libdevice",
)


def install() -> list[str]:
    """Replace libdevice's functions; returns the old names that were added to ``tl``."""
    interpreted = {name: _interpreted(function) for name, function in FUNCTIONS.items()}
    for path in MODULES:
        try:
            module = importlib.import_module(path)
        except ImportError:
            continue
        _fill(module, interpreted)
    return _old_names(interpreted)


def _fill(module: ModuleType, functions: dict[str, Callable[..., Any]]) -> None:
    for name, function in functions.items():
        setattr(module, name, function)


def _old_names(functions: dict[str, Callable[..., Any]]) -> list[str]:
    added = []
    for name, function in functions.items():
        if not hasattr(tl.math, name):
            setattr(tl.math, name, function)
            added.append(f"tl.math.{name}")
    if not hasattr(tl, "libdevice"):
        tl.libdevice = SimpleNamespace(**functions)
        added.append("tl.libdevice")
    return added


def _interpreted(function: Function) -> Callable[..., Any]:
    """``function`` on Triton tensors, constants and Python numbers."""

    def call(*arguments: Any, _semantic: Any = None, _builder: Any = None, **_: Any) -> Any:
        tensors = [value for value in arguments if isinstance(value, tl.tensor)]
        narrow = any(is_bfloat16(value.handle) for value in tensors)
        arrays = [_array(value) for value in arguments]
        kind = next((a.dtype for a in arrays if a.dtype.kind == "f" and a.ndim), None)
        if kind is None:
            kind = numpy.dtype(numpy.float32)
        operands = torch.broadcast_tensors(
            *(torch.from_numpy(numpy.array(array, dtype=kind)) for array in arrays)
        )
        result = function(*operands).numpy()
        return _tensor(result, narrow, tensors)

    return call


def _array(value: Any) -> Any:
    if isinstance(value, tl.tensor):
        handle = value.handle
        return widened(handle.data) if is_bfloat16(handle) else numpy.asarray(handle.data)
    return numpy.asarray(value.value if isinstance(value, tl.constexpr) else value)


def _tensor(result: Any, narrow: bool, tensors: list[Any]) -> Any:
    if result.dtype == numpy.bool_:
        result, dtype = result.astype(numpy.int32), tl.int32
    elif narrow:
        result, dtype = narrowed(result), tl.bfloat16
    else:
        dtype = {2: tl.float16, 4: tl.float32, 8: tl.float64}[result.dtype.itemsize]
    is_block = any(value.type.is_block() for value in tensors)
    shape = list(result.shape)
    return tl.tensor(
        tri.TensorHandle(result, dtype), tl.block_type(dtype, shape) if is_block else dtype
    )
