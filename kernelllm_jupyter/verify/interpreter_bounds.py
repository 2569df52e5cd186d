"""No access out of bounds: every pointer of a launch knows which argument it came from.

The interpreter reads and writes real addresses, so an access past the end of a tensor goes
unnoticed as long as something is mapped there. Here a launch gets made-up addresses instead, far
apart, one range for each argument's storage. An address keeps its argument through any arithmetic,
and is checked and translated when it is read or written.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy
import triton.runtime.interpreter as tri

__all__ = ["OutOfBounds", "install"]

#: Made-up addresses begin here, above all real ones; each range is 2^44 bytes, its storage in
#: the middle, so that offsets of either sign stay inside their range.
FIRST = 1 << 60
RANGE_BITS = 44
MIDDLE = 1 << (RANGE_BITS - 1)


class OutOfBounds(Exception):
    """A program read or wrote outside the storage of the argument it addressed."""


@dataclass(frozen=True)
class Region:
    """One storage: its made-up bounds, and what leads from there to real addresses."""

    name: str
    start: int
    end: int
    shift: int


class Addresses:
    """The made-up addresses of the launch that runs now."""

    def __init__(self) -> None:
        self.regions: list[Region] = []
        self.by_storage: dict[int, Region] = {}

    def clear(self) -> None:
        self.regions.clear()
        self.by_storage.clear()

    def made_up(self, tensor: Any, name: str) -> int:
        """The address that stands for the tensor's first element."""
        storage = tri._unwrap_tensor(tensor).untyped_storage()
        real = storage.data_ptr()
        region = self.by_storage.get(real)
        if region is None:
            # The low bits stay, because descriptors ask for aligned addresses.
            start = FIRST + (len(self.regions) << RANGE_BITS) + MIDDLE + (real & 0xFFFF)
            region = Region(name, start, start + storage.nbytes(), real - start)
            self.regions.append(region)
            self.by_storage[real] = region
        return int(tensor.data_ptr()) - region.shift

    def real(self, pointers: Any, mask: Any, size: int, doing: str) -> Any:
        """Real addresses for made-up ones; raises :class:`OutOfBounds`."""
        used = pointers if mask is None or mask.all() else pointers[mask]
        if not used.size:
            return pointers
        low, high = int(used.min()), int(used.max())
        if high < FIRST:
            # An address that the kernel read from memory: nothing is known about it.
            return pointers
        region = self._region(low)
        if region is None or region is not self._region(high):
            return self._real_each(pointers, mask, size, doing)
        if low < region.start or high + size > region.end:
            self._complain(region, used, size, doing)
        return pointers + numpy.uint64(region.shift % (1 << 64))

    def _region(self, address: int) -> Region | None:
        index = (address - FIRST) >> RANGE_BITS
        return self.regions[index] if 0 <= index < len(self.regions) else None

    def _real_each(self, pointers: Any, mask: Any, size: int, doing: str) -> Any:
        """The same where one access goes to several arguments."""
        result = pointers.copy()
        active = numpy.ones(pointers.shape, bool) if mask is None else mask
        for region in self.regions:
            index = (region.start - FIRST) >> RANGE_BITS
            inside = active & (
                (pointers - numpy.uint64(FIRST)) >> numpy.uint64(RANGE_BITS) == numpy.uint64(index)
            )
            used = pointers[inside]
            if not used.size:
                continue
            if int(used.min()) < region.start or int(used.max()) + size > region.end:
                self._complain(region, used, size, doing)
            result[inside] = used + numpy.uint64(region.shift % (1 << 64))
        return result

    def _complain(self, region: Region, used: Any, size: int, doing: str) -> None:
        outside = (used < numpy.uint64(region.start)) | (
            used + numpy.uint64(size) > numpy.uint64(region.end)
        )
        first = int(used[outside].reshape(-1)[0])
        offset = (first - region.start) // size
        count = (region.end - region.start) // size
        program = tuple(int(axis) for axis in tri.interpreter_builder.grid_idx)
        raise OutOfBounds(
            f"{doing} element {offset} of {region.name}, which has {count} (program {program}, "
            f"{int(outside.sum())} of {used.size} lanes): a mask is missing or too wide."
        )


def install() -> None:
    """Give launches made-up addresses and check every load, store and atomic."""
    addresses = Addresses()
    _name_arguments(addresses)
    _check_accesses(addresses)


def _name_arguments(addresses: Addresses) -> None:
    original_init = tri.GridExecutor._init_args_hst
    original_convert = tri._implicit_cvt
    names: dict[int, str] = {}

    def init(self: Any, args: Any, kwargs: Any) -> Any:
        on_host, named = original_init(self, args, kwargs)
        addresses.clear()
        names.clear()
        for name, value in [*zip(self.arg_names, on_host, strict=False), *named.items()]:
            names[id(value)] = name
        return on_host, named

    def convert(argument: Any) -> Any:
        result = original_convert(argument)
        if hasattr(argument, "data_ptr"):
            address = addresses.made_up(argument, names.get(id(argument), "an argument"))
            result.handle.data = numpy.array([address], dtype=numpy.uint64)
        return result

    tri.GridExecutor._init_args_hst = init
    tri._implicit_cvt = convert


def _check_accesses(addresses: Addresses) -> None:
    builder = tri.InterpreterBuilder
    load, store = builder.create_masked_load, builder.create_masked_store
    update, exchange = builder.create_atomic_rmw, builder.create_atomic_cas

    def real(pointer: Any, mask: Any, doing: str) -> Any:
        size = max(1, pointer.get_element_ty().primitive_bitwidth // 8)
        active = None if mask is None else numpy.broadcast_to(mask.data, pointer.data.shape)
        found = addresses.real(pointer.data, active, size, doing)
        return tri.TensorHandle(found, pointer.dtype)

    def masked_load(self: Any, pointers: Any, mask: Any, *rest: Any, **named: Any) -> Any:
        return load(self, real(pointers, mask, "reads"), mask, *rest, **named)

    def masked_store(self: Any, pointers: Any, value: Any, mask: Any, *rest: Any) -> Any:
        return store(self, real(pointers, mask, "writes"), value, mask, *rest)

    def atomic_rmw(self: Any, op: Any, pointer: Any, value: Any, mask: Any, *rest: Any) -> Any:
        return update(self, op, real(pointer, mask, "updates"), value, mask, *rest)

    def atomic_cas(self: Any, pointer: Any, *rest: Any) -> Any:
        return exchange(self, real(pointer, None, "updates"), *rest)

    builder.create_masked_load = masked_load
    builder.create_masked_store = masked_store
    builder.create_atomic_rmw = atomic_rmw
    builder.create_atomic_cas = atomic_cas
