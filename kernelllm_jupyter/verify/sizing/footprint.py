"""How large a problem is, found without its memory: the reference run on meta tensors.

A meta tensor has a shape and a dtype and no elements, so a module that needs gigabytes is built
and run in milliseconds. Where the module's own code needs values (``.item()``, numpy), what could
not be found out is None.

Runs in the referee's process, on the user's own source.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from kernelllm_jupyter.verify.child import constructor_arguments, execute
from kernelllm_jupyter.verify.compat_cuda import ANSWERS, UNMOVED
from kernelllm_jupyter.verify.given import parted
from kernelllm_jupyter.verify.nests import leaves, mapped
from kernelllm_jupyter.verify.trials import sow

__all__ = ["META", "Footprint", "OnMeta", "described", "measured", "on_meta"]

META = torch.device("meta")
Shapes = tuple[tuple[int, ...], ...]


@dataclass(frozen=True)
class Footprint:
    """``elements`` of inputs, weights and outputs together; ``macs`` of matrix products.

    ``made`` counts the elements of every intermediate result. Both are None, and ``runs`` is
    False, where ``forward`` cannot run on meta tensors.
    """

    inputs: Shapes
    #: The same as :func:`described` says it.
    described: tuple[str, ...]
    state: tuple[tuple[str, tuple[int, ...]], ...]
    elements: int
    macs: int | None
    made: int | None
    runs: bool


def measured(
    source: str,
    class_name: str,
    path: Path,
    seed: int,
    inputs: Any = None,
    init: Any = None,
    keywords: tuple[str, ...] = (),
) -> Footprint | None:
    """The footprint of a problem; None where not even its inputs can be made.

    ``inputs`` and ``init`` stand for live values, ``keywords`` for the names of the last
    inputs. Any exception of the user's code counts as "cannot be found out": the real run tells.
    """
    made = on_meta(source, class_name, path, seed, inputs, init)
    if made is None:
        return None
    model, given = made
    state = tuple(
        (name, tuple(value.shape))
        for name, value in model.state_dict().items()
        if isinstance(value, torch.Tensor)
    )
    shapes = tuple(tuple(x.shape) for _, x in leaves(given) if isinstance(x, torch.Tensor))
    held = sum(_count(shape) for shape in (*shapes, *(shape for _, shape in state)))
    words = described(given)
    work = Work()
    try:
        with torch.no_grad(), META, OnMeta(), work:
            positional, named = parted(given, keywords)
            outputs = model(*positional, **named)
    except BaseException:
        return Footprint(shapes, words, state, held, None, None, runs=False)
    returned = sum(x.numel() for _, x in leaves(outputs) if isinstance(x, torch.Tensor))
    return Footprint(shapes, words, state, held + returned, work.flops // 2, work.made, runs=True)


def on_meta(
    source: str, class_name: str, path: Path, seed: int, inputs: Any = None, init: Any = None
) -> tuple[torch.nn.Module, list[Any]] | None:
    """The module of a problem and its inputs, without memory; None where they cannot be made."""
    try:
        module = execute(source, path)
        with torch.no_grad(), META, OnMeta():
            sow(seed)
            drawn = module.get_inputs() if inputs is None else inputs
            drawn = [drawn] if isinstance(drawn, torch.Tensor) else list(drawn)
            given: list[Any] = _on_meta(drawn)
            made = module.get_init_inputs() if hasattr(module, "get_init_inputs") else []
            args, kwargs = constructor_arguments(made) if init is None else init
            model = getattr(module, class_name)(*_on_meta(args), **_on_meta(kwargs))
            return model.to(META), given
    except BaseException:
        return None


def described(inputs: list[Any]) -> tuple[str, ...]:
    """Tensors among the inputs as ``float32[64, 128]``."""
    return tuple(
        f"{str(x.dtype).removeprefix('torch.')}{list(x.shape)}"
        for _, x in leaves(inputs)
        if isinstance(x, torch.Tensor)
    )


def _count(shape: tuple[int, ...]) -> int:
    count = 1
    for size in shape:
        count *= size
    return count


def _on_meta(value: Any) -> Any:
    return mapped(value, lambda tensor: tensor.to(META))


class OnMeta(TorchFunctionMode):  # type: ignore[misc]
    """While active, every device that code names is the meta device."""

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        if func in ANSWERS:
            return ANSWERS[func]
        if func in UNMOVED:
            return args[0]
        kwargs = dict(kwargs or {})
        if "device" in kwargs:
            kwargs["device"] = META
        # A generator of another device is refused, and nothing is drawn anyway.
        kwargs.pop("generator", None)
        kwargs.pop("pin_memory", None)
        moves = func in (torch.Tensor.to, torch.Tensor.type)
        args = tuple(META if _names_device(value, moves) else value for value in args)
        return func(*args, **kwargs)


def _names_device(value: Any, moves: bool) -> bool:
    if isinstance(value, torch.device):
        return True
    return moves and isinstance(value, str) and value.split(":")[0] in ("cuda", "hip", "cpu")


class Work(TorchDispatchMode):  # type: ignore[misc]
    """Adds up the elements that operators make and the operations of their products."""

    def __init__(self) -> None:
        super().__init__()
        self.made = 0
        self.flops = 0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        if not func.is_view:
            self.made += sum(x.numel() for _, x in leaves(result) if isinstance(x, torch.Tensor))
        counted: Callable[..., int] | None = flop_registry.get(func._overloadpacket)
        if counted is not None:
            self.flops += int(counted(*args, **(kwargs or {}), out_val=result))
        return result
