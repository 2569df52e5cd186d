"""No access out of bounds: every pointer of a launch knows which argument it came from.

The interpreter reads and writes real addresses, so an access past the end of a tensor goes
unnoticed as long as something is mapped there. Here a launch gets made-up addresses instead, far
apart, one range for each argument's storage. An address keeps its argument through any arithmetic,
and is checked and translated when it is read or written.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy
import triton.runtime.interpreter as tri

from kernelllm_jupyter.verify.interpreter_races import Races

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

    def count(self, size: int) -> int:
        """How many elements of ``size`` bytes it has."""
        return -(-(self.end - self.start) // size)


#: Called with a region, its elements that are accessed, their lanes, and all real addresses.
Note = Callable[[Region, Any, Any, Any], None]


def _elements(region: Region, used: Any, size: int) -> Any:
    return ((used - numpy.uint64(region.start)) // numpy.uint64(size)).astype(numpy.int64)


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

    def real(self, pointers: Any, mask: Any, size: int, doing: str, note: Note | None) -> Any:
        """Real addresses for made-up ones; raises :class:`OutOfBounds`.

        ``note`` is told which elements of which region are meant, and which lanes they are.
        """
        used = pointers if mask is None or mask.all() else pointers[mask]
        if not used.size:
            return pointers
        low, high = int(used.min()), int(used.max())
        if high < FIRST:
            # An address that was read from memory: nothing is known about it.
            return pointers
        region = self._region(low)
        if region is None or region is not self._region(high):
            return self._real_each(pointers, mask, size, doing, note)
        if low < region.start or high + size > region.end:
            self._complain(region, used, size, doing)
        result = pointers + numpy.uint64(region.shift % (1 << 64))
        if note is not None:
            lanes = numpy.ones(pointers.shape, bool) if used is pointers else mask
            note(region, _elements(region, used, size), lanes, result)
        return result

    def _region(self, address: int) -> Region | None:
        index = (address - FIRST) >> RANGE_BITS
        return self.regions[index] if 0 <= index < len(self.regions) else None

    def _real_each(self, pointers: Any, mask: Any, size: int, doing: str, note: Note | None) -> Any:
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
            if note is not None:
                note(region, _elements(region, used, size), inside, result)
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
    addresses, races = Addresses(), Races()
    _name_arguments(addresses, races)
    _check_loads_and_stores(addresses, races)
    _check_atomics(addresses, races)


def _name_arguments(addresses: Addresses, races: Races) -> None:
    original_init = tri.GridExecutor._init_args_hst
    original_convert = tri._implicit_cvt
    names: dict[int, str] = {}

    def init(self: Any, args: Any, kwargs: Any) -> Any:
        on_host, named = original_init(self, args, kwargs)
        addresses.clear()
        races.begin(self.fn.__name__)
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


def _size(pointer: Any) -> int:
    return max(1, int(pointer.get_element_ty().primitive_bitwidth) // 8)


def _translated(
    addresses: Addresses, pointer: Any, mask: Any, doing: str, note: Note | None
) -> Any:
    active = None if mask is None else numpy.broadcast_to(mask.data, pointer.data.shape)
    found = addresses.real(pointer.data, active, _size(pointer), doing, note)
    return tri.TensorHandle(found, pointer.dtype)


def _check_loads_and_stores(addresses: Addresses, races: Races) -> None:
    builder = tri.InterpreterBuilder
    load, store = builder.create_masked_load, builder.create_masked_store

    def masked_load(self: Any, pointers: Any, mask: Any, *rest: Any, **named: Any) -> Any:
        size = _size(pointers)

        def note(region: Region, elements: Any, lanes: Any, real: Any) -> None:
            races.loads(region.name, elements, region.count(size), size)

        real = _translated(addresses, pointers, mask, "reads", note)
        return load(self, real, mask, *rest, **named)

    def masked_store(self: Any, pointers: Any, value: Any, mask: Any, *rest: Any) -> Any:
        size = _size(pointers)

        def note(region: Region, elements: Any, lanes: Any, real: Any) -> None:
            def changed() -> Any:
                new = numpy.broadcast_to(value.data, real.shape)[lanes]
                return _bits(_contents(real[lanes], new.dtype)) != _bits(new)

            races.stores(region.name, elements, region.count(size), size, changed)

        real = _translated(addresses, pointers, mask, "writes", note)
        return store(self, real, value, mask, *rest)

    builder.create_masked_load = masked_load
    builder.create_masked_store = masked_store


def _bits(values: Any) -> Any:
    """The raw bits, so that one NaN equals the next."""
    return numpy.ascontiguousarray(values).view(f"u{values.dtype.itemsize}")


def _contents(real: Any, dtype: Any) -> Any:
    """What memory holds at real addresses."""
    everywhere, nothing = numpy.ones(real.shape, bool), numpy.zeros(real.shape, dtype)
    return tri._interpreter.load(real, everywhere, nothing, dtype)


def _check_atomics(addresses: Addresses, races: Races) -> None:
    builder = tri.InterpreterBuilder
    update, exchange = builder.create_atomic_rmw, builder.create_atomic_cas

    def noted(pointer: Any, synchronises: bool) -> Note:
        def note(region: Region, elements: Any, lanes: Any, real: Any) -> None:
            races.updates(region.name, elements, _size(pointer), synchronises=synchronises)

        return note

    def atomic_rmw(self: Any, op: Any, pointer: Any, value: Any, mask: Any, *rest: Any) -> Any:
        counts = not pointer.get_element_ty().is_floating() or "XCHG" in str(op)
        real = _translated(addresses, pointer, mask, "updates", noted(pointer, counts))
        return update(self, op, real, value, mask, *rest)

    def atomic_cas(self: Any, pointer: Any, *rest: Any) -> Any:
        real = _translated(addresses, pointer, None, "updates", noted(pointer, True))
        return exchange(self, real, *rest)

    builder.create_atomic_rmw = atomic_rmw
    builder.create_atomic_cas = atomic_cas
