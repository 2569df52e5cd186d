"""The reference: built by seed, fed, and run in its own precision and in float64.

Runs in the referee's process. Whatever fails here is the user's module, not the candidate, and
becomes a :class:`ReferenceFailure` with the user's line.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from kernelllm_jupyter.verify.child import constructor_arguments, execute
from kernelllm_jupyter.verify.explaining.failures import failure_line, failure_text
from kernelllm_jupyter.verify.given import Given, parted
from kernelllm_jupyter.verify.nests import copied, leaves, mapped
from kernelllm_jupyter.verify.revival import WHY_UNLIKE, differing, load, unlike
from kernelllm_jupyter.verify.surroundings import surroundings
from kernelllm_jupyter.verify.tensors import Blob
from kernelllm_jupyter.verify.trials import sow
from kernelllm_jupyter.verify.watching.audit import Overflow
from kernelllm_jupyter.verify.watching.decisions import Decisions
from kernelllm_jupyter.verify.watching.settings import set_to_tf32
from kernelllm_jupyter.verify.watching.workload import Workload

__all__ = ["Expectation", "Reference", "ReferenceFailure"]

T = TypeVar("T")
ROUNDING = torch.finfo(torch.float32).eps / 2
#: The bits of a float32 that TF32 keeps. Tensor cores ignore the others, which rounds to zero.
TF32_BITS = -1 << 13
#: ATen operators that a GPU may compute in TF32, by the setting of PyTorch that allows it.
PRODUCTS = frozenset(
    (
        "mm",
        "addmm",
        "bmm",
        "baddbmm",
        "addbmm",
        "mv",
        "addmv",
        "dot",
        "vdot",
        "_scaled_dot_product_flash_attention_for_cpu",
        "_scaled_dot_product_attention_math",
    )
)
CONVOLUTIONS = frozenset(("convolution", "_convolution", "convolution_overrideable"))
LOWER = (
    torch.float32,
    torch.float16,
    torch.bfloat16,
    torch.float8_e4m3fn,
    torch.float8_e5m2,
)


class ReferenceFailure(Exception):
    """The user's module could not be built, fed or run; ``line`` is the source's."""

    def __init__(self, message: str, line: int | None = None):
        super().__init__(message)
        self.line = line


@dataclass(frozen=True)
class Expectation:
    """What the reference makes of one set of inputs and weights.

    ``exact`` is the same in float64 and ``shifted`` in float64 from inputs and weights moved by
    one rounding each, so that the distance between them says how well the problem is conditioned.
    Both are None where the module cannot run in float64, and the latter where inputs are as exact
    as what they decide.
    """

    outputs: Any
    exact: Any | None
    shifted: Any | None
    #: The exact result with the operands of products rounded to TF32, computed when it is asked
    #: for: all products, or only those for which TF32 is allowed.
    tf32: Callable[[bool], Any]
    #: Whether finite inputs became infinite or NaN on the way (looked for in variations only).
    overflowed: bool
    #: What its ATen operators amount to, by kind.
    work: dict[str, float]
    inputs_after: list[Any]
    state_after: dict[str, torch.Tensor]


class Reference:
    """The user's module in the referee's process.

    At other sizes than the given one (``own_size`` false in the request) live values do not fit;
    weights are used where they do.
    """

    def __init__(self, request: dict[str, Any], blobs: list[Blob], folder: Path, device: str):
        self.path = folder / "reference.py"
        self.device = device
        self.seed = int(request["seed"])
        self.allow_tf32 = bool(request["allow_tf32"])
        self.given = Given.of(request, blobs)
        #: The calls whose arguments are the problem's own inputs.
        self.calls = self.given.inputs if request.get("own_size", True) else []
        with self._blamed("cannot be read"):
            self.module = execute(request["source"], self.path)
            self.entry = getattr(self.module, request["class_name"])
        self.init = self._init()
        with self._blamed("cannot be built"):
            sow(self.seed)
            args, kwargs = copied(self.init)
            self.model: torch.nn.Module = self.entry(*args, **kwargs).to(device)
        self.state = self._snapshot(self.model)
        #: As the constructor makes it by the seed, which is how a candidate's is made too.
        self.seeded = self.state
        #: Whether it has the live module's weights.
        self.lives = False
        if self.given.state is not None:
            self._bring_to_life(self.given.state, required=request.get("own_size", True))
        self.ties = {**_ties(self.model), **(self.given.ties if self.lives else {})}
        self.training = self.model.training
        #: Whether get_inputs() hands out the same memory again and again.
        self.shared = False

    def _init(self) -> tuple[list[Any], dict[str, Any]]:
        if self.given.init is not None:
            return self.given.init
        if not hasattr(self.module, "get_init_inputs"):
            return [], {}
        with self._blamed("failed in get_init_inputs()"):
            sow(self.seed)
            return constructor_arguments(self.module.get_init_inputs())

    def _bring_to_life(self, state: dict[str, torch.Tensor], *, required: bool) -> None:
        """Take over the live module's dtype, mode, and weights where they fit."""
        if self.given.training is not None:
            self.model.train(self.given.training)
        if self.given.dtype is not None:
            self.model.to(getattr(torch, self.given.dtype))
        self.seeded = self._snapshot(self.model)
        fault = unlike(self.model, state, self.given.settings)
        if fault is None:
            load(self.model, state)
            self.state = self._snapshot(self.model)
            self.lives = True
        elif required:
            raise ReferenceFailure(fault)
        else:
            self.state = self.seeded

    def draw(self, seed: int, call: int = 0) -> list[Any]:
        """The arguments of ``forward``, fresh by ``seed``, or those of a live call."""
        if self.calls:
            drawn: Any = copied(self.calls[call % len(self.calls)])
        else:
            if not hasattr(self.module, "get_inputs"):
                raise ReferenceFailure(
                    "The reference module has no get_inputs(): add one that returns the list of "
                    "forward()'s arguments."
                )
            with self._blamed("failed in get_inputs()"):
                sow(seed)
                drawn = self.module.get_inputs()
        if isinstance(drawn, torch.Tensor):
            drawn = [drawn]
        if not isinstance(drawn, list | tuple):
            raise ReferenceFailure(
                "get_inputs() returned a "
                f"{type(drawn).__name__}: return the list of forward()'s arguments."
            )
        here = mapped(list(drawn), lambda tensor: tensor.detach().to(self.device))
        return list(copied(here) if self.shared else here)

    def keep_apart(self, one: list[Any], other: list[Any]) -> None:
        """Hand out copies from now on where two draws, both still held, share memory."""
        self.shared = not _storages(one).isdisjoint(_storages(other))

    def confirm(self) -> None:
        """Raise where it does not give what the live module returned for the same inputs."""
        for call, wanted in enumerate(self.given.outputs[: len(self.calls)]):
            if wanted is not None:
                fault = differing(self.outputs(self.draw(0, call), self.training, 0), wanted)
                if fault is not None:
                    raise ReferenceFailure(f"{fault} {WHY_UNLIKE}")

    def expect(
        self,
        inputs: list[Any],
        state: dict[str, torch.Tensor],
        training: bool,
        seed: int,
        *,
        watch_overflow: bool = False,
        few_digits: bool = False,
    ) -> Expectation:
        """Run the reference on copies of ``inputs`` with ``state``.

        Of inputs that have ``few_digits`` nothing is ``shifted`` where all that the module decides
        (by a comparison, a rounding, an order) it decides by exact numbers.
        """
        overflow = Overflow() if watch_overflow else None
        workload, decisions = Workload(), Decisions()
        used = copied(inputs)
        with self._blamed("failed in forward()"):
            watching = decisions if few_digits else nullcontext()
            modes = (overflow or nullcontext(), watching, workload)
            outputs = copied(self._forward(self.model, used, state, training, seed, *modes))
            after = self._snapshot(self.model)
        exact = shifted = None
        double = self._double()
        if double is not None:
            try:
                exact = self._in_double(double, inputs, state, training, seed)
                if not decisions.exact:
                    moved = _moved(state, seed + 1)
                    shifted = self._in_double(double, _moved(inputs, seed), moved, training, seed)
            except Exception:
                exact = shifted = None
        overflowed = overflow is not None and overflow.seen

        def tf32(every: bool) -> Any:
            wanted = PRODUCTS | CONVOLUTIONS if every else self.in_tf32
            if double is None or not wanted:
                return None
            try:
                with Rounded(wanted):
                    return self._in_double(double, inputs, state, training, seed)
            except Exception:
                return None

        return Expectation(
            outputs, exact, shifted, tf32, overflowed, dict(workload.work), used, after
        )

    @property
    def in_tf32(self) -> frozenset[str]:
        """Operators for which TF32 is allowed, by the user or by PyTorch's own settings."""
        products = self.allow_tf32 or set_to_tf32("products")
        convolutions = self.allow_tf32 or set_to_tf32("convolutions")
        return (PRODUCTS if products else frozenset()) | (
            CONVOLUTIONS if convolutions else frozenset()
        )

    def outputs(self, inputs: list[Any], training: bool, seed: int) -> Any:
        """The reference's outputs alone."""
        with self._blamed("failed in forward()"):
            return copied(self._forward(self.model, copied(inputs), self.state, training, seed))

    def _in_double(
        self,
        model: torch.nn.Module,
        inputs: list[Any],
        state: dict[str, torch.Tensor],
        training: bool,
        seed: int,
    ) -> Any:
        def up(tensor: torch.Tensor) -> torch.Tensor:
            return tensor.double() if tensor.dtype in LOWER else tensor.clone()

        inputs, state = mapped(inputs, up), mapped(state, up)
        default = torch.get_default_dtype()
        torch.set_default_dtype(torch.float64)
        try:
            modes = (surroundings(self.device), InDouble())
            return self._forward(model, inputs, state, training, seed, *modes)
        finally:
            torch.set_default_dtype(default)

    def _double(self) -> torch.nn.Module | None:
        if not hasattr(self, "_double_model"):
            try:
                self._double_model: torch.nn.Module | None = copy.deepcopy(self.model).double()
            except Exception:
                self._double_model = None
        return self._double_model

    def _forward(
        self,
        model: torch.nn.Module,
        inputs: list[Any],
        state: dict[str, torch.Tensor],
        training: bool,
        seed: int,
        *modes: AbstractContextManager[Any],
    ) -> Any:
        """Load ``state`` and run; ``modes`` are around the module's own code only."""
        with torch.no_grad(), ExitStack() as around:
            own = model.state_dict(keep_vars=True)
            for name, value in state.items():
                own[name].copy_(value)
            model.train(training)
            sow(seed)
            positional, named = parted(inputs, self.given.keywords)
            for mode in modes:
                around.enter_context(mode)
            return model(*positional, **named)

    def _snapshot(self, model: torch.nn.Module) -> dict[str, torch.Tensor]:
        return {
            name: value.detach().clone()
            for name, value in model.state_dict().items()
            if isinstance(value, torch.Tensor)
        }

    @contextmanager
    def _blamed(self, what: str) -> Iterator[None]:
        """Turn any exception of the user's source into a :class:`ReferenceFailure`."""
        try:
            with surroundings(self.device):
                yield
        except ReferenceFailure:
            raise
        except BaseException as error:
            raise ReferenceFailure(
                f"The reference module {what}: {failure_text(error, self.path)}",
                failure_line(error, self.path),
            ) from error


class InDouble(TorchFunctionMode):  # type: ignore[misc]
    """Casts to a lower precision, written out in the module, become casts to float64."""

    def __torch_function__(
        self, func: Callable[..., T], types: Any, args: Any = (), kwargs: Any = None
    ) -> T:
        function: Any = func
        if func in (torch.Tensor.float, torch.Tensor.half, torch.Tensor.bfloat16):
            function = torch.Tensor.double
        args = tuple(_raised(value) for value in args)
        kwargs = {name: _raised(value) for name, value in (kwargs or {}).items()}
        result: T = function(*args, **kwargs)
        return result


class Rounded(TorchDispatchMode):  # type: ignore[misc]
    """Rounds the operands of some operators to TF32."""

    def __init__(self, operators: frozenset[str]) -> None:
        super().__init__()
        self.operators = operators

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        if func._schema.name.rpartition("::")[2] in self.operators:
            args = tuple(mapped(list(args), _in_tf32))
        return func(*args, **(kwargs or {}))


def _in_tf32(tensor: torch.Tensor) -> torch.Tensor:
    if tensor.dtype != torch.float64:
        return tensor
    return (tensor.float().view(torch.int32) & TF32_BITS).view(torch.float32).double()


def _raised(value: Any) -> Any:
    return torch.float64 if isinstance(value, torch.dtype) and value in LOWER else value


def _moved(values: Any, seed: int) -> Any:
    """Every floating-point element moved by one rounding up or down, by ``seed``; in float64.

    float32's rounding for lower precisions as well: an honest Triton kernel loads them exactly and
    computes in float32, and what the reference itself loses by rounding in between shows in its
    own error.
    """
    generators: dict[torch.device, torch.Generator] = {}

    def move(tensor: torch.Tensor) -> torch.Tensor:
        if tensor.dtype not in LOWER:
            return tensor
        device = tensor.device
        if device not in generators:
            generators[device] = torch.Generator(device=device).manual_seed(seed)
        up = torch.randint(0, 2, tensor.shape, generator=generators[device], device=device)
        return tensor.double() * (1 + (up.double() * 2 - 1) * ROUNDING)

    return mapped(values, move)


def _storages(inputs: list[Any]) -> set[int]:
    """Where their memory is."""
    return {
        leaf.untyped_storage().data_ptr()
        for _, leaf in leaves(inputs)
        if isinstance(leaf, torch.Tensor) and leaf.layout == torch.strided and leaf.numel()
    }


def _ties(model: torch.nn.Module) -> dict[str, str]:
    """Weights that are the same tensor as one before them, by that one."""
    first: dict[int, str] = {}
    ties = {}
    for name, value in model.state_dict(keep_vars=True).items():
        if isinstance(value, torch.Tensor):
            owner = first.setdefault(id(value), name)
            if owner != name:
                ties[name] = owner
    return ties
