"""What the functions of CUDA's libdevice compute, by their names in Triton, on numpy arrays.

Functions of real numbers are computed in float64 and rounded to the type that libdevice returns;
those with a rounding mode in their name are computed in ``longdouble``. The ``fast_`` forms are as
exact as the others. Knows nothing of Triton.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy
import torch

__all__ = ["compute", "known", "saturated"]

Array = Any
#: Rounding modes by suffix: of a number to an integer, and the direction of the rest.
TO_INTEGER: dict[str, Callable[[Array], Array]] = {
    "rn": numpy.rint,
    "rz": numpy.trunc,
    "rd": numpy.floor,
    "ru": numpy.ceil,
}
ROUNDED: dict[str, Callable[..., Array]] = {
    "add": numpy.add,
    "sub": numpy.subtract,
    "mul": numpy.multiply,
    "div": numpy.divide,
    "fma": lambda x, y, z: x * y + z,
    "rcp": lambda x: 1 / x,
    "sqrt": numpy.sqrt,
    "rsqrt": lambda x: 1 / numpy.sqrt(x),
}
#: Bit patterns read as another type.
REINTERPRETED = {
    "int_as_float": numpy.float32,
    "uint_as_float": numpy.float32,
    "float_as_int": numpy.int32,
    "float_as_uint": numpy.int32,
    "longlong_as_double": numpy.float64,
    "double_as_longlong": numpy.int64,
}
#: What stands before and after the 2 in ``double2uint_rn``.
NUMBERS = {
    "double": numpy.float64,
    "float": numpy.float32,
    "int": numpy.int32,
    "uint": numpy.uint32,
    "ll": numpy.int64,
    "ull": numpy.uint64,
}

special = torch.special


def _each(function: Callable[..., torch.Tensor]) -> Callable[..., Array]:
    """A torch function on float64 arrays."""

    def call(*arrays: Array) -> Array:
        tensors = [torch.from_numpy(numpy.array(a, dtype=numpy.float64)) for a in arrays]
        return function(*tensors).numpy()

    return call


def _round_away(x: Array) -> Array:
    return numpy.copysign(numpy.floor(numpy.abs(x) + 0.5), x)


def _gamma(x: torch.Tensor) -> torch.Tensor:
    below = torch.floor(x)
    size = torch.exp(torch.lgamma(x))
    odd = (x < 0) & (torch.remainder(below, 2) == 1)
    pole = (x < 0) & (below == x)
    return torch.where(pole, torch.nan, torch.where(odd, -size, size))


def _bessel_j(order: Array, x: Array) -> Array:
    """By its integral, a mean over equally spaced angles that converges exponentially."""
    widest = float(numpy.max(numpy.abs(numpy.where(numpy.isfinite(x), x, 0)), initial=0))
    count = min(8192, int(2 * (widest + float(numpy.max(numpy.abs(order), initial=0)))) + 64)
    angles = (numpy.arange(count) + 0.5) * (numpy.pi / count)
    turned = numpy.multiply.outer(order, angles) - numpy.multiply.outer(x, numpy.sin(angles))
    return numpy.cos(turned).mean(axis=-1)


def _bessel_y(order: Array, x: Array) -> Array:
    """By its recurrence, which is stable upward."""
    tensor = torch.from_numpy(numpy.array(x, dtype=numpy.float64))
    before, now = special.bessel_y0(tensor).numpy(), special.bessel_y1(tensor).numpy()
    result = numpy.where(order == 0, before, now)
    for n in range(1, int(numpy.max(order, initial=1))):
        before, now = now, 2 * n / x * now - before
        result = numpy.where(order == n + 1, now, result)
    return result


def _norm(*values: Array) -> Array:
    return numpy.sqrt(sum(value * value for value in values))


def _exponent(x: Array) -> Array:
    """The binary exponent of a number, as a float."""
    exponent = numpy.frexp(x)[1] - 1.0
    return numpy.where(x == 0, -numpy.inf, numpy.where(numpy.isinf(x), numpy.inf, exponent))


def _ilogb(x: Array) -> Array:
    exponent = _exponent(x)
    limits = numpy.iinfo(numpy.int32)
    whole = numpy.where(numpy.isfinite(x) & (x != 0), exponent, 0)
    result = numpy.where(numpy.isinf(x), limits.max, whole)
    return numpy.where((x == 0) | numpy.isnan(x), limits.min, result)


def _high_word(x: Array) -> Array:
    bits = numpy.ascontiguousarray(1 / x).view(numpy.uint64) & numpy.uint64(0xFFFFFFFF << 32)
    return bits.view(numpy.float64)


def _remainder(x: Array, y: Array) -> Array:
    return x - numpy.rint(x / y) * y


_SQRT_2 = 2.0**0.5
#: Functions of real numbers, in float64.
REAL: dict[str, Callable[..., Array]] = {
    "acos": numpy.arccos,
    "acosh": numpy.arccosh,
    "asin": numpy.arcsin,
    "asinh": numpy.arcsinh,
    "atan": numpy.arctan,
    "atan2": numpy.arctan2,
    "atanh": numpy.arctanh,
    "cbrt": numpy.cbrt,
    "ceil": numpy.ceil,
    "copysign": numpy.copysign,
    "cos": numpy.cos,
    "cosh": numpy.cosh,
    "cospi": lambda x: numpy.cos(numpy.pi * numpy.fmod(x, 2)),
    "cyl_bessel_i0": _each(special.i0),
    "cyl_bessel_i1": _each(special.i1),
    "erf": _each(torch.erf),
    "erfc": _each(torch.erfc),
    "erfcinv": _each(lambda x: -special.ndtri(x / 2) / _SQRT_2),
    "erfcx": _each(special.erfcx),
    "erfinv": _each(torch.erfinv),
    "exp": numpy.exp,
    "exp10": lambda x: numpy.power(10.0, x),
    "exp2": numpy.exp2,
    "expm1": numpy.expm1,
    "fast_cosf": numpy.cos,
    "fast_dividef": numpy.divide,
    "fast_exp10f": lambda x: numpy.power(10.0, x),
    "fast_expf": numpy.exp,
    "fast_log10f": numpy.log10,
    "fast_log2f": numpy.log2,
    "fast_logf": numpy.log,
    "fast_powf": numpy.power,
    "fast_sinf": numpy.sin,
    "fast_tanf": numpy.tan,
    "fast_tanhf": numpy.tanh,
    "fdim": lambda x, y: numpy.where(x > y, x - y, numpy.where(x <= y, 0.0, numpy.nan)),
    "finitef": numpy.isfinite,
    "floor": numpy.floor,
    "fmod": numpy.fmod,
    "hypot": numpy.hypot,
    "ilogb": _ilogb,
    "isfinited": numpy.isfinite,
    "isinf": numpy.isinf,
    "isnan": numpy.isnan,
    "j0": _each(special.bessel_j0),
    "j1": _each(special.bessel_j1),
    "jn": _bessel_j,
    "ldexp": lambda x, n: numpy.ldexp(x, n.astype(numpy.int32)),
    "lgamma": _each(torch.lgamma),
    "llrint": numpy.rint,
    "llround": _round_away,
    "log": numpy.log,
    "log10": numpy.log10,
    "log1p": numpy.log1p,
    "log2": numpy.log2,
    "logb": _exponent,
    "nearbyint": numpy.rint,
    "norm3d": _norm,
    "norm4d": _norm,
    "normcdf": _each(special.ndtr),
    "normcdfinv": _each(special.ndtri),
    "pow": numpy.power,
    "rcbrt": lambda x: 1 / numpy.cbrt(x),
    "rcp64h": _high_word,
    "remainder": _remainder,
    "rhypot": lambda x, y: 1 / numpy.hypot(x, y),
    "rint": numpy.rint,
    "rnorm3d": lambda *values: 1 / _norm(*values),
    "rnorm4d": lambda *values: 1 / _norm(*values),
    "round": _round_away,
    "rsqrt": lambda x: 1 / numpy.sqrt(x),
    "saturatef": lambda x: numpy.where(numpy.isnan(x), 0.0, numpy.clip(x, 0.0, 1.0)),
    "scalbn": lambda x, n: numpy.ldexp(x, n.astype(numpy.int32)),
    "signbit": numpy.signbit,
    "sin": numpy.sin,
    "sinh": numpy.sinh,
    "sinpi": lambda x: numpy.sin(numpy.pi * numpy.fmod(x, 2)),
    "sqrt": numpy.sqrt,
    "tan": numpy.tan,
    "tanh": numpy.tanh,
    "tgamma": _each(_gamma),
    "trunc": numpy.trunc,
    "y0": _each(special.bessel_y0),
    "y1": _each(special.bessel_y1),
    "yn": _bessel_y,
}


def _bits(x: Array) -> Array:
    """The bits of each integer along a new last axis, the highest first."""
    width = x.dtype.itemsize
    octets = numpy.ascontiguousarray(x).astype(x.dtype.newbyteorder(">")).view(numpy.uint8)
    return numpy.unpackbits(octets).reshape(*x.shape, 8 * width)


def _leading_zeros(x: Array) -> Array:
    bits = _bits(x)
    return numpy.where(bits.any(axis=-1), bits.argmax(axis=-1), bits.shape[-1])


def _first_set(x: Array) -> Array:
    bits = _bits(x)[..., ::-1]
    return numpy.where(bits.any(axis=-1), bits.argmax(axis=-1) + 1, 0)


def _reversed_bits(x: Array) -> Array:
    octets = numpy.packbits(numpy.ascontiguousarray(_bits(x)[..., ::-1]), axis=-1)
    turned = numpy.ascontiguousarray(octets).view(x.dtype.newbyteorder(">"))
    return turned.reshape(x.shape).astype(x.dtype)


def _chosen_bytes(x: Array, y: Array, selector: Array) -> Array:
    octets = numpy.stack(
        [
            (word.view(numpy.uint32) >> numpy.uint32(8 * n)) & numpy.uint32(0xFF)
            for word in map(numpy.ascontiguousarray, (x, y))
            for n in range(4)
        ],
        axis=-1,
    )
    result = numpy.zeros(x.shape, numpy.uint32)
    for n in range(4):
        which = ((selector.astype(numpy.int64) >> (4 * n)) & 7)[..., None]
        result |= numpy.take_along_axis(octets, which, -1)[..., 0] << numpy.uint32(8 * n)
    return result.view(numpy.int32)


def _high_product(x: Array, y: Array) -> Array:
    width = 8 * x.dtype.itemsize
    exact = x.astype(object) * y.astype(object)
    return (exact >> width).astype(x.dtype)


def _product_of_24_bits(x: Array, y: Array) -> Array:
    def low(value: Array) -> Array:
        bits = value.astype(numpy.int64) & 0xFFFFFF
        is_signed = value.dtype.kind == "i"
        return numpy.where(is_signed & (bits >= 1 << 23), bits - (1 << 24), bits)

    return (low(x) * low(y)).astype(x.dtype)


def _halved_sum(x: Array, y: Array, extra: int) -> Array:
    return ((x.astype(numpy.int64) + y.astype(numpy.int64) + extra) >> 1).astype(x.dtype)


def _sum_of_distances(x: Array, y: Array, z: Array) -> Array:
    return numpy.abs(x.astype(numpy.int64) - y.astype(numpy.int64)) + z.astype(numpy.int64)


def _double_from_words(high: Array, low: Array) -> Array:
    bits = (high.astype(numpy.int64) << 32) | (low.astype(numpy.int64) & 0xFFFFFFFF)
    return bits.view(numpy.float64)


def _words(x: Array) -> Array:
    return numpy.ascontiguousarray(x).view(numpy.int64)


#: Functions of bits and whole numbers, in their own types.
WHOLE: dict[str, Callable[..., Array]] = {
    "abs": numpy.abs,
    "brev": _reversed_bits,
    "byte_perm": _chosen_bytes,
    "clz": _leading_zeros,
    "double2hiint": lambda x: (_words(x) >> 32).astype(numpy.int32),
    "double2loint": lambda x: _words(x).astype(numpy.int32),
    "ffs": _first_set,
    "hadd": lambda x, y: _halved_sum(x, y, 0),
    "hiloint2double": _double_from_words,
    "mul24": _product_of_24_bits,
    "mulhi": _high_product,
    "nextafter": numpy.nextafter,
    "popc": lambda x: _bits(x).sum(axis=-1, dtype=numpy.int32),
    "rhadd": lambda x, y: _halved_sum(x, y, 1),
    "sad": _sum_of_distances,
}


def known(name: str) -> bool:
    """Whether :func:`compute` knows a function."""
    stem, _, mode = name.rpartition("_")
    if mode in TO_INTEGER:
        source, two, target = stem.partition("2")
        return stem in ROUNDED or (bool(two) and source in NUMBERS and target in NUMBERS)
    return name in REAL or name in WHOLE or name in REINTERPRETED or name == "fma"


def compute(name: str, arrays: list[Array], result: Any) -> Array:
    """``name`` of equally shaped arrays, in the numpy dtype ``result``; raises ``KeyError``."""
    stem, _, mode = name.rpartition("_")
    if name in REINTERPRETED:
        return numpy.ascontiguousarray(arrays[0]).view(REINTERPRETED[name])
    if name in WHOLE:
        return WHOLE[name](*arrays).astype(result)
    if name == "fma":
        stem, mode = "fma", "rn"
    if mode in TO_INTEGER:
        if stem in ROUNDED:
            exact = ROUNDED[stem](*(array.astype(numpy.longdouble) for array in arrays))
            return _directed(exact, mode, result)
        source, _, target = stem.partition("2")
        return _converted(arrays[0].astype(NUMBERS[source]), NUMBERS[target], mode, result)
    values = [array.astype(numpy.float64) for array in arrays]
    made = REAL[name](*values)
    if result.kind in "iu":
        return saturated(made.astype(numpy.float64), result)
    return made.astype(result)


def _converted(values: Array, target: Any, mode: str, result: Any) -> Array:
    kind = numpy.dtype(target)
    if kind.kind == "f":
        return _directed(values.astype(numpy.longdouble), mode, kind)
    return saturated(TO_INTEGER[mode](values), kind).view(result)


def _directed(exact: Array, mode: str, kind: Any) -> Array:
    """A number rounded to ``kind`` in a direction."""
    rounded = exact.astype(kind)
    back = rounded.astype(numpy.longdouble)
    wrong = {
        "rn": numpy.zeros(exact.shape, bool),
        "rz": numpy.abs(back) > numpy.abs(exact),
        "rd": back > exact,
        "ru": back < exact,
    }[mode]
    toward = {"rn": 0.0, "rz": 0.0, "rd": -numpy.inf, "ru": numpy.inf}[mode]
    return numpy.where(wrong, numpy.nextafter(rounded, kind.type(toward)), rounded)


def saturated(values: Array, kind: Any) -> Array:
    """Whole numbers held as floats in an integer type: saturated, NaN as PTX has it."""
    limits = numpy.iinfo(kind)
    long = kind.itemsize == 8 or values.dtype == numpy.float64
    missing = (limits.min if kind.kind == "i" else 1 << (limits.bits - 1)) if long else 0
    exact = values.astype(numpy.float64)
    above, below = exact >= float(limits.max) + 1, exact < limits.min
    plain = numpy.where(above | below | numpy.isnan(exact), 0, exact).astype(kind)
    whole = numpy.where(
        above, kind.type(limits.max), numpy.where(below, kind.type(limits.min), plain)
    )
    return numpy.where(numpy.isnan(exact), kind.type(missing), whole)
