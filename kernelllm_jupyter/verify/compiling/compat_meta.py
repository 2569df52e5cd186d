"""Code written for CUDA, on tensors without memory: ``cuda`` names the ``meta`` device.

What a GPU would hold has shapes, strides and dtypes and no values, so that any size costs nothing.
Tensors on the CPU are real ones and stay apart from those on the GPU, as they would there.
"""

from __future__ import annotations

from typing import Any

import torch
from torch.overrides import TorchFunctionMode
from torch.utils._device import _device_constructors

from kernelllm_jupyter.verify.compat_cuda import ANSWERS, TENSOR, names_cuda

__all__ = ["META", "MetaSpellings", "without_memory"]

META = torch.device("meta")


class MetaSpellings(TorchFunctionMode):  # type: ignore[misc]
    """While active, ``cuda`` names the meta device, whose tensors say that they are on ``cuda:0``.

    ``default`` is where tensors are made whose device is not named; None is the CPU.
    """

    def __init__(self, default: torch.device | None = None) -> None:
        super().__init__()
        self.default = default
        self._set_default_device: Any = None

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        if func in ANSWERS:
            return ANSWERS[func] if args[0].is_meta else func(*args)
        if func is TENSOR.cpu:
            return args[0]
        if func in (TENSOR.cuda, TENSOR.pin_memory):
            return without_memory(args[0])
        kwargs = dict(kwargs or {})
        pinned = kwargs.pop("pin_memory", False)
        if pinned or names_cuda(kwargs.get("device")):
            kwargs["device"] = META
        elif kwargs.get("device") is None and self.default is not None and _makes_tensors(func):
            kwargs["device"] = self.default
        if func in (TENSOR.to, TENSOR.type) and args[0].is_meta:
            # What leaves the GPU stays without values, until somebody asks for one.
            args = tuple(META if _names_device(value) else value for value in args)
            if "device" in kwargs:
                kwargs["device"] = META
        else:
            args = tuple(
                META if isinstance(value, torch.device | str) and names_cuda(value) else value
                for value in args
            )
        return func(*args, **kwargs)

    def __enter__(self) -> MetaSpellings:
        torch_: Any = torch
        self._set_default_device = torch_.set_default_device
        torch_.set_default_device = self._choose_default
        super().__enter__()
        return self

    def __exit__(self, *details: Any) -> None:
        torch_: Any = torch
        torch_.set_default_device = self._set_default_device
        super().__exit__(*details)

    def _choose_default(self, device: Any) -> None:
        self.default = META if names_cuda(device) else None


def _makes_tensors(func: Any) -> bool:
    return func in _device_constructors()


def _names_device(value: Any) -> bool:
    if isinstance(value, str):
        return value.split(":")[0] in ("cpu", "cuda", "hip")
    return isinstance(value, torch.device)


def without_memory(tensor: torch.Tensor) -> torch.Tensor:
    """The same shape, strides and dtype on the meta device."""
    if tensor.is_meta:
        return tensor
    return torch.empty_strided(tensor.shape, tensor.stride(), dtype=tensor.dtype, device=META)
