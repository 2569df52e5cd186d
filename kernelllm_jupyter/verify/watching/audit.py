"""What a candidate's forward pass does: Triton launches, ATen operators, fresh memory.

Runs in the candidate's process. :class:`Launches` counts launches, can disable them and notes
launches that only move values; :class:`Operators` counts ATen arithmetic and fills memory that
PyTorch hands out uninitialised, so that what a Triton kernel leaves unwritten shows as NaN.
"""

from __future__ import annotations

import math
import sys
import sysconfig
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any

import torch
import triton
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from kernelllm_jupyter.verify.compiling.resources import Kernels
from kernelllm_jupyter.verify.nests import wide
from kernelllm_jupyter.verify.watching.guard_zones import GuardZones
from kernelllm_jupyter.verify.watching.workload import ALLOCATING, moves, work_of

__all__ = [
    "POISON",
    "POISON_NUMBER",
    "HostReads",
    "Launches",
    "Operators",
    "Overflow",
    "of_a_library",
    "poison",
]

#: What uninitialised integers hold; odd in every byte, so that it is no plausible index or count.
POISON = 0x5A5A5A5A
#: What floats hold, with either sign, in trials in which NaN might not show: a maximum passes over
#: it, and the result may be NaN itself. Fits float16.
POISON_NUMBER = -21546.0
#: Launches over more elements than this are not compared with their arguments.
COMPARED_ELEMENTS = 1 << 20


def poison(tensor: torch.Tensor, number: float = math.nan) -> torch.Tensor:
    """Fill fresh memory with what no computation would have left there."""
    if tensor.numel() and tensor.device.type != "meta":
        if tensor.is_floating_point() and tensor.element_size() == 1:
            # No 8-bit float holds the number, and some of them no NaN.
            tensor.view(torch.uint8).fill_(0x7F if math.isnan(number) else POISON & 0xFF)
        elif tensor.is_floating_point() or tensor.is_complex():
            tensor.fill_(number)
        elif tensor.dtype == torch.bool:
            tensor.fill_(True)
        else:
            pattern = POISON & torch.iinfo(tensor.dtype).max
            tensor.fill_(-pattern if number < 0 and tensor.dtype.is_signed else pattern)
    return tensor


#: Operators whose results get guard zones where there are any.
MAKING = ALLOCATING | {"zeros", "zeros_like", "new_zeros", "full", "full_like", "ones", "ones_like"}


class Operators(TorchDispatchMode):  # type: ignore[misc]
    """Counts ATen operators that compute, and poisons fresh memory.

    What happens inside a launch is the interpreter's own doing and not counted, unless the
    candidate's source called the operator there itself.
    """

    def __init__(self, poison_number: float = math.nan, zones: GuardZones | None = None) -> None:
        super().__init__()
        self.poison_number = poison_number
        self.zones = zones
        self.arithmetic: Counter[str] = Counter()
        self.work: Counter[str] = Counter()
        #: How many numbers the host read out of tensors, ``float`` and ``other``.
        self.read_by_host: Counter[str] = Counter()
        #: The thread that is inside a launch.
        self.launching: int | None = None

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        namespace, _, name = func._schema.name.rpartition("::")
        before = args[0].numel() if name == "resize_" else 0
        result = func(*args, **kwargs)
        inside = self.inside_launch
        if inside and (moves(name) or not _asked_by_a_candidate()):
            return result
        if self.zones is not None and name in MAKING and isinstance(result, torch.Tensor):
            result = self.zones.around(result)
        if name in ALLOCATING and isinstance(result, torch.Tensor):
            poison(result, self.poison_number)
            if self.zones is not None and torch.cuda.is_available() and not _capturing():
                # A stream of the code's own need not wait for an allocation, which does nothing.
                torch.cuda.current_stream().synchronize()
        elif name == "resize_":
            _poison_grown(result, before, self.poison_number)
        elif name == "_local_scalar_dense":
            self.read(args[0])
        elif not moves(name):
            self.arithmetic[name if namespace == "aten" else f"{namespace}::{name}"] += 1
            self.work.update(work_of(name, args, kwargs, result))
        return result

    def read(self, tensor: torch.Tensor) -> None:
        """Note that the host reads all of a tensor."""
        number = tensor.is_floating_point() or tensor.is_complex()
        self.read_by_host["float" if number else "other"] += tensor.numel()

    @property
    def inside_launch(self) -> bool:
        """Whether this thread is inside a launch."""
        return self.launching == threading.get_ident()

    @contextmanager
    def within_launch(self, inside: bool = True) -> Iterator[None]:
        """Leave out what this thread does, or (a grid's callable) count it again."""
        before = self.launching
        self.launching = threading.get_ident() if inside else None
        try:
            yield
        finally:
            self.launching = before


#: Where code is not the candidate's: the library, what is installed, and this package.
LIBRARIES = tuple(
    {
        *(sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")),
        # An environment may take packages from another one, or from the user's own folder.
        *(path for path in sys.path if path.endswith(("site-packages", "dist-packages"))),
        str(Path(torch.__file__).parent),
        str(Path(triton.__file__).parent),
        str(Path(__file__).parents[2]),
        "<frozen ",
    }
)
PYTORCH = str(Path(torch.__file__).parent)
OWN_MODE = __file__


def _capturing() -> bool:
    """Whether a CUDA graph is being recorded, which nothing may wait in."""
    return bool(torch.cuda.is_current_stream_capturing())


def of_a_library(filename: str) -> bool:
    """Whether code of this file was installed, and so is not the candidate's."""
    return filename.startswith(LIBRARIES)


def _asked_by_a_candidate() -> bool:
    """Whether the nearest caller that is not PyTorch is code from outside the libraries."""
    frame = sys._getframe(2)
    while frame is not None:
        name = frame.f_code.co_filename
        if not name.startswith(PYTORCH) and name != OWN_MODE:
            return not of_a_library(name)
        frame = frame.f_back  # type: ignore[assignment]
    return False


def _poison_grown(tensor: torch.Tensor, before: int, number: float) -> None:
    """``resize_`` keeps the first elements and leaves the others as memory had them."""
    if tensor.is_contiguous() and tensor.numel() > before:
        poison(tensor.view(-1)[before:], number)


class HostReads(TorchFunctionMode):  # type: ignore[misc]
    """Counts the numbers that leave tensors in bulk, for arithmetic that no operator shows."""

    def __init__(self, operators: Operators) -> None:
        super().__init__()
        self.operators = operators

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        if func in READING and not self.operators.inside_launch:
            self.operators.read(args[0])
        return func(*args, **(kwargs or {}))


READING = frozenset(
    {
        torch.Tensor.numpy,
        torch.Tensor.tolist,
        torch.Tensor.__array__,
        torch.Tensor.__dlpack__,
        torch.Tensor.__reduce_ex__,
    }
)


class Overflow(TorchDispatchMode):  # type: ignore[misc]
    """Notices an operator that makes infinity or NaN out of finite numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.seen = False

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        computes = not self.seen and not moves(func._schema.name.rpartition("::")[2])
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
        or bool(torch.isfinite(wide(value)).all())
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
        #: Which configurations there are, and which were tried (see ``autotuning``).
        self.tuning: Any = None
        #: While calls are timed: launches on a GPU are neither looked at nor counted.
        self.resting = False
        #: Seconds that autotuners on a GPU spent trying their configurations.
        self.tuning_s = 0.0
        #: What else was seen, for example a product that a GPU computes in TF32.
        self.notes: set[str] = set()
        #: Whether masked lanes that a load leaves undefined are NaN instead of 0.
        self.padding_undefined = False
        #: Where launches become compilations, in a server that compiles for a GPU.
        self.bench: Any = None
        #: The compiled kernels that ran, on a GPU.
        self.kernels = Kernels()
        #: The candidate's file.
        self.filename = ""
        #: Names that the compatibility layer added to torch.
        self.added_names: tuple[str, ...] = ()

    def start(
        self, *, disabled: bool, operators: Operators | None, only_copies: bool = True
    ) -> None:
        """Begin a run. Where launches are known to do more than copy, that is not looked at."""
        self.names.clear()
        self.only_copies = only_copies
        self.disabled = disabled
        self.operators = operators
        self.kernels.clear()
        self.turn += 1
        self.configuration = None

    @property
    def total(self) -> int:
        return sum(self.names.values())

    def around(self, name: str, arguments: list[Any], launch: Callable[[], Any]) -> Any:
        """Run ``launch`` unless launches are disabled, and note what it did.

        One that raises is no launch: code that catches the exception computes otherwise.
        """
        if self.disabled:
            self.names[name] += 1
            return None
        with self.unobserved():
            tensors = list(_tensors(arguments))
            watched = self.only_copies and sum(t.numel() for t in tensors) <= COMPARED_ELEMENTS
            before = [_bits(tensor) for tensor in tensors] if watched else []
            result = launch()
            self.names[name] += 1
            self.only_copies = watched and _only_copied(tensors, before)
            return result

    def unobserved(self) -> AbstractContextManager[None]:
        """Within it, operators are the launch's own."""
        return self.operators.within_launch() if self.operators is not None else nullcontext()

    def observed(self, function: Any) -> Any:
        """A grid or hook: code of the candidate's that runs inside of its launch."""
        if not callable(function):
            return function

        def call(*args: Any, **kwargs: Any) -> Any:
            if self.operators is None:
                return function(*args, **kwargs)
            with self.operators.within_launch(False):
                return function(*args, **kwargs)

        return call


def _tensors(arguments: Iterable[Any]) -> Iterator[torch.Tensor]:
    """The tensors that a launch is given: alone, in a tuple, or in a descriptor."""
    for item in arguments:
        if isinstance(item, torch.Tensor):
            yield item
        elif isinstance(item, list | tuple):
            yield from _tensors(item)
        elif isinstance(base := getattr(item, "base", None), torch.Tensor):
            yield base


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
