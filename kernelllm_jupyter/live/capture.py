"""Calls of a live module, kept as they happen: what it was given and what it returned.

The module is watched by hooks and runs as it always does. Tensors are kept as clones, on their own
device and cut off from any graph, because ``forward`` or whoever called it may write into them
later. How many bytes that may take is bounded. Knows nothing of problems or checks.
"""

from __future__ import annotations

import contextlib
import threading
import warnings
import weakref
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any

import torch

from kernelllm_jupyter.errors import UsageError

__all__ = ["Capture", "CapturedCall", "capture", "captured"]

#: The last capture of each module, for as long as it lives.
_captures: weakref.WeakKeyDictionary[torch.nn.Module, Capture] = weakref.WeakKeyDictionary()


@dataclass(frozen=True, eq=False)
class CapturedCall:
    """One call that returned: copies of its arguments, taken before, and of its result.

    ``has_output`` is False where the result is of a kind that is not kept. ``versions`` tells
    whether weights were written since; ``training`` is the module's mode then.
    """

    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    output: Any
    has_output: bool
    training: bool
    bytes: int
    signature: tuple[Any, ...] = field(repr=False)
    versions: tuple[int, ...] = field(repr=False)


class Capture:
    """The calls that a module gets until :meth:`remove`, or the end of the ``with`` block.

    It can be read like a list of :class:`CapturedCall`. Of calls with arguments of the same shapes
    the first are kept, and one of every other kind, ``keep`` in all; ``notes`` says in words what
    was not kept, and why.
    """

    def __init__(self, module: torch.nn.Module, keep: int, memory_mb: float):
        self._module = weakref.ref(module)
        self._limit = int(memory_mb * (1 << 20))
        self._memory_mb = memory_mb
        self._keep = keep
        self._calls: list[CapturedCall] = []
        self._pending: dict[int, tuple[tuple[Any, ...], dict[str, Any], int]] = {}
        self._lock = threading.Lock()
        self._seen = self._raised = self._too_large = 0
        self._handles = (
            module.register_forward_pre_hook(self._before, prepend=True, with_kwargs=True),
            module.register_forward_hook(self._after, with_kwargs=True),
        )

    # --- as a list, and as a handle ---------------------------------------------------------------

    def __len__(self) -> int:
        return len(self._calls)

    def __iter__(self) -> Iterator[CapturedCall]:
        return iter(tuple(self._calls))

    def __getitem__(self, index: int) -> CapturedCall:
        return self._calls[index]

    def __enter__(self) -> Capture:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.remove()

    def __repr__(self) -> str:
        size = sum(call.bytes for call in self._calls) / (1 << 20)
        said = "".join(f" {note}" for note in self.notes)
        return f"<{len(self)} captured call{'s' * (len(self) != 1)}, {size:.1f} MB.{said}>"

    def __deepcopy__(self, memo: dict[int, Any]) -> Capture:
        # A copy of the module has the hooks too; its calls are not those that are wanted.
        return self

    def remove(self) -> None:
        """Stop watching. What was captured stays."""
        for handle in self._handles:
            handle.remove()
        with self._lock:
            self._raised += len(self._pending)
            self._pending.clear()

    def clear(self) -> None:
        """Let the captured calls and their memory go."""
        with self._lock:
            self._calls.clear()

    @property
    def notes(self) -> list[str]:
        """What was seen and is not there, in sentences."""
        raised = self._raised
        left = self._seen - raised - self._too_large - len(self._calls) - len(self._pending)
        told = []
        if raised:
            told.append(f"{raised} that raised {'was' if raised == 1 else 'were'} left out.")
        if self._too_large:
            told.append(
                f"{self._too_large} did not fit into {self._memory_mb:g} MB (memory_mb=) and "
                f"{'was' if self._too_large == 1 else 'were'} not kept."
            )
        if left > 0:
            told.append(f"{left} more {'was' if left == 1 else 'were'} not kept (keep=).")
        return told

    # --- the hooks --------------------------------------------------------------------------------

    def _before(self, module: Any, args: Any, kwargs: Any) -> None:
        if self._module() is not module:
            return
        thread = threading.get_ident()
        with self._lock:
            self._seen += 1
            if thread in self._pending:
                # The one before never came to its end.
                self._raised += 1
                del self._pending[thread]
            size = _bytes((args, kwargs))
            if not self._room(size, _signature((args, kwargs))):
                return
        try:
            kept = _cloned((args, kwargs))
        except torch.OutOfMemoryError:
            self._tell_too_large(size)
            return
        with self._lock:
            self._pending[thread] = (*kept, size)

    def _after(self, module: Any, args: Any, kwargs: Any, output: Any) -> None:
        training = bool(module.training)
        if self._module() is not module:
            return
        with self._lock:
            kept = self._pending.pop(threading.get_ident(), None)
        if kept is None:
            return
        args, kwargs, size = kept
        has_output = _is_plain_nest(output)
        size += _bytes(output) if has_output else 0
        signature = _signature((args, kwargs))
        with self._lock:
            room = self._room(size, signature)
        if not room:
            return
        try:
            copy = _cloned(output) if has_output else None
        except torch.OutOfMemoryError:
            self._tell_too_large(size)
            return
        call = CapturedCall(
            args,
            kwargs,
            copy,
            has_output,
            training,
            size,
            signature,
            versions_of(module),
        )
        with self._lock:
            if len(self._calls) >= self._keep:
                replaced = self._replaceable(signature)
                if replaced is None:
                    return
                self._calls.remove(replaced)
            self._calls.append(call)

    def _room(self, size: int, signature: tuple[Any, ...]) -> bool:
        """Whether a call of this size and kind is to be kept; tells where it is too large."""
        if self._keep <= len(self._calls) and self._replaceable(signature) is None:
            return False
        if sum(call.bytes for call in self._calls) + size > self._limit:
            self._tell_too_large(size)
            return False
        return True

    def _replaceable(self, signature: tuple[Any, ...]) -> CapturedCall | None:
        """A kept call whose kind is there twice, where a call of a new kind may take its place."""
        kinds = [call.signature for call in self._calls]
        if signature in kinds:
            return None
        twice = [call for call in self._calls if kinds.count(call.signature) > 1]
        return twice[-1] if twice else None

    def _tell_too_large(self, size: int) -> None:
        self._too_large += 1
        if self._too_large == 1:
            warnings.warn(
                f"A call with {size / (1 << 20):.0f} MB of tensors was not captured: with those "
                f"kept before it takes more than {self._memory_mb:g} MB. Pass memory_mb= for more.",
                stacklevel=2,
            )


def capture(module: torch.nn.Module, *, keep: int = 4, memory_mb: float = 2048) -> Capture:
    """Keep the arguments and results of calls that ``module`` gets from now on.

    As a context manager, or as a handle that is removed by hand, as PyTorch's hooks are::

        with capture(model.block[2]) as calls:
            model(x)

    ``keep`` calls at most are kept, and ``memory_mb`` megabytes of tensors on their devices.
    """
    if not isinstance(module, torch.nn.Module):
        raise UsageError(f"capture() takes a torch.nn.Module, not a {type(module).__name__}.")
    if isinstance(module, torch.jit.ScriptModule):
        raise UsageError("capture() takes a module as it was before torch.jit: it has no hooks.")
    if keep < 1:
        raise UsageError("keep= takes a number of calls of at least 1.")
    before = _captures.get(module)
    if before is not None:
        before.remove()
    made = _captures[module] = Capture(module, keep, memory_mb)
    return made


def captured(module: torch.nn.Module) -> Capture | None:
    """The last capture of ``module``; None where there was none."""
    with contextlib.suppress(TypeError):
        return _captures.get(module)
    return None


def versions_of(module: torch.nn.Module) -> tuple[int, ...]:
    """Of all weights and buffers: where they lie, and how often they were written in place."""
    found: list[int] = []
    for tensor in (*module.parameters(), *module.buffers()):
        found.append(id(tensor))
        with contextlib.suppress(RuntimeError):  # Those of inference mode do not count.
            found.append(tensor._version)
    return tuple(found)


def _bytes(value: Any) -> int:
    return sum(_held(tensor) for tensor in _tensors(value))


def _held(tensor: torch.Tensor) -> int:
    """The bytes of a clone; an expanded tensor's are those of its memory."""
    try:
        if tensor.layout != torch.strided:
            return int(tensor.element_size() * tensor.numel())
        return int(_span(tensor) * tensor.element_size())
    except (RuntimeError, NotImplementedError):
        return 0


def _span(tensor: torch.Tensor) -> int:
    if not tensor.numel():
        return 0
    return 1 + int(sum((n - 1) * s for n, s in zip(tensor.shape, tensor.stride(), strict=True)))


def _tensors(value: Any) -> Iterator[torch.Tensor]:
    if isinstance(value, torch.Tensor):
        yield value
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from _tensors(item)
    elif isinstance(value, tuple | list):
        for item in value:
            yield from _tensors(item)


def _signature(value: Any) -> tuple[Any, ...]:
    """Shapes, dtypes and structure of arguments; values of tensors do not count."""
    if isinstance(value, torch.Tensor):
        return ("tensor", tuple(value.shape), value.dtype)
    if isinstance(value, Mapping):
        return ("dict", *((str(key), _signature(item)) for key, item in value.items()))
    if isinstance(value, tuple | list):
        return (type(value).__name__, *map(_signature, value))
    return (type(value).__name__, value if isinstance(value, int | float | str) else None)


def _is_plain_nest(value: Any) -> bool:
    if type(value) is dict:
        return all(map(_is_plain_nest, value.values()))
    if type(value) in (tuple, list):
        return all(map(_is_plain_nest, value))
    return value is None or isinstance(value, torch.Tensor | bool | int | float | str)


def _cloned(value: Any) -> Any:
    """The same nest with its tensors cloned; what is neither nest nor tensor stays as it is."""
    if isinstance(value, torch.Tensor):
        return _clone(value)
    if type(value) is dict:
        return {key: _cloned(item) for key, item in value.items()}
    if type(value) in (tuple, list):
        return type(value)(_cloned(item) for item in value)
    return value


def _clone(tensor: torch.Tensor) -> torch.Tensor:
    with torch.no_grad():
        plain = tensor.detach()
        if type(tensor) not in (torch.Tensor, torch.nn.Parameter) or plain.is_meta:
            return plain
        if plain.layout != torch.strided or plain.is_conj() or plain.is_neg() or not plain.numel():
            return plain.clone()
        flat = plain.as_strided((_span(plain),), (1,), plain.storage_offset()).clone()
        return flat.as_strided(plain.shape, plain.stride())
