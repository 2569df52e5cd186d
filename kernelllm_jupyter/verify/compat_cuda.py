"""Code written for CUDA, on a CPU: its spellings are understood, and mean the CPU.

:func:`install` replaces what ``torch.cuda`` offers, once, in the server. :class:`CudaSpellings`
is active only while the user's or the candidate's code runs: device arguments become ``cpu``, and
tensors say that they are on ``cuda:0``, for code that asserts it.
"""

from __future__ import annotations

import time
from contextlib import nullcontext
from types import SimpleNamespace
from typing import Any

import torch
from torch.overrides import TorchFunctionMode
from triton.runtime import driver

from kernelllm_jupyter.verify.fake_driver import CAPABILITY, PROPERTIES

__all__ = ["ANSWERS", "TENSOR", "CudaSpellings", "install", "names_cuda"]

CPU = torch.device("cpu")
CUDA = torch.device("cuda", 0)
MEMORY = 80 << 30
NAME = "NVIDIA H100 80GB HBM3 (none here: Triton's interpreter)"

TENSOR: Any = torch.Tensor
#: What tensors answer, whatever they are asked with.
ANSWERS: dict[Any, Any] = {
    TENSOR.is_cuda.__get__: True,
    TENSOR.is_cpu.__get__: False,
    TENSOR.device.__get__: CUDA,
    TENSOR.get_device: 0,
}
#: Moves between devices that are none here.
UNMOVED = (TENSOR.cuda, TENSOR.cpu, TENSOR.pin_memory)


class CudaSpellings(TorchFunctionMode):  # type: ignore[misc]
    """While active, ``cuda`` names the CPU."""

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        if func in ANSWERS:
            return ANSWERS[func]
        if func in UNMOVED:
            return args[0]
        kwargs = dict(kwargs or {})
        if names_cuda(kwargs.get("device")):
            kwargs["device"] = CPU
        kwargs.pop("pin_memory", None)
        if func is TENSOR.to or func is TENSOR.type:
            args = tuple(CPU if names_cuda(value) else value for value in args)
        else:
            args = tuple(
                CPU if isinstance(value, torch.device) and value.type != "meta" else value
                for value in args
            )
        return func(*args, **kwargs)


def names_cuda(device: Any) -> bool:
    if isinstance(device, torch.device):
        return bool(device.type == "cuda")
    if isinstance(device, str):
        return device.split(":")[0] in ("cuda", "hip")
    return isinstance(device, int) and not isinstance(device, bool)


class Stream:
    """A stream that does at once what it is told."""

    cuda_stream = 0
    stream_id = 0
    device = CUDA

    def __init__(self, *_: Any, **__: Any) -> None:
        return

    def synchronize(self) -> None:
        return

    def wait_stream(self, stream: Any) -> None:
        return

    def wait_event(self, event: Any) -> None:
        return

    def record_event(self, event: Event | None = None) -> Event:
        event = event or Event()
        event.record()
        return event

    def query(self) -> bool:
        return True

    def __enter__(self) -> Stream:
        return self

    def __exit__(self, *_: Any) -> None:
        return


class Event:
    """An event on the host's clock."""

    def __init__(self, *_: Any, **__: Any) -> None:
        self.seconds = 0.0

    def record(self, stream: Any = None) -> None:
        self.seconds = time.perf_counter()

    def wait(self, stream: Any = None) -> None:
        return

    def synchronize(self) -> None:
        return

    def query(self) -> bool:
        return True

    def elapsed_time(self, end: Event) -> float:
        return (end.seconds - self.seconds) * 1e3


class Nowhere:
    """A context that changes nothing: ``torch.cuda.device(0)``, ``_DeviceGuard(0)``, …"""

    def __init__(self, *_: Any, **__: Any) -> None:
        return

    def __enter__(self) -> Nowhere:
        return self

    def __exit__(self, *_: Any) -> None:
        return


class HostGenerator(torch.Generator):  # type: ignore[misc]
    """``torch.Generator(device="cuda")``."""

    def __new__(cls, device: Any = None) -> HostGenerator:
        made: HostGenerator = super().__new__(cls, device="cpu")
        return made


def install() -> None:
    """Replace what ``torch.cuda`` offers; for this process and all that are forked from it."""
    cuda: Any = torch.cuda
    for name, value in _replacements().items():
        setattr(cuda, name, value)
    compiled: Any = torch._C
    compiled._cuda_getCurrentRawStream = lambda device=0: 0
    compiled._cuda_getDeviceCount = lambda: 1
    compiled._cuda_getDevice = lambda: 0
    compiled._cuda_setDevice = _nothing
    torch_: Any = torch
    torch_.Generator = HostGenerator
    # Its argument is checked before a function mode is asked.
    torch_.Tensor.record_stream = _nothing
    torch_.set_default_device = _nothing
    _autocast_on_host()


def _nothing(*_: Any, **__: Any) -> None:
    return


def _replacements() -> dict[str, Any]:
    properties = SimpleNamespace(
        name=NAME,
        major=CAPABILITY[0],
        minor=CAPABILITY[1],
        total_memory=MEMORY,
        multi_processor_count=PROPERTIES["multiprocessor_count"],
        warp_size=PROPERTIES["warpSize"],
        max_threads_per_multi_processor=2048,
        max_threads_per_block=1024,
        regs_per_multiprocessor=PROPERTIES["max_num_regs"],
        shared_memory_per_block=49152,
        shared_memory_per_block_optin=PROPERTIES["max_shared_mem"],
        shared_memory_per_multiprocessor=233472,
        L2_cache_size=50 << 20,
        gcnArchName="",
        is_integrated=False,
        is_multi_gpu_board=False,
    )
    quiet = (
        "set_device synchronize empty_cache init _lazy_init set_stream manual_seed manual_seed_all "
        "reset_peak_memory_stats ipc_collect reset_max_memory_allocated seed seed_all"
    )
    zero = (
        "current_device memory_allocated max_memory_allocated memory_reserved max_memory_reserved"
    )
    return {
        **dict.fromkeys(quiet.split(), _nothing),
        **dict.fromkeys(zero.split(), lambda *_: 0),
        "is_available": lambda: True,
        "is_initialized": lambda: True,
        "is_current_stream_capturing": lambda: False,
        "is_bf16_supported": lambda *_, **__: True,
        "can_device_access_peer": lambda *_: True,
        "device_count": lambda: 1,
        "get_arch_list": lambda: ["sm_90"],
        "get_device_name": lambda *_: NAME,
        # What the active driver stands for, which changes where code is compiled for a target.
        "get_device_capability": lambda *_: getattr(driver.active, "capability", CAPABILITY),
        "get_device_properties": lambda *_: properties,
        "mem_get_info": lambda *_: (MEMORY, MEMORY),
        "current_stream": lambda *_: Stream(),
        "default_stream": lambda *_: Stream(),
        "Stream": Stream,
        "ExternalStream": Stream,
        "Event": Event,
        "stream": lambda *_: nullcontext(),
        "device": Nowhere,
        "device_of": Nowhere,
        "_DeviceGuard": Nowhere,
        "nvtx": SimpleNamespace(
            range_push=_nothing, range_pop=_nothing, mark=_nothing, range=Nowhere
        ),
    }


def _autocast_on_host() -> None:
    """``torch.autocast("cuda")`` casts on the CPU."""
    original: Any = torch.autocast

    class HostAutocast(original):  # type: ignore[misc]
        def __init__(self, device_type: str = "cuda", *args: Any, **kwargs: Any) -> None:
            super().__init__("cpu" if device_type == "cuda" else device_type, *args, **kwargs)

    def cuda_autocast(
        enabled: bool = True, dtype: torch.dtype = torch.float16, cache_enabled: bool = True
    ) -> Any:
        return HostAutocast("cpu", dtype=dtype, enabled=enabled, cache_enabled=cache_enabled)

    torch_: Any = torch
    torch_.autocast = torch_.amp.autocast = HostAutocast
    torch_.cuda.amp.autocast = cuda_autocast
