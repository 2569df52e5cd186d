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

from kernelllm_jupyter.verify.interpreter.races import Races
from kernelllm_jupyter.verify.watching.audit import Launches

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
    """One storage: its made-up bounds, and what leads from there to real addresses.

    ``first`` and ``extent`` are the argument's own: where in the storage it begins, and how many
    bytes it spans. A view legally reaches what is around it.
    """

    number: int
    name: str
    start: int
    end: int
    shift: int
    first: int
    extent: int

    def count(self, size: int) -> int:
        """How many elements of ``size`` bytes it has."""
        return -(-(self.end - self.start) // size)

    def told(self, address: int, size: int) -> str:
        """An element in words, counted from where the argument begins."""
        element = (address - self.start - self.first) // size
        text = f"element {element} of {self.name}, which has {self.extent // size}"
        if self.first or self.extent < self.end - self.start:
            before, after = self.first // size, (self.end - self.start - self.first) // size
            text += f" (a view: its storage goes from element {-before} to {after - 1})"
        return text


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
        plain = tri._unwrap_tensor(tensor)
        storage = plain.untyped_storage()
        real = storage.data_ptr()
        region = self.by_storage.get(real)
        if region is None:
            number = len(self.regions)
            # The low bits stay, because descriptors ask for aligned addresses.
            start = FIRST + (number << RANGE_BITS) + MIDDLE + (real & 0xFFFF)
            region = Region(
                number=number,
                name=name,
                start=start,
                end=start + storage.nbytes(),
                shift=real - start,
                first=int(plain.data_ptr()) - real,
                extent=_extent(plain),
            )
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
        program = tuple(int(axis) for axis in tri.interpreter_builder.grid_idx)
        raise OutOfBounds(
            f"{doing} {region.told(first, size)} (program {program}, {int(outside.sum())} of "
            f"{used.size} lanes): a mask is missing or too wide."
        )


def _extent(tensor: Any) -> int:
    """How many bytes a tensor spans, from its first element to its last."""
    if not tensor.numel():
        return 0
    steps = zip(tensor.shape, tensor.stride(), strict=True)
    return int((1 + sum((size - 1) * stride for size, stride in steps)) * tensor.element_size())


def install(launches: Launches) -> None:
    """Give launches made-up addresses and check every load, store and atomic."""
    addresses, races = Addresses(), Races()
    _name_arguments(addresses, races)
    _check_loads_and_stores(launches, addresses, races)
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
            _name_parts(names, name, value)
        return on_host, named

    def convert(argument: Any) -> Any:
        result = original_convert(argument)
        if hasattr(argument, "data_ptr"):
            address = addresses.made_up(argument, names.get(id(argument), "an argument"))
            result.handle.data = numpy.array([address], dtype=numpy.uint64)
        return result

    tri.GridExecutor._init_args_hst = init
    tri._implicit_cvt = convert


def _name_parts(names: dict[int, str], name: str, value: Any) -> None:
    """An argument's name, and those of what it consists of: tuples and descriptors."""
    names[id(value)] = name
    if isinstance(value, tuple):
        for index, part in enumerate(value):
            _name_parts(names, f"{name}[{index}]", part)
    elif hasattr(value, "base") and hasattr(value, "block_shape"):
        names[id(value.base)] = name


def _size(pointer: Any) -> int:
    return max(1, int(pointer.get_element_ty().primitive_bitwidth) // 8)


def _translated(
    addresses: Addresses, pointer: Any, mask: Any, doing: str, note: Note | None
) -> Any:
    active = None if mask is None else numpy.broadcast_to(mask.data, pointer.data.shape)
    found = addresses.real(pointer.data, active, _size(pointer), doing, note)
    return tri.TensorHandle(found, pointer.dtype)


def _check_loads_and_stores(launches: Launches, addresses: Addresses, races: Races) -> None:
    builder = tri.InterpreterBuilder
    load, store = builder.create_masked_load, builder.create_masked_store

    def masked_load(
        self: Any, pointers: Any, mask: Any, other: Any, *rest: Any, **named: Any
    ) -> Any:
        size = _size(pointers)
        # Triton before 3.9 gives the mask of a block pointer as a bare array.
        if other is None and mask is not None and not numpy.all(mask.data):
            # A GPU gives 0 there, though Triton promises nothing.
            launches.notes.add("padding")
            if launches.padding_undefined:
                other = _undefined(pointers)

        def note(region: Region, elements: Any, lanes: Any, real: Any) -> None:
            races.loads(region, elements, size)

        real = _translated(addresses, pointers, mask, "reads", note)
        return load(self, real, mask, other, *rest, **named)

    def masked_store(self: Any, pointers: Any, value: Any, mask: Any, *rest: Any) -> Any:
        size = _size(pointers)

        def note(region: Region, elements: Any, lanes: Any, real: Any) -> None:
            def changed() -> Any:
                new = numpy.broadcast_to(value.data, real.shape)[lanes]
                other = _bits(_contents(real[lanes], new.dtype)) != _bits(new)
                return other.reshape(elements.shape)

            races.stores(region, elements, size, changed)

        real = _translated(addresses, pointers, mask, "writes", note)
        return store(self, real, value, mask, *rest)

    builder.create_masked_load = masked_load
    builder.create_masked_store = masked_store


def _undefined(pointers: Any) -> Any:
    """What a masked lane may hold where the code does not say: NaN in every format, or -1."""
    dtype = tri._get_np_dtype(pointers.get_element_ty())
    filled = numpy.full((*pointers.data.shape, dtype.itemsize), 0xFF, numpy.uint8)
    values = filled.view(dtype).reshape(pointers.data.shape)
    return tri.TensorHandle(values, pointers.get_element_ty())


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

    def noted(pointer: Any, synchronises: bool, monotone: bool) -> Note:
        def note(region: Region, elements: Any, lanes: Any, real: Any) -> None:
            size = _size(pointer)
            races.updates(region, elements, size, synchronises=synchronises, monotone=monotone)

        return note

    def atomic_rmw(self: Any, op: Any, pointer: Any, value: Any, mask: Any, *rest: Any) -> Any:
        # A number that programs take turns at is a ticket or a count of who has arrived.
        is_count = pointer.data.size == 1 and not pointer.get_element_ty().is_floating()
        name = str(op)
        note = noted(pointer, is_count or "XCHG" in name, "MAX" in name or "MIN" in name)
        real = _translated(addresses, pointer, mask, "updates", note)
        return update(self, op, real, _whole(value), _whole(mask), *rest)

    def atomic_cas(self: Any, pointer: Any, expected: Any, value: Any, *rest: Any) -> Any:
        real = _translated(addresses, pointer, None, "updates", None)
        before = exchange(self, real, _whole(expected), _whole(value), *rest)
        races.swaps(bool((before.data == expected.data).any()))
        return before

    builder.create_atomic_rmw = atomic_rmw
    builder.create_atomic_cas = atomic_cas


def _whole(handle: Any) -> Any:
    """The interpreter's atomics up to 3.6 take blocks of one value for written out."""
    if handle is None or handle.data.flags.c_contiguous:
        return handle
    return tri.TensorHandle(numpy.ascontiguousarray(handle.data), handle.dtype)
