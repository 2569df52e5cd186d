"""Values of the session as a worker takes them: forms in JSON, bytes in sealed memory.

What cannot be handed over is said by its place and type. Nothing here is changed by being packed:
tensors are read, wherever they are, and their bytes copied once. Imports torch.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from kernelllm_jupyter.carried import Carried
from kernelllm_jupyter.errors import UsageError
from kernelllm_jupyter.live.attributes import settings_of
from kernelllm_jupyter.values import Live
from kernelllm_jupyter.verify.tensors import Blob, Foreign, pack

__all__ = ["Call", "live_values"]

PLAIN = (bool, int, float, str)
TAKEN = "takes tensors, numbers, strings, None, and lists, tuples and dicts of these"


@dataclass(frozen=True)
class Call:
    """One call of ``forward``: all of its arguments in order, and what it returned.

    ``returned`` says whether ``output`` is known.
    """

    arguments: list[Any]
    output: Any = None
    returned: bool = False


def live_values(
    calls: Sequence[Call] = (),
    *,
    keywords: tuple[str, ...] = (),
    init: Any = None,
    module: torch.nn.Module | None = None,
    prefix: str = "",
    what: str = "--inputs",
) -> Live:
    """Calls, constructor arguments and a module's weights, ready to be sent.

    ``prefix`` is what names of weights begin with in the problem's own module; ``what`` is how a
    message calls the arguments. Raises :class:`UsageError` for values that
    cannot be handed to another process.
    """
    blobs: list[Blob] = []
    inputs = tuple(_packed(call.arguments, blobs, what) for call in calls)
    outputs = tuple(_output(call, blobs) for call in calls)
    packed_init = None if init is None else _packed(init, blobs, "--init")
    if module is None:
        return Live(Carried(blobs), inputs, outputs, keywords, packed_init)
    state, ties, dtype = _state(module, blobs, prefix)
    settings = {f"{prefix}{path}".rstrip("."): found for path, found in settings_of(module).items()}
    return Live(
        Carried(blobs),
        inputs,
        outputs,
        keywords,
        packed_init,
        state,
        ties,
        dtype,
        module.training,
        settings,
    )


def _packed(value: Any, blobs: list[Blob], what: str) -> Any:
    return pack(_plain(value, what), blobs)


def _plain(value: Any, what: str) -> Any:
    """``value`` in containers and numbers of Python's own types; raises where it is not."""
    if isinstance(value, torch.Tensor):
        _require_plain_tensor(value, what)
        return value
    if value is None or type(value) in PLAIN or isinstance(value, torch.dtype):
        return value
    if type(value) in (dict, OrderedDict) and all(type(key) is str for key in value):
        return {key: _plain(item, f"{what}[{key!r}]") for key, item in value.items()}
    if type(value) in (tuple, list, torch.Size):
        kind = list if isinstance(value, list) else tuple
        return kind(_plain(item, f"{what}[{n}]") for n, item in enumerate(value))
    raise UsageError(f"{what} is a {_type_name(value)}: it {TAKEN}.")


def _type_name(value: Any) -> str:
    kind = type(value)
    if isinstance(value, dict):
        return f"{kind.__name__} with keys that are no strings"
    home = kind.__module__
    return kind.__qualname__ if home in ("builtins", "__main__") else f"{home}.{kind.__qualname__}"


def _require_plain_tensor(tensor: torch.Tensor, what: str) -> None:
    """Raise for a tensor whose memory cannot be handed over, or that has none."""
    if isinstance(tensor, torch.nn.parameter.UninitializedTensorMixin):
        raise UsageError(f"{what} is not initialised yet: call the lazy module once before.")
    if tensor.is_meta:
        raise UsageError(
            f"{what} is on the device meta and has no values: make it on a CPU or GPU first."
        )
    try:
        # Its shape and kind alone: no bytes are read.
        pack(tensor[:0] if tensor.ndim else tensor, [])
    except Foreign as error:
        raise UsageError(f"{what} is a {error}, which cannot be handed to a check.") from None
    except Exception as error:
        raise UsageError(f"{what} cannot be read: {error}.") from None


def _output(call: Call, blobs: list[Blob]) -> Any:
    """The form of a call's result; None where it is not known or no check could compare it."""
    if not call.returned:
        return None
    length = len(blobs)
    try:
        return _packed(call.output, blobs, "the result")
    except UsageError:
        del blobs[length:]
        return None


def _state(
    module: torch.nn.Module, blobs: list[Blob], prefix: str
) -> tuple[dict[str, Any], dict[str, str], str | None]:
    """Forms of all parameters and buffers, which of them are one, and their dtype."""
    tensors: dict[str, torch.Tensor] = dict(module.named_parameters(remove_duplicate=False))
    tensors.update(module.named_buffers(remove_duplicate=False))
    first: dict[tuple[Any, ...], str] = {}
    ties: dict[str, str] = {}
    forms: dict[str, Any] = {}
    for bare, tensor in tensors.items():
        _require_plain_tensor(tensor, f"The weight {bare}")
        name = prefix + bare
        place = (tensor.device, tensor.data_ptr(), tensor.dtype, tensor.shape, tensor.stride())
        owner = first.setdefault(place, name) if tensor.numel() else name
        if owner != name:
            ties[name] = owner
        forms[name] = forms[owner] if owner != name else pack(tensor, blobs)
    dtypes = {tensor.dtype for tensor in tensors.values() if tensor.is_floating_point()}
    dtype = str(dtypes.pop()).removeprefix("torch.") if len(dtypes) == 1 else None
    return {"dict": list(forms.items())}, ties, dtype
