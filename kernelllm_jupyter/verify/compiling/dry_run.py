"""A run of the candidate's host code at the problem's full size, whose launches only compile.

On tensors without memory first: gigabytes cost nothing. Host code that asks for values cannot run
on those; it gets real ones where the problem is small, and otherwise the verdict says why nothing
was compiled. :func:`ask` is the referee's side, which runs the reference's ``get_inputs()`` and
nothing else of it; :func:`answer` is the candidate's. No result is looked at here.
"""

from __future__ import annotations

import ast
import os
import re
import socket
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Literal

import torch

from kernelllm_jupyter.syntax import parse
from kernelllm_jupyter.verify.child import constructor_arguments, execute
from kernelllm_jupyter.verify.codes import known_reason
from kernelllm_jupyter.verify.compiling.ahead import (
    Bench,
    GridTooLarge,
    NotCompiled,
    TooLarge,
    aim_at,
)
from kernelllm_jupyter.verify.compiling.compat_meta import META, MetaSpellings, without_memory
from kernelllm_jupyter.verify.explaining.failures import (
    compilation_failure,
    failure_line,
    failure_text,
)
from kernelllm_jupyter.verify.findings import Say
from kernelllm_jupyter.verify.given import Given, parted
from kernelllm_jupyter.verify.isolation.sandbox import limit_memory
from kernelllm_jupyter.verify.nests import leaves, mapped
from kernelllm_jupyter.verify.opponent import MESSAGE_LIMIT, printable
from kernelllm_jupyter.verify.protocol import BadMessage, Closed, Message, receive, send
from kernelllm_jupyter.verify.rehearsal import compile_sample
from kernelllm_jupyter.verify.steps import Steps
from kernelllm_jupyter.verify.surroundings import surroundings
from kernelllm_jupyter.verify.tensors import Blob, pack, unpack
from kernelllm_jupyter.verify.trials import sow

__all__ = ["answer", "ask"]

#: The largest inputs that are made for host code that asks for values.
REAL_LIMIT_BYTES = 256 << 20
#: Who has memory in a dry run: the host's tensors and not the GPU's, all of them, or none.
Memory = Literal["apart", "real", "none"]
#: How many exceptions of a chain are looked at.
CHAIN_LIMIT = 50
#: The longest reason for which a target is unusable, in bytes; fits a pipe.
REASON_LIMIT = 1000


# --- the referee's side --------------------------------------------------------------------------


def ask(
    request: dict[str, Any],
    blobs: list[Blob],
    folder: Path,
    wire: socket.socket,
    say: Say,
    steps: Steps,
) -> dict[str, Any]:
    """Have the candidate compiled: its kernels, a refusal, or ``not_made`` with the reason."""
    begun = _Begun(request["code"], say, steps)
    with steps.planned(len(begun.ahead)):
        return _asked(request, blobs, folder, wire, begun)


def _asked(
    request: dict[str, Any], blobs: list[Blob], folder: Path, wire: socket.socket, begun: _Begun
) -> dict[str, Any]:
    found = _attempt(request, blobs, folder, wire, begun, "apart")
    if "gone" in found or (found.get("kernels") and "refused" not in found):
        return _final(found)
    # Otherwise the same may come out differently, and then that counts.
    second: Memory = "none" if found.get("bytes", 0) > REAL_LIMIT_BYTES else "real"
    again = _attempt(request, blobs, folder, wire, begun, second)
    return _final(found if "failed" in again and "failed" not in found else again)


def _attempt(
    request: dict[str, Any],
    blobs: list[Blob],
    folder: Path,
    wire: socket.socket,
    begun: _Begun,
    memory: Memory,
) -> dict[str, Any]:
    real = memory == "real"
    begun.say("reference", "making the inputs")
    try:
        given = Given.of(request, blobs)
        init, inputs = _arguments(request, given, folder, real=real)
        packed: list[Blob] = []
        header = {
            "do": "compile",
            "memory": memory,
            "keywords": given.keywords,
            "dtype": given.dtype,
            "init": pack(init, packed, shapes_only=not real),
            "inputs": pack(inputs, packed, shapes_only=not real),
            **{name: request[name] for name in ("code", "seed", "memory_mb", "target")},
        }
    except BaseException as error:
        why = failure_text(error, folder / "reference.py")
        return {"failed": f"the inputs could not be made ({why})"}
    size = sum(_bytes(leaf) for _, leaf in leaves([init, inputs]))
    begun.say("candidate", "compiling")
    try:
        send(wire, header, packed)
        while "begun" in (answered := receive(wire).header):
            begun.note(answered["begun"])
        return {**answered, "bytes": size}
    except (Closed, BadMessage):
        return {"gone": True}


class _Begun:
    """The kernels that were begun, each told of once, by its name in the candidate's source."""

    def __init__(self, code: str, say: Say, steps: Steps):
        self.say, self._steps = say, steps
        self.ahead = launched_kernels(code)

    def note(self, name: Any) -> None:
        """The candidate's process compiles this one now; a name of no kernel of it is ignored."""
        if name in self.ahead:
            self.ahead.remove(name)
            self._steps.begin()
            self.say("candidate", str(name))


def launched_kernels(code: str) -> list[str]:
    """The names of a source's Triton kernels that are launched in it: ``name[grid](…)``."""
    nodes = list(ast.walk(parse(code)))
    launched = {
        node.func.value.id
        for node in nodes
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Subscript)
        and isinstance(node.func.value, ast.Name)
    }
    defined = (node.name for node in nodes if isinstance(node, ast.FunctionDef))
    return [name for name in dict.fromkeys(defined) if name in launched]


def _final(found: dict[str, Any]) -> dict[str, Any]:
    if "gone" in found:
        # The server knows more: it replaces this by how the process died.
        text = "The candidate's process ended."
        return {"verdict": "crashed", "reasons": [{"code": "gone", "message": text}]}
    final: dict[str, Any] = {
        name: found[name] for name in ("kernels", "left_out", "on_host") if name in found
    }
    if "refused" in found:
        if _sound(found["refused"]):
            message = printable(found["refused"]["message"][:MESSAGE_LIMIT])
            reason = {**found["refused"], "message": message}
            return {**final, "verdict": "compile_error", "reasons": [reason]}
        return {"not_made": "the candidate's process sent no valid result"}
    if "failed" in found:
        return {**final, "not_made": printable(str(found["failed"])[:MESSAGE_LIMIT])}
    return {**final, "verdict": "correct", "reasons": []}


def _sound(refused: Any) -> bool:
    return (
        isinstance(refused, dict)
        and known_reason("compile_error", refused.get("code"))
        and isinstance(refused.get("message"), str)
        and isinstance(refused.get("line"), int | None)
    )


def _bytes(leaf: Any) -> int:
    return leaf.numel() * leaf.element_size() if isinstance(leaf, torch.Tensor) else 0


def _arguments(
    request: dict[str, Any], given: Given, folder: Path, *, real: bool
) -> tuple[tuple[list[Any], dict[str, Any]], list[Any]]:
    """The constructor's arguments and ``forward``'s; on the meta device unless ``real``."""
    init: Any = []
    with _spellings(real=real, default=META):
        module = execute(request["source"], folder / "reference.py")
        if given.init is not None:
            init = given.init
        elif hasattr(module, "get_init_inputs"):
            sow(int(request["seed"]))
            init = module.get_init_inputs()
        if given.inputs:
            inputs = given.inputs[0]
        else:
            sow(int(request["seed"]))
            inputs = module.get_inputs()
    inputs = [inputs] if isinstance(inputs, torch.Tensor) else list(inputs)
    if not real:
        init, inputs = mapped(init, without_memory), mapped(inputs, without_memory)
    return constructor_arguments(init), inputs


def _spellings(*, real: bool, default: torch.device | None) -> AbstractContextManager[Any]:
    return surroundings("cpu") if real else MetaSpellings(default)


# --- the candidate's side ------------------------------------------------------------------------


def answer(
    message: Message, path: Path, bench: Bench, tell: Callable[[dict[str, Any]], None]
) -> dict[str, Any]:
    """Build ``ModelNew``, run it once, and tell what was compiled and what was refused.

    ``tell`` gets what goes on meanwhile.
    """
    request = message.header
    bench.start(str(path), lambda name: tell({"begun": name}))
    failed = refused = None
    try:
        aim_at(bench, request["target"])
        limit_memory(int(request["memory_mb"]))
        _run(request, message.blobs, path)
    except BaseException as error:
        refused = _refusal(error, path)
        failed = _words(error, path)
    if refused is None and bench.refused is not None:
        # The host code went on without this kernel.
        refused = _refusal(bench.refused, path)
    found: dict[str, Any] = {
        "kernels": bench.kernels.to_json(),
        "left_out": bench.left_out,
        "on_host": sorted(bench.on_host) if request["memory"] == "apart" else [],
    }
    unusable = _unusable(path) if refused is not None else None
    if unusable is not None:
        refused = None
        failed = f"this triton cannot compile for {request['target']} ({unusable})"
    if refused is not None:
        return {**found, "refused": refused}
    return {**found, "failed": failed} if failed is not None else found


def _run(request: dict[str, Any], blobs: list[Blob], path: Path) -> None:
    real = request["memory"] == "real"
    default = META if request["memory"] == "none" else None
    device = "cpu" if real else "meta"
    with _spellings(real=real, default=default) as spellings, torch.no_grad():
        module = execute(request["code"], path)
        args, kwargs = unpack(request["init"], blobs, device)
        sow(request["seed"])
        # The weights of a module that is built on a CPU move to the GPU with it.
        chosen = getattr(spellings, "default", None)
        spellings.default = META
        model = module.ModelNew(*args, **kwargs)
        if not real:
            model = model.to(META)
        if request["dtype"] is not None:
            model = model.to(getattr(torch, request["dtype"]))
        spellings.default = chosen
        inputs = unpack(request["inputs"], blobs, device)
        sow(request["seed"])
        positional, named = parted(inputs, tuple(request["keywords"]))
        model(*positional, **named)


def _words(error: BaseException, path: Path) -> str:
    line = failure_line(error, path)
    where = f" in line {line}" if line is not None else ""
    return f"the code's host part failed{where} ({failure_text(error, path)[:300]})"


def _refusal(error: BaseException, path: Path) -> dict[str, Any] | None:
    """The compiler's reason, with the line of the candidate; None for every other failure."""
    link: BaseException | None = error
    for _ in range(CHAIN_LIMIT):
        if link is None:
            break
        if isinstance(link, TooLarge | GridTooLarge):
            return {"code": "too_large", "message": str(link), "line": link.line}
        if isinstance(link, NotCompiled):
            message, line = _not_compiled(link, path)
            return {"code": "triton", "message": message, "line": line}
        link = link.__cause__ or link.__context__
    return None


def _not_compiled(error: NotCompiled, path: Path) -> tuple[str, int | None]:
    said = [
        text.split(":", 1)[-1].strip()
        for text in error.log.splitlines()
        if "error" in text or "fatal" in text
    ]
    if error.line is not None or said:
        return f"{error.name} is refused by ptxas: {'; '.join(said[:3])}", error.line
    found = compilation_failure(error, path)
    if found is not None:
        return found
    cause = error.__cause__
    assert cause is not None
    line = _mention(cause, path) or failure_line(error, path)
    return f"{error.name}: {failure_text(cause, path)}", line


def _mention(error: BaseException, path: Path) -> int | None:
    """Where the source reads an attribute that is not there, which older tritons do not tell."""
    if not isinstance(error, AttributeError) or not error.name:
        return None
    text = path.read_text(encoding="utf-8")
    found = re.search(rf"\.{re.escape(error.name)}\b", text)
    return None if found is None else text.count("\n", 0, found.start()) + 1


def _unusable(path: Path) -> str | None:
    """Why our own sample does not compile for the target, which speaks for the code; else None.

    In a process of its own, because LLVM may end it over a processor that it does not know.
    """
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            compile_sample(path.with_name("sample.py"))
            status = 0
        except Exception as error:
            cause = error.__cause__ or error
            os.write(writing, failure_text(cause, path).encode()[:REASON_LIMIT])
        finally:
            os._exit(status)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        text = pipe.read(REASON_LIMIT).decode("utf-8", "replace")
    if os.waitpid(pid, 0)[1] == 0:
        return None
    return text.strip().split("\n")[0] or "its compiler crashes"
