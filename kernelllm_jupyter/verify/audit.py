"""What a candidate's forward pass does: Triton launches, ATen operators, fresh memory.

Runs in the candidate's process. :class:`Launches` counts launches, can disable them and notes
launches that only move values; :class:`Operators` counts ATen arithmetic and fills memory that
PyTorch hands out uninitialised, so that what a Triton kernel leaves unwritten shows as NaN.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from kernelllm_jupyter.verify.resources import Kernels

__all__ = ["POISON", "POISON_NUMBER", "Launches", "Operators", "Overflow", "poison"]

#: What uninitialised integers hold; odd in every byte, so that it is no plausible index or count.
POISON = 0x5A5A5A5A
#: What floats hold where NaN would not show, because the result is NaN itself; fits float16.
POISON_NUMBER = -21546.0
#: Launches over more elements than this are not compared with their arguments.
COMPARED_ELEMENTS = 1 << 20

ALLOCATING = frozenset(
    {"empty", "empty_like", "empty_strided", "new_empty", "new_empty_strided", "empty_permuted"}
)
#: Operators that make, move or look at values without computing new ones.
MOVING = ALLOCATING | frozenset(
    [
        "_conj",
        "_conj_physical",
        "_local_scalar_dense",
        "_neg_view",
        "_reshape_alias",
        "_reshape_copy",
        "_to_copy",
        "_unsafe_view",
        "alias",
        "alias_copy",
        "arange",
        "arange_out",
        "as_strided",
        "as_strided_",
        "as_strided_copy",
        "as_strided_scatter",
        "broadcast_to",
        "cat",
        "chunk",
        "clone",
        "constant_pad_nd",
        "contiguous",
        "copy",
        "copy_",
        "detach",
        "detach_",
        "diagonal",
        "diagonal_scatter",
        "equal",
        "expand",
        "expand_copy",
        "eye",
        "fill",
        "fill_",
        "flatten",
        "flip",
        "full",
        "full_like",
        "gather",
        "index",
        "index_copy",
        "index_put",
        "index_put_",
        "index_select",
        "is_same_size",
        "is_set_to",
        "lift",
        "lift_fresh",
        "masked_fill",
        "masked_fill_",
        "masked_scatter",
        "movedim",
        "narrow",
        "new_full",
        "new_ones",
        "new_zeros",
        "one_hot",
        "ones",
        "ones_like",
        "permute",
        "permute_copy",
        "pin_memory",
        "ravel",
        "real",
        "repeat",
        "repeat_interleave",
        "reshape",
        "resize_",
        "resolve_conj",
        "resolve_neg",
        "roll",
        "scalar_tensor",
        "scatter",
        "select",
        "select_scatter",
        "set_",
        "slice",
        "slice_scatter",
        "split",
        "split_copy",
        "split_with_sizes",
        "split_with_sizes_copy",
        "squeeze",
        "squeeze_",
        "squeeze_copy",
        "stack",
        "stride",
        "sym_numel",
        "sym_size",
        "sym_storage_offset",
        "sym_stride",
        "t",
        "t_",
        "take",
        "take_along_dim",
        "tile",
        "to",
        "transpose",
        "transpose_",
        "transpose_copy",
        "tril",
        "tril_",
        "tril_indices",
        "triu",
        "triu_",
        "triu_indices",
        "unbind",
        "unfold",
        "unflatten",
        "unsqueeze",
        "unsqueeze_",
        "unsqueeze_copy",
        "view",
        "view_as",
        "view_as_real",
        "view_as_complex",
        "view_copy",
        "zero",
        "zero_",
        "zeros",
        "zeros_like",
    ]
)


def poison(tensor: torch.Tensor, number: float = math.nan) -> torch.Tensor:
    """Fill fresh memory with what no computation would have left there."""
    if tensor.numel() and tensor.device.type != "meta":
        if tensor.is_floating_point() or tensor.is_complex():
            tensor.fill_(number)
        elif tensor.dtype == torch.bool:
            tensor.fill_(True)
        else:
            tensor.fill_(POISON & torch.iinfo(tensor.dtype).max)
    return tensor


class Operators(TorchDispatchMode):  # type: ignore[misc]
    """Counts ATen operators that compute, and poisons fresh memory."""

    def __init__(self, poison_number: float = math.nan) -> None:
        super().__init__()
        self.poison_number = poison_number
        self.arithmetic: Counter[str] = Counter()
        self.paused = False

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        if self.paused:
            return result
        namespace, _, name = func._schema.name.rpartition("::")
        if name in ALLOCATING and isinstance(result, torch.Tensor):
            poison(result, self.poison_number)
        elif name not in MOVING and namespace == "aten":
            self.arithmetic[name] += 1
        return result


class Overflow(TorchDispatchMode):  # type: ignore[misc]
    """Notices an operator that makes infinity or NaN out of finite numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.seen = False

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        computes = not self.seen and func._schema.name.rpartition("::")[2] not in MOVING
        started_finite = computes and _finite([*args, *(kwargs or {}).values()])
        result = func(*args, **(kwargs or {}))
        if started_finite and not _finite([result]):
            self.seen = True
        return result


def _finite(values: Any) -> bool:
    return all(
        _finite(value)
        if isinstance(value, tuple | list)
        else not (isinstance(value, torch.Tensor) and value.is_floating_point())
        or bool(torch.isfinite(value).all())
        for value in values
    )


class Launches:
    """Every launch of a Triton kernel, whoever makes it: interpreter or compiled."""

    def __init__(self) -> None:
        self.names: Counter[str] = Counter()
        self.only_copies = True
        self.disabled = False
        self.operators: Operators | None = None
        #: Counts the runs, so that each trial can take another autotuning configuration.
        self.turn = 0
        self.configuration: str | None = None
        #: What else was seen, for example a product that a GPU computes in TF32.
        self.notes: set[str] = set()
        #: Where launches become compilations, in a server that compiles for a GPU.
        self.bench: Any = None
        #: The compiled kernels that ran, on a GPU.
        self.kernels = Kernels()
        #: Names that the compatibility layer added to torch.
        self.added_names: tuple[str, ...] = ()

    def start(self, *, disabled: bool, operators: Operators | None) -> None:
        self.names.clear()
        self.only_copies = True
        self.disabled = disabled
        self.operators = operators
        self.turn += 1
        self.configuration = None

    @property
    def total(self) -> int:
        return sum(self.names.values())

    def around(self, name: str, arguments: list[Any], launch: Callable[[], Any]) -> Any:
        """Run ``launch`` unless launches are disabled, and note what it did."""
        self.names[name] += 1
        if self.disabled:
            return None
        with self._unobserved():
            tensors = [item for item in arguments if isinstance(item, torch.Tensor)]
            watched = self.only_copies and sum(t.numel() for t in tensors) <= COMPARED_ELEMENTS
            before = [_bits(tensor) for tensor in tensors] if watched else []
            result = launch()
            if (watched and not _only_copied(tensors, before)) or not watched:
                self.only_copies = False
            return result

    @contextmanager
    def _unobserved(self) -> Iterator[None]:
        operators = self.operators
        paused = operators is not None and not operators.paused
        if operators is not None and paused:
            operators.paused = True
        try:
            yield
        finally:
            if operators is not None and paused:
                operators.paused = False


def _bits(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.detach().clone(memory_format=torch.contiguous_format).reshape(-1)


def _only_copied(tensors: list[torch.Tensor], before: list[torch.Tensor]) -> bool:
    """Whether all that changed now holds values that another argument held before."""
    for tensor, old in zip(tensors, before, strict=True):
        new = _bits(tensor)
        if _same(new, old):
            continue
        others = [item for item in before if item is not old and item.numel() == new.numel()]
        if not any(_same_values(new, other) for other in others):
            return False
    return True


def _same(left: torch.Tensor, right: torch.Tensor) -> bool:
    return bool(torch.equal(left.view(torch.uint8), right.view(torch.uint8)))


def _same_values(left: torch.Tensor, right: torch.Tensor) -> bool:
    """Whether two flat tensors hold the same values in any order."""
    if left.dtype != right.dtype or left.is_complex():
        return False
    return bool(torch.equal(left.sort().values, right.sort().values))
