"""Whole Triton kernels: memory, atomics, descriptors, random numbers, and what else has effects.

``python interpreter_kernels.py`` runs every ``try_…`` in the mended interpreter and prints one JSON
object: what fails, with the reason. Those that this Triton version's language lacks are ``absent``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

import torch
import triton
import triton.language as tl

from kernelllm_jupyter.verify import interpreter
from kernelllm_jupyter.verify.watching.audit import Launches

# Before the functions below are made: default arguments and names are looked up as in a check.
interpreter.install(Launches())


VERSION = tuple(map(int, triton.__version__.split(".")[:2]))


def same(got: torch.Tensor, expected: torch.Tensor, tolerance: float = 0.0) -> None:
    torch.testing.assert_close(got, expected, rtol=tolerance, atol=tolerance, equal_nan=True)


# --- atomics -----------------------------------------------------------------------------------


@triton.jit
def scatter_add(x_ptr, at_ptr, o_ptr, n, BLOCK: tl.constexpr):
    i = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    mask = i < n
    tl.atomic_add(o_ptr + tl.load(at_ptr + i, mask=mask), tl.load(x_ptr + i, mask=mask), mask=mask)


def try_atomic_add_to_shared_elements_in_every_type() -> None:
    at = torch.randint(0, 5, (100,))
    dtypes = [torch.float32, torch.float64, torch.float16, torch.int32, torch.int64]
    if VERSION >= (3, 4):
        # Before, the language itself has no atomics of bfloat16.
        dtypes.append(torch.bfloat16)
    for dtype in dtypes:
        x = torch.randint(-4, 5, (100,)).to(dtype)
        out = torch.zeros(5, dtype=dtype)
        scatter_add[(4,)](x, at, out, 100, BLOCK=32)
        same(out, torch.zeros(5, dtype=dtype).index_add(0, at, x))


@triton.jit
def extremes(x_ptr, high_ptr, low_ptr, n, BLOCK: tl.constexpr):
    i = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    x = tl.load(x_ptr + i, mask=i < n)
    tl.atomic_max(high_ptr + i % 3, x, mask=i < n)
    tl.atomic_min(low_ptr + i % 3, x, mask=i < n)


def try_atomic_max_and_min_of_floats_and_integers() -> None:
    for dtype in (torch.float32, torch.float64, torch.int32, torch.int64):
        x = (torch.randn(90) * 50).to(dtype)
        high = torch.full((3,), -1000).to(dtype)
        low = torch.full((3,), 1000).to(dtype)
        extremes[(3,)](x, high, low, 90, BLOCK=32)
        same(high, x.view(30, 3).amax(0))
        same(low, x.view(30, 3).amin(0))


@triton.jit
def bitwise(x_ptr, and_ptr, or_ptr, xor_ptr, BLOCK: tl.constexpr):
    x = tl.load(x_ptr + tl.program_id(0) * BLOCK + tl.arange(0, BLOCK))
    one = tl.zeros([BLOCK], tl.int32)
    tl.atomic_and(and_ptr + one, x)
    tl.atomic_or(or_ptr + one, x)
    tl.atomic_xor(xor_ptr + one, x)


def try_bitwise_atomics() -> None:
    x = torch.randint(0, 1 << 30, (32,), dtype=torch.int32)
    outs = [torch.full((1,), v, dtype=torch.int32) for v in (-1, 0, 0)]
    bitwise[(2,)](x, *outs, BLOCK=16)
    expected = [-1, 0, 0]
    for value in x.tolist():
        expected = [expected[0] & value, expected[1] | value, expected[2] ^ value]
    same(torch.cat(outs), torch.tensor(expected, dtype=torch.int32))


@triton.jit
def locked(x_ptr, o_ptr, lock_ptr, seen_ptr):
    while tl.atomic_cas(lock_ptr, 0, 1) == 1:
        pass
    tl.store(o_ptr, tl.load(o_ptr) + tl.load(x_ptr + tl.program_id(0)))
    before = tl.atomic_xchg(lock_ptr, 0)
    tl.store(seen_ptr + tl.program_id(0), before)


def try_a_lock_by_compare_and_swap_and_exchange() -> None:
    x, out = torch.randn(9), torch.zeros(1)
    lock, seen = torch.zeros(1, dtype=torch.int32), torch.zeros(9, dtype=torch.int32)
    locked[(9,)](x, out, lock, seen)
    same(out, x.sum().reshape(1), 1e-5)
    same(seen, torch.ones(9, dtype=torch.int32))


@triton.jit
def atomic_memory(x_ptr, o_ptr, f_ptr):
    tl.atomic_store(o_ptr, tl.atomic_load(x_ptr) * 2)
    tl.store(f_ptr, tl.atomic_poll(x_ptr, 3))


def try_atomic_load_store_and_poll() -> None:
    x, out = torch.full((1,), 3, dtype=torch.int32), torch.zeros(1, dtype=torch.int32)
    flag = torch.zeros(1, dtype=torch.bool)
    atomic_memory[(1,)](x, out, flag)
    same(out, x * 2)
    assert flag.item()


# --- memory ------------------------------------------------------------------------------------


@triton.jit
def loads(x_ptr, o_ptr, n, BLOCK: tl.constexpr):
    i = tl.arange(0, BLOCK)
    a = tl.load(x_ptr + i, mask=i < n, other=7, cache_modifier=".cg", eviction_policy="evict_last")
    b = tl.load(x_ptr + i, mask=i < n, other=-1.5, volatile=True)
    c = tl.load(x_ptr + i, i < n)
    tl.store(o_ptr + i, a + b + c, eviction_policy="evict_first", cache_modifier=".wb")


def try_masked_loads_with_other_and_cache_hints() -> None:
    for dtype in (torch.float32, torch.float16, torch.bfloat16):
        x, out = torch.randn(10).to(dtype), torch.zeros(16, dtype=dtype)
        loads[(1,)](x, out, 10, BLOCK=16)
        same(out, torch.cat([x + x + x, torch.full((6,), 5.5, dtype=dtype)]), 0.02)


@triton.jit
def by_block_pointer(x_ptr, o_ptr, m, n, BM: tl.constexpr, BN: tl.constexpr):
    x = tl.make_block_ptr(x_ptr, (m, n), (n, 1), (tl.program_id(0) * BM, 0), (BM, BN), (1, 0))
    o = tl.make_block_ptr(o_ptr, (m, n), (n, 1), (tl.program_id(0) * BM, 0), (BM, BN), (1, 0))
    for _ in range(0, n, BN):
        tile = tl.load(x, boundary_check=(0, 1), padding_option="zero")
        tl.store(o, tile * 2, boundary_check=(0, 1))
        x = tl.advance(x, (0, BN))
        o = tl.advance(o, (0, BN))


@triton.jit
def by_block_pointer_method(x_ptr, o_ptr, m, n, BM: tl.constexpr, BN: tl.constexpr):
    x = tl.make_block_ptr(x_ptr, (m, n), (n, 1), (tl.program_id(0) * BM, 0), (BM, BN), (1, 0))
    o = tl.make_block_ptr(o_ptr, (m, n), (n, 1), (tl.program_id(0) * BM, 0), (BM, BN), (1, 0))
    for _ in range(0, n, BN):
        tile = tl.load(x, boundary_check=(0, 1), padding_option="zero")
        tl.store(o, tile * 2, boundary_check=(0, 1))
        x = x.advance((0, BN))
        o = o.advance((0, BN))


def try_block_pointers() -> None:
    if VERSION >= (3, 9):
        return  # The language refuses them by name.
    x = torch.randn(13, 21)
    out = torch.zeros_like(x)
    which = by_block_pointer if hasattr(tl, "advance") else by_block_pointer_method
    which[(2,)](x, out, 13, 21, BM=8, BN=8)
    same(out, x * 2)


@triton.jit
def by_descriptor(x_ptr, o_ptr, m, n, BM: tl.constexpr, BN: tl.constexpr):
    x = tl.make_tensor_descriptor(x_ptr, shape=[m, n], strides=[n, 1], block_shape=[BM, BN])
    o = tl.make_tensor_descriptor(o_ptr, shape=[m, n], strides=[n, 1], block_shape=[BM, BN])
    row = tl.program_id(0) * BM
    for column in range(0, n, BN):
        o.store([row, column], x.load([row, column]) * 2)


@triton.jit
def by_descriptor_function(x_ptr, o_ptr, m, n, BM: tl.constexpr, BN: tl.constexpr):
    x = tl.make_tensor_descriptor(x_ptr, shape=[m, n], strides=[n, 1], block_shape=[BM, BN])
    o = tl.make_tensor_descriptor(o_ptr, shape=[m, n], strides=[n, 1], block_shape=[BM, BN])
    tile = tl.load_tensor_descriptor(x, [0, 0])
    tl.store_tensor_descriptor(o, [0, 0], tile + 1)


@triton.jit
def by_host_descriptor(x, o, BM: tl.constexpr, BN: tl.constexpr):
    o.store([tl.program_id(0) * BM, 0], x.load([tl.program_id(0) * BM, 0]) * 3)


def try_descriptors_made_in_the_kernel_and_on_the_host() -> None:
    if not hasattr(tl, "make_tensor_descriptor"):
        return
    from triton.tools.tensor_descriptor import TensorDescriptor

    x = torch.randn(13, 24)
    out = torch.zeros_like(x)
    by_descriptor[(2,)](x, out, 13, 24, BM=8, BN=8)
    same(out, x * 2)
    by_descriptor_function[(1,)](x, out, 13, 24, BM=16, BN=32)
    same(out, x + 1)
    described = [TensorDescriptor(t, list(t.shape), list(t.stride()), [8, 32]) for t in (x, out)]
    by_host_descriptor[(2,)](*described, BM=8, BN=32)
    same(out, x * 3)


@triton.jit
def in_two_dimensions(o_ptr, n: tl.constexpr):
    row, column = tl.program_id(0), tl.program_id(1)
    tl.store(o_ptr + row * tl.num_programs(1) + column, row * 10 + column)


def try_a_grid_of_two_dimensions() -> None:
    out = torch.zeros(3, 4, dtype=torch.int32)
    in_two_dimensions[(3, 4)](out, 1)
    same(out, torch.arange(3, dtype=torch.int32)[:, None] * 10 + torch.arange(4, dtype=torch.int32))


@triton.jit
def scalars(x_ptr, o_ptr, whole, real, flag, nothing, BLOCK: tl.constexpr):
    i = tl.arange(0, BLOCK)
    x = tl.load(x_ptr + i)
    if flag:
        x = x * whole
    if nothing is not None:
        x = x * 100
    tl.store(o_ptr + i, x + real)


def try_scalar_arguments_of_every_kind() -> None:
    x, out = torch.randn(16), torch.zeros(16)
    scalars[(1,)](x, out, 3, 0.5, True, None, BLOCK=16)
    same(out, x * 3 + 0.5, 1e-6)
    scalars[(1,)](x, out, 2**40, 0.5, False, None, BLOCK=16)
    same(out, x + 0.5, 1e-6)


@triton.jit
def said(x_ptr):
    x = tl.load(x_ptr + tl.arange(0, 4))
    tl.device_print("x", x)
    tl.static_print("now")
    print("x", x)


def try_printing() -> None:
    said[(1,)](torch.randn(4))


# --- random numbers ----------------------------------------------------------------------------


def philox(seed: int, offset: int) -> int:
    """Philox 4x32-10 as Salmon et al. (2011) define it; the first of its four numbers."""
    word = 0xFFFFFFFF
    c = [offset & word, 0, 0, 0]
    keys = [seed & word, (seed >> 32) & word]
    for _ in range(10):
        first, second = 0xD2511F53 * c[0], 0xCD9E8D57 * c[2]
        c = [
            (second >> 32) ^ c[1] ^ keys[0],
            second & word,
            (first >> 32) ^ c[3] ^ keys[1],
            first & word,
        ]
        keys = [(keys[0] + 0x9E3779B9) & word, (keys[1] + 0xBB67AE85) & word]
    return c[0]


@triton.jit
def random_numbers(i_ptr, u_ptr, n_ptr, f_ptr, seed, BLOCK: tl.constexpr):
    i = tl.arange(0, BLOCK)
    tl.store(i_ptr + i, tl.randint(seed, i))
    tl.store(u_ptr + i, tl.rand(seed, i))
    tl.store(n_ptr + i, tl.randn(seed, i))
    a, _b, _c, _d = tl.randint4x(seed, i)
    e, _f, _g, _h = tl.rand4x(seed, i)
    p, _q, _r, _s = tl.randn4x(seed, i)
    tl.store(
        f_ptr + i, (a == tl.randint(seed, i)) & (e == tl.rand(seed, i)) & (p == tl.randn(seed, i))
    )


def try_random_numbers_are_philox_and_the_same_everywhere() -> None:
    count = 1024
    whole, uniform = torch.zeros(count, dtype=torch.int32), torch.zeros(count)
    normal, equal = torch.zeros(count), torch.zeros(count, dtype=torch.bool)
    random_numbers[(1,)](whole, uniform, normal, equal, 12345, BLOCK=count)
    expected = torch.tensor([philox(12345, n) for n in range(count)], dtype=torch.int64)
    same(whole.long() % 2**32, expected)
    assert equal.all()
    assert 0 <= uniform.min() < uniform.max() < 1
    assert abs(uniform.mean() - 0.5) < 0.03
    assert abs(normal.mean()) < 0.1
    assert abs(normal.std() - 1) < 0.1


@triton.jit
def parts_of_random(o_ptr, BLOCK: tl.constexpr):
    i = tl.arange(0, BLOCK)
    a, b, _c, _d = tl.philox(
        7, i.to(tl.uint32), i.to(tl.uint32) * 0, i.to(tl.uint32) * 0, i.to(tl.uint32) * 0
    )
    x, _y = tl.pair_uniform_to_normal(tl.uint_to_uniform_float(a), tl.uint_to_uniform_float(b))
    tl.store(o_ptr + i, x - tl.randn(7, i))


def try_the_parts_that_random_numbers_are_made_of() -> None:
    out = torch.ones(64)
    parts_of_random[(1,)](out, BLOCK=64)
    same(out, torch.zeros(64))


# --- the rest ----------------------------------------------------------------------------------


@triton.jit
def sign_of(a, b):
    if a > b:
        return 1
    elif a < b:
        return -1
    else:
        return 0


@triton.jit
def mapped(x_ptr, y_ptr, o_ptr, BLOCK: tl.constexpr):
    i = tl.arange(0, BLOCK)
    tl.store(o_ptr + i, tl.map_elementwise(sign_of, tl.load(x_ptr + i), tl.load(y_ptr + i)))


def try_a_branching_function_of_each_element() -> None:
    if not hasattr(tl, "map_elementwise"):
        return
    x, y = torch.randint(0, 4, (2, 32), dtype=torch.int32).unbind()
    out = torch.zeros(32, dtype=torch.int32)
    mapped[(1,)](x, y, out, BLOCK=32)
    same(out, (x - y).sign())


@triton.jit
def scaled(a_ptr, as_ptr, b_ptr, bs_ptr, o_ptr, M: tl.constexpr, K: tl.constexpr, N: tl.constexpr):
    m, k, n, s = tl.arange(0, M), tl.arange(0, K), tl.arange(0, N), tl.arange(0, K // 32)
    a = tl.load(a_ptr + m[:, None] * K + k[None, :])
    b = tl.load(b_ptr + k[:, None] * N + n[None, :])
    a_scale = tl.load(as_ptr + m[:, None] * (K // 32) + s[None, :])
    b_scale = tl.load(bs_ptr + n[:, None] * (K // 32) + s[None, :])
    o = tl.dot_scaled(a, a_scale, "e4m3", b, b_scale, "e4m3")
    tl.store(o_ptr + m[:, None] * N + n[None, :], o)


def try_a_product_with_scales() -> None:
    if VERSION < (3, 9):
        return  # The interpreter takes no format that is written in the kernel.
    m, k, n = 16, 64, 32
    a, b = torch.randn(m, k).to(torch.float8_e4m3fn), torch.randn(k, n).to(torch.float8_e4m3fn)
    a_scale = torch.randint(120, 134, (m, k // 32), dtype=torch.uint8)
    b_scale = torch.randint(120, 134, (n, k // 32), dtype=torch.uint8)
    out = torch.zeros(m, n)
    scaled[(1,)](a.view(torch.uint8), a_scale, b.view(torch.uint8), b_scale, out, M=m, K=k, N=n)
    wide = [torch.exp2(s.double() - 127).repeat_interleave(32, 1) for s in (a_scale, b_scale)]
    same(out, ((a.double() * wide[0]) @ (b.double() * wide[1].t())).float(), 1e-4)


def try_merging() -> None:
    if not hasattr(tl, "bitonic_merge"):
        return
    ascending, descending = torch.arange(0.0, 16.0, 2), torch.arange(15.0, 0.0, -2)
    out = torch.zeros(16)
    merged[(1,)](torch.cat([ascending, descending]), out, BLOCK=16)
    same(out, torch.arange(0.0, 16.0))


@triton.jit
def merged(x_ptr, o_ptr, BLOCK: tl.constexpr):
    i = tl.arange(0, BLOCK)
    tl.store(o_ptr + i, tl.bitonic_merge(tl.load(x_ptr + i)))


@triton.jit
def approximated(x_ptr, o_ptr, BLOCK: tl.constexpr):
    i = tl.arange(0, BLOCK)
    x = tl.load(x_ptr + i)
    y = tl.inline_asm_elementwise(
        "tanh.approx.f32 $0, $1;", "=f,f", [x], dtype=tl.float32, is_pure=True, pack=1
    )
    tl.store(o_ptr + i, y)


def try_inline_assembly_of_one_known_instruction() -> None:
    x, out = torch.randn(32), torch.zeros(32)
    approximated[(1,)](x, out, BLOCK=32)
    same(out, x.tanh(), 1e-6)


def language_of(function: Callable[..., Any]) -> set[str]:
    """The names of the language that the kernels of a ``try_…`` use."""
    import inspect

    kernels = [
        value
        for name, value in globals().items()
        if name in function.__code__.co_names and hasattr(value, "fn")
    ]
    return {
        word
        for kernel in kernels
        for word in re.findall(r"\btl\.(\w+)", inspect.getsource(kernel.fn))
    }


def main() -> None:
    failures, absent = {}, []
    tries = [(name, value) for name, value in globals().items() if name.startswith("try_")]
    for name, function in tries:
        optional = {"advance"}
        if any(not hasattr(tl, word) for word in language_of(function) - optional):
            absent.append(name)
            continue
        torch.manual_seed(1)
        try:
            function()
        except Exception as error:
            cause: BaseException = error
            while cause.__cause__ is not None:
                cause = cause.__cause__
            failures[name] = f"{type(cause).__name__}: {cause}"
    print(json.dumps({"count": len(tries), "failures": failures, "absent": absent}))


if __name__ == "__main__":
    main()
