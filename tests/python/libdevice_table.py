"""Every function that libdevice declares, called with every combination of types it takes.

``python libdevice_table.py`` runs them in the mended interpreter and prints one JSON object: what
fails, with the reason. Names that PyTorch or Python knows as well are compared with those.
"""

from __future__ import annotations

import ast
import importlib
import importlib.util
import inspect
import json
import tempfile
from pathlib import Path
from typing import Any

import torch

SIZE = 128
KINDS = {
    "fp32": ("float32", torch.float32),
    "fp64": ("float64", torch.float64),
    "int32": ("int32", torch.int32),
    "int64": ("int64", torch.int64),
    "uint32": ("uint32", torch.uint32),
    "uint64": ("uint64", torch.uint64),
}
#: Arguments that a function is defined for, where that is not any number from -0.9 to 0.9.
DOMAINS = {
    name: (low, high)
    for names, low, high in [
        ("log log2 log10 sqrt rsqrt lgamma tgamma y0 y1 rcbrt fast_logf fast_log2f", 0.1, 9.0),
        ("acosh", 1.1, 9.0),
        ("erfcinv normcdfinv", 0.1, 0.9),
    ]
    for name in names.split()
}


def _special(name: str) -> Any:
    renamed = {
        "j0": "bessel_j0",
        "j1": "bessel_j1",
        "y0": "bessel_y0",
        "y1": "bessel_y1",
        "cyl_bessel_i0": "i0",
        "cyl_bessel_i1": "i1",
        "normcdf": "ndtr",
        "normcdfinv": "ndtri",
        "erfcx": "erfcx",
    }
    if name == "remainder":
        # PyTorch's has the sign of the divisor.
        return lambda x, y: x - torch.round(x / y) * y
    return getattr(torch.special, renamed[name]) if name in renamed else getattr(torch, name, None)


def _signed(value: int, bits: int) -> int:
    value %= 1 << bits
    return value - (1 << bits) if value >> (bits - 1) else value


#: What whole numbers give, one at a time, by width and value.
WHOLE = {
    "clz": lambda bits, x: bits - (x % (1 << bits)).bit_length(),
    "popc": lambda bits, x: bin(x % (1 << bits)).count("1"),
    "brev": lambda bits, x: _signed(int(format(x % (1 << bits), f"0{bits}b")[::-1], 2), bits),
    "ffs": lambda bits, x: (x & -x).bit_length(),
    "mulhi": lambda bits, x, y: (x * y) >> bits,
    "hadd": lambda bits, x, y: (x + y) >> 1,
    "rhadd": lambda bits, x, y: (x + y + 1) >> 1,
    "abs": lambda bits, x: abs(x),
}


def declared(module: Any) -> list[tuple[str, tuple[str, ...], str]]:
    """Name, argument types and result type of everything that a module declares."""
    found = []
    for definition in ast.parse(inspect.getsource(module)).body:
        if not isinstance(definition, ast.FunctionDef):
            continue
        for table in (node for node in ast.walk(definition) if isinstance(node, ast.Dict)):
            for key, value in zip(table.keys, table.values, strict=True):
                types = [node.value for node in ast.walk(key) if isinstance(node, ast.Constant)]
                (result,) = [
                    node.value
                    for node in ast.walk(value)
                    if isinstance(node, ast.Constant) and not str(node.value).startswith("__")
                ]
                found.append((definition.name, tuple(map(str, types)), str(result)))
    return found


def arguments(name: str, types: tuple[str, ...]) -> list[torch.Tensor]:
    torch.manual_seed(3)
    made = []
    for index, kind in enumerate(types):
        dtype = KINDS[kind][1]
        if dtype.is_floating_point:
            low, high = DOMAINS.get(name, (-0.9, 0.9))
            made.append(torch.rand(SIZE, dtype=torch.float64).mul(high - low).add(low).to(dtype))
        elif name in ("jn", "yn", "ldexp", "scalbn", "pow") and index in (0, 1):
            made.append(torch.randint(0, 5, (SIZE,)).to(dtype))
        else:
            low = 0 if kind.startswith("u") else -(2**31)
            made.append(torch.randint(low, 2**31 - 1, (SIZE,)).to(dtype))
    return made


def is_type(name: str, result: str) -> str:
    """What a function's result is in a Triton kernel: tests are made booleans."""
    tests = ("isnan", "isinf", "finitef", "isfinited")
    return "int1" if name in tests else KINDS[result][0]


def source(name: str, types: tuple[str, ...], result: str) -> str:
    pointers = [f"p{n}" for n in range(len(types))]
    values = ", ".join(f"tl.load({pointer} + at)" for pointer in pointers)
    return f"""import triton
import triton.language as tl
from triton.language.extra import libdevice

@triton.jit
def kernel({", ".join(pointers)}, out, SIZE: tl.constexpr):
    at = tl.arange(0, SIZE)
    result = libdevice.{name}({values})
    tl.static_assert(result.dtype == tl.{is_type(name, result)}, "dtype")
    tl.store(out + at, result)
"""


def expected(name: str, given: list[torch.Tensor]) -> torch.Tensor | None:
    if name in WHOLE and not given[0].is_floating_point():
        bits = given[0].element_size() * 8
        rows = zip(*(value.tolist() for value in given), strict=True)
        return torch.tensor([WHOLE[name](bits, *row) for row in rows], dtype=torch.float64)
    function = _special(name)
    if function is None or not all(value.is_floating_point() for value in given):
        return None
    made: torch.Tensor = function(*(value.double() for value in given))
    return made.double()


def wrong_with(name: str, types: tuple[str, ...], result: str, path: Path) -> str | None:
    path.write_text(source(name, types, result))
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    given = arguments(name, types)
    out = torch.full((SIZE,), 77, dtype=KINDS[result][1])
    module.kernel[(1,)](*given, out, SIZE=SIZE)
    want = expected(name, given)
    if want is None:
        return None
    close = torch.isclose(out.double(), want, rtol=2e-6, atol=1e-6, equal_nan=True)
    if close.all():
        return None
    return f"got {out[~close][:3].tolist()}, expected {want[~close][:3].tolist()}"


def main() -> None:
    from kernelllm_jupyter.verify import interpreter
    from kernelllm_jupyter.verify.watching.audit import Launches

    module = importlib.import_module("triton.language.extra.cuda.libdevice")
    everything = declared(module)
    interpreter.install(Launches())
    failures = {}
    with tempfile.TemporaryDirectory() as folder:
        for number, (name, types, result) in enumerate(everything):
            try:
                wrong = wrong_with(name, types, result, Path(folder) / f"function_{number}.py")
            except Exception as error:
                wrong = repr(error)
            if wrong is not None:
                failures[f"{name}({', '.join(types)})"] = wrong
    compared = sum(
        expected(name, arguments(name, types)) is not None for name, types, _ in everything
    )
    print(json.dumps({"count": len(everything), "compared": compared, "failures": failures}))


if __name__ == "__main__":
    main()
