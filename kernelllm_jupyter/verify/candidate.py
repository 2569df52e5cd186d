"""The candidate's side of a check: build ``ModelNew``, run it when told, hand back raw results.

Runs in a process of its own; nothing here decides anything. The referee, whose process never
holds the candidate's code, sends inputs and weights and compares what comes back.
"""

from __future__ import annotations

import math
import socket
from collections import deque
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import torch

from kernelllm_jupyter.verify.child import execute
from kernelllm_jupyter.verify.compat_inductor import relied_on
from kernelllm_jupyter.verify.explaining.arguments import WrongArguments, taking
from kernelllm_jupyter.verify.explaining.failures import (
    compilation_failure,
    failure_line,
    failure_text,
    root_cause,
    text_of,
)
from kernelllm_jupyter.verify.given import parted
from kernelllm_jupyter.verify.interpreter.assembly import NotInterpreted
from kernelllm_jupyter.verify.interpreter.bounds import OutOfBounds
from kernelllm_jupyter.verify.interpreter.races import DataRace
from kernelllm_jupyter.verify.isolation.sandbox import limit_memory
from kernelllm_jupyter.verify.nests import identical, leaves, mapped
from kernelllm_jupyter.verify.protocol import Closed, Message, receive, send
from kernelllm_jupyter.verify.surroundings import surroundings
from kernelllm_jupyter.verify.tensors import Blob, Foreign, pack, plain_nest, unpack
from kernelllm_jupyter.verify.trials import sow
from kernelllm_jupyter.verify.watching.audit import HostReads, Launches, Operators
from kernelllm_jupyter.verify.watching.fresh_memory import filling
from kernelllm_jupyter.verify.watching.guard_zones import GuardZones
from kernelllm_jupyter.verify.watching.settings import changed, settings
from kernelllm_jupyter.verify.watching.vigilance import Dishonest, Vigilance

__all__ = ["serve"]


#: How many earlier results are looked at for changes, and how many bytes of them at most.
KEPT_RESULTS = 3
KEPT_BYTES = 64 << 20


@dataclass
class Entrant:
    """A built candidate, and what must survive from one run to the next."""

    module: ModuleType
    model: torch.nn.Module
    path: Path
    device: str
    launches: Launches
    vigilance: Vigilance | None
    inputs: list[Any] | None = None
    runs: int = 0
    #: Around the inputs, on a GPU.
    zones: GuardZones | None = None
    #: The tensors that the last runs returned, with their values at that time.
    returned: deque[list[tuple[torch.Tensor, torch.Tensor]]] = field(
        default_factory=lambda: deque(maxlen=KEPT_RESULTS)
    )

    @property
    def on_gpu(self) -> bool:
        """Whether launches are real, and go on after they return."""
        return self.device.startswith("cuda")

    def watching(self) -> AbstractContextManager[None]:
        """Around its code."""
        return self.vigilance.watching() if self.vigilance is not None else nullcontext()

    def load(self, weights: dict[str, torch.Tensor], training: bool | None) -> None:
        """Give it other weights and another mode; None leaves the mode as it is."""
        if training is not None:
            self.model.train(training)
        own = _state(self.model)
        with torch.no_grad():
            for name, value in weights.items():
                own[name].copy_(value)


def serve(
    wire: socket.socket, folder: Path, device: str, launches: Launches, *, watch: bool = True
) -> None:
    """Answer the referee's messages until it closes the wire.

    ``watch`` is off in a rehearsal, in the process that all later candidates are forked from.
    """
    path = folder / "candidate.py"
    vigilance = Vigilance(path, launches) if watch else None
    entrant: Entrant | None = None
    visit: Any = None
    while True:
        try:
            message = receive(wire)
        except Closed:
            return
        try:
            blobs: list[Blob] = []
            if message.header["do"] == "hello":
                header: dict[str, Any] = {"hello": True}
            elif message.header["do"] == "build":
                module = entrant.module if entrant and message.header["again"] else None
                entrant, header, blobs = _build(message, path, device, launches, vigilance, module)
            elif message.header["do"] == "time" and message.header["step"] == "open":
                from kernelllm_jupyter.verify.timing.clocks import clock_for
                from kernelllm_jupyter.verify.timing.remote import Visit

                core = message.header["core"]
                visit, header = Visit(clock_for(device), launches, device, core), {}
            elif message.header["do"] == "time":
                assert entrant is not None
                assert visit is not None
                header, blobs = visit.answer(message, entrant)
            elif message.header["do"] == "compile":
                from kernelllm_jupyter.verify.compiling.dry_run import answer

                header = answer(message, path, launches.bench, partial(send, wire))
            else:
                assert entrant is not None
                header, blobs = _run(entrant, message)
        except BaseException as error:
            header, blobs = {"failed": _told(error, path)}, []
        send(wire, header, blobs)


def _build(
    message: Message,
    path: Path,
    device: str,
    launches: Launches,
    vigilance: Vigilance | None,
    module: ModuleType | None,
) -> tuple[Entrant, dict[str, Any], list[Blob]]:
    request = message.header
    if device == "cpu":
        if request["memory_mb"] is not None:
            limit_memory(int(request["memory_mb"]))
    elif request["allow_tf32"]:
        torch.backends.cuda.matmul.allow_tf32 = True
        torch.backends.cudnn.allow_tf32 = True
    if module is None:
        with _building(vigilance), surroundings(device):
            module = execute(request["code"], path)
    entry = getattr(module, "ModelNew", None)
    if not (isinstance(entry, type) and issubclass(entry, torch.nn.Module)):
        raise NoModelNew("The code defines no class ModelNew that derives from torch.nn.Module.")
    args, kwargs = unpack(request["init"], message.blobs)
    sow(request["seed"])
    launches.filename = str(path)
    launches.start(disabled=False, operators=None)
    initialise: Any = entry.__init__  # type: ignore[misc]
    with _building(vigilance), surroundings(device), taking(initialise, args, kwargs, path):
        model = entry(*args, **kwargs)
    if device != "cpu":
        model = model.to(device)
    if request["dtype"] is not None:
        model = model.to(getattr(torch, request["dtype"]))
    entrant = Entrant(module, model, path, device, launches, vigilance)
    blobs: list[Blob] = []
    header = {
        "state": pack(_state(model), blobs),
        "added_names": relied_on(launches.added_names, request["code"]),
    }
    return entrant, header, blobs


def _building(vigilance: Vigilance | None) -> AbstractContextManager[None]:
    return vigilance.watching(building=True) if vigilance is not None else nullcontext()


class NoModelNew(Exception):
    """The source has no class to build."""


def _state(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {
        name: value
        for name, value in model.state_dict(keep_vars=True).items()
        if isinstance(value, torch.Tensor)
    }


def _run(entrant: Entrant, message: Message) -> tuple[dict[str, Any], list[Blob]]:
    request = message.header
    model = entrant.model
    state = request["state"]
    weights = unpack(state, message.blobs) if state is not None else {}
    entrant.load(weights, request["training"])
    with torch.no_grad():
        inputs = _placed(entrant, unpack(request["inputs"], message.blobs, entrant.device))
        positional, named = parted(inputs, tuple(request["keywords"]))
        zones = GuardZones() if entrant.on_gpu else None
        number = request["poison"]
        operators = Operators(math.nan if number is None else number, zones)
        entrant.launches.padding_undefined = bool(request["padding_undefined"])
        entrant.launches.start(
            disabled=not request["launch"],
            operators=operators,
            only_copies=request["only_copies"],
        )
        sow(request["seed"])
        before = settings()
        with (
            entrant.watching(),
            # It slows the interpreter down by a fifth, and one trial is enough.
            filling() if number is not None and number < 0 else nullcontext(),
            surroundings(entrant.device),
            HostReads(operators),
            operators,
            taking(type(model).forward, positional, named, entrant.path),
        ):
            outputs = plain_nest(model(*positional, **named))
        left = changed(before, settings())
        if entrant.on_gpu:
            _wait(outputs)
    if any(found is not None and found.broken() for found in (zones, entrant.zones)):
        raise Dishonest(
            "out_of_bounds", "A Triton kernel wrote outside of its argument, before or behind it."
        )
    if left:
        raise Dishonest(
            "settings_changed", f"forward() changed a setting of PyTorch and left it so: {left[0]}."
        )
    stale = any(_rewritten(result) for result in entrant.returned)
    given = {leaf.untyped_storage().data_ptr() for _, leaf in leaves(inputs) if _plain(leaf)}
    tensors = [
        leaf
        for _, leaf in leaves(outputs)
        if _plain(leaf) and leaf.untyped_storage().data_ptr() not in given
    ]
    _keep(entrant, tensors)
    blobs: list[Blob] = []
    header = {
        "outputs": pack(outputs, blobs),
        "inputs": pack(inputs, blobs),
        "state": pack(_state(model), blobs),
        "launches": dict(entrant.launches.names),
        "only_copies": entrant.launches.only_copies,
        "aten": dict(operators.arithmetic),
        "work": {kind: int(amount) for kind, amount in operators.work.items() if amount >= 1},
        "read_by_host": dict(operators.read_by_host),
        "stale": stale,
        "notes": sorted(entrant.launches.notes),
        "configuration": entrant.launches.configuration,
        "configurations": _configurations(entrant.launches),
        "compiled": {
            "target": entrant.launches.kernels.target,
            "kernels": entrant.launches.kernels.to_json(),
        },
        "devices": [leaf.device.type for _, leaf in leaves(outputs) if _plain(leaf)],
    }
    return header, blobs


def _keep(entrant: Entrant, tensors: list[torch.Tensor]) -> None:
    """Remember results, to see whether a later call writes into them."""
    if sum(tensor.nbytes for tensor in tensors) > KEPT_BYTES // KEPT_RESULTS:
        entrant.returned.clear()
    entrant.returned.append([(tensor, tensor.detach().clone()) for tensor in tensors])


def _configurations(launches: Launches) -> dict[str, list[str]]:
    """Autotuning's, by Triton function: the one of this run first."""
    reported: dict[str, list[str]] = {}
    if launches.tuning is not None:
        reported = launches.tuning.report(launches.turn)
    return reported


def _plain(leaf: Any) -> bool:
    return type(leaf) in (torch.Tensor, torch.nn.Parameter)


def _placed(entrant: Entrant, inputs: list[Any]) -> list[Any]:
    """The inputs, in the memory of the run before where they fit, so that addresses repeat.

    Every third run gets tensors of its own, for code that keeps those of an earlier call.
    """
    old = entrant.inputs
    entrant.inputs = inputs
    entrant.runs += 1
    if old is None or len(old) != len(inputs) or entrant.runs % 3 == 0:
        if entrant.on_gpu:
            entrant.zones = GuardZones()
            entrant.inputs = inputs = mapped(inputs, entrant.zones.around)
        return inputs
    for index, (before, now) in enumerate(zip(old, inputs, strict=True)):
        if (
            isinstance(before, torch.Tensor)
            and isinstance(now, torch.Tensor)
            and before.dtype == now.dtype
            and before.shape == now.shape
            and before.stride() == now.stride()
            and now.is_contiguous()
        ):
            inputs[index] = before.copy_(now)
    return inputs


def _rewritten(returned: list[tuple[torch.Tensor, torch.Tensor]]) -> bool:
    """Whether results that were handed out before have been written to since."""
    return any(
        not torch.equal(
            tensor.contiguous().reshape(-1).view(torch.uint8),
            value.contiguous().reshape(-1).view(torch.uint8),
        )
        for tensor, value in returned
        if tensor.numel() and tensor.shape == value.shape
    )


def _wait(outputs: Any) -> None:
    """Wait for the GPU; raises where results were not ready for the stream they were made for.

    Copies on the current stream wait for its own work only, as the caller's next operator would.
    """
    tensors = [leaf for _, leaf in leaves(outputs) if _plain(leaf)]
    early = [tensor.detach().clone() for tensor in tensors]
    torch.cuda.synchronize()
    if not all(identical(*pair) for pair in zip(early, tensors, strict=True)):
        raise Dishonest(
            "unsynchronised",
            "The result was not ready when forward() returned: work on a stream of its own must "
            "be waited for (torch.cuda.current_stream().wait_stream(stream)).",
        )


def _told(error: BaseException, path: Path) -> dict[str, Any]:
    """:func:`_failure` of any exception: one that is made to get in the way is not looked at."""
    try:
        return _failure(error, path)
    except BaseException:
        message = "The code raised an exception that cannot be looked at."
        return {"kind": "runtime_error", "code": "exception", "message": message}


def _failure(error: BaseException, path: Path) -> dict[str, Any]:
    """An exception of the candidate as the referee wants to read it."""
    cause = root_cause(error)
    line = failure_line(error, path)
    message = failure_text(error, path)
    if isinstance(cause, NoModelNew):
        return {"kind": "compile_error", "code": "no_model_new", "message": str(cause)}
    if isinstance(cause, WrongArguments):
        message, line = str(cause), cause.line
        return {"kind": "runtime_error", "code": "exception", "message": message, "line": line}
    if isinstance(cause, SyntaxError) and cause.filename == str(path):
        message = f"The code is not valid Python: {cause.msg}."
        return {"kind": "compile_error", "code": "syntax", "message": message, "line": line}
    refused = compilation_failure(error, path)
    if refused is not None:
        message, line = refused
        return {"kind": "compile_error", "code": "triton", "message": message, "line": line}
    if isinstance(cause, OutOfBounds):
        message = f"A Triton kernel {cause}"
        return {"kind": "rejected", "code": "out_of_bounds", "message": message, "line": line}
    if isinstance(cause, NotInterpreted):
        message = f"This cannot be checked without a GPU: {cause}."
        return {"kind": "runtime_error", "code": "needs_gpu", "message": message, "line": line}
    if isinstance(cause, DataRace):
        message = f"Data race: {cause}"
        return {"kind": "rejected", "code": "data_race", "message": message, "line": line}
    if isinstance(cause, Dishonest):
        message, line = cause.message, cause.line or line
        return {"kind": "rejected", "code": cause.code, "message": message, "line": line}
    if isinstance(cause, Foreign):
        return {
            "kind": "rejected",
            "code": "foreign_output",
            "message": f"forward() returned a {cause}: plain tensors are expected.",
        }
    if isinstance(cause, SystemExit | KeyboardInterrupt):
        message = f"The code ended its own process ({type(cause).__name__})."
        return {"kind": "runtime_error", "code": "exit", "message": message, "line": line}
    if _out_of_memory(cause):
        return {"kind": "out_of_memory", "code": "memory", "message": message, "line": line}
    return {"kind": "runtime_error", "code": "exception", "message": message, "line": line}


def _out_of_memory(error: BaseException) -> bool:
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    if not isinstance(error, RuntimeError | OSError):
        return False
    text = text_of(error)
    return "can't allocate memory" in text or "Cannot allocate memory" in text
