"""What a problem cannot do without: bytes of memory traffic and operations of its products.

Counted while the reference runs, on its real tensors or on ones without memory. Every input and
weight that some operator reads is read once at least, every output written once; what is made in
between need never leave the chip. Runs in the referee's process.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from kernelllm_jupyter.timings import Work
from kernelllm_jupyter.verify.nests import leaves
from kernelllm_jupyter.verify.sizing.footprint import META, OnMeta, on_meta

__all__ = ["counted", "counted_without_memory"]

#: Operators that read as much of their first argument as they return, and not all of it.
GATHERING = frozenset(["embedding", "gather", "index", "index_select", "take", "take_along_dim"])


def counted(model: torch.nn.Module, inputs: list[Any]) -> Work:
    """The work of one call, which is made; raises what the module raises."""
    state = [*model.parameters(), *model.buffers()]
    traffic = Traffic([*(x for _, x in leaves(inputs) if isinstance(x, torch.Tensor)), *state])
    with torch.no_grad(), traffic:
        outputs = model(*inputs)
    returned = {
        _storage(x): x.numel() * x.element_size()
        for _, x in leaves(outputs)
        if isinstance(x, torch.Tensor) and _storage(x) not in traffic.given
    }
    flops = sum(traffic.flops.values())
    products_in = _narrowest(traffic, state, inputs) if flops else None
    return Work(
        read_bytes=sum(traffic.read_bytes()),
        written_bytes=sum(returned.values()) + sum(traffic.written.values()),
        flops=flops,
        products_in=str(products_in).removeprefix("torch.") if products_in else None,
    )


def _narrowest(traffic: Traffic, state: list[torch.Tensor], inputs: list[Any]) -> torch.dtype:
    """The dtype of most operations; that of what was given, where PyTorch widened it first.

    It takes attention apart and computes it in float32 where no kernel of its own is there.
    """
    own = traffic.flops.most_common(1)[0][0]
    tensors = [x for _, x in leaves([inputs, state]) if isinstance(x, torch.Tensor)]
    given = {x.dtype for x in tensors if x.is_floating_point()}
    if all(dtype.itemsize < own.itemsize for dtype in given) and given:
        return max(given, key=lambda dtype: dtype.itemsize)
    return own


def counted_without_memory(
    source: str, class_name: str, path: Path, seed: int, inputs: Any, init: Any
) -> Work | None:
    """The work of a problem on tensors without memory; None where it needs their values."""
    made = on_meta(source, class_name, path, seed, inputs, init)
    if made is None:
        return None
    try:
        with META, OnMeta():
            return counted(*made)
    except BaseException:
        return None


class Traffic(TorchDispatchMode):  # type: ignore[misc]
    """Which of the tensors that were given are read and written, and the products' operations."""

    def __init__(self, given: list[torch.Tensor]) -> None:
        super().__init__()
        self.given = {_storage(tensor): _bytes(tensor) for tensor in given}
        #: For each given tensor the parts of it that were read: from where to where, and how much.
        self.parts: dict[int, set[tuple[int, int, int]]] = {}
        self.written: dict[int, int] = {}
        self.flops: Counter[torch.dtype] = Counter()

    def read_bytes(self) -> Iterator[int]:
        """Of every given tensor what was read, and no part of it twice."""
        for key, parts in self.parts.items():
            covered, until = 0, 0
            for start, end, _ in sorted(parts):
                covered += max(0, end - max(start, until))
                until = max(until, end)
            yield min(self.given[key], covered, sum(size for _, _, size in parts))

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        result = func(*args, **kwargs)
        if func.is_view:
            return result
        schema = func._schema
        gathers = schema.name.rpartition("::")[2] in GATHERING
        arguments = {spec.name: value for spec, value in zip(schema.arguments, args, strict=False)}
        for number, spec in enumerate(schema.arguments):
            value = arguments.get(spec.name, kwargs.get(spec.name))
            writes = spec.alias_info is not None and spec.alias_info.is_write
            for _, tensor in leaves(value):
                if isinstance(tensor, torch.Tensor) and _storage(tensor) in self.given:
                    least = result if gathers and number == 0 else None
                    self._touch(tensor, least, writes=writes)
        count: Callable[..., int] | None = flop_registry.get(func._overloadpacket)
        if count is not None:
            first = next(x for _, x in leaves(args) if isinstance(x, torch.Tensor))
            self.flops[first.dtype] += int(count(*args, **kwargs, out_val=result))
        return result

    def _touch(self, tensor: torch.Tensor, least: Any, *, writes: bool) -> None:
        key, size = _storage(tensor), _bytes(tensor)
        if isinstance(least, torch.Tensor):
            size = min(size, _bytes(least))
        if writes:
            self.written[key] = max(self.written.get(key, 0), size)
        start = tensor.storage_offset() * tensor.element_size()
        strides = zip(tensor.shape, tensor.stride(), strict=True)
        span = sum((n - 1) * stride for n, stride in strides) + 1 if tensor.numel() else 0
        self.parts.setdefault(key, set()).add((start, start + span * tensor.element_size(), size))


def _storage(tensor: torch.Tensor) -> int:
    return int(tensor.untyped_storage()._cdata)


def _bytes(tensor: torch.Tensor) -> int:
    """What of its memory a tensor shows: an expanded one shows the same several times."""
    shown: int = tensor.numel() * tensor.element_size()
    held: int = tensor.untyped_storage().nbytes()
    return min(shown, held)
