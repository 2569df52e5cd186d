"""What a candidate's code reaches for while it runs, besides tensors and Triton kernels.

Runs in the candidate's process. An audit hook, which Python code cannot remove, sees frames and
objects being searched, tracers set, processes started and C libraries called; this package is out
of reach of ``import``; functions of PyTorch and Triton must be the ones that were there before.
It stops what is made to look at or change the check, and otherwise only notes: the run goes on,
and what it says afterwards is refused.
"""

from __future__ import annotations

import builtins
import importlib
import operator
import os
import sys
import sysconfig
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import torch
import triton

from kernelllm_jupyter.verify.watching.audit import Launches, of_a_library
from kernelllm_jupyter.verify.watching.threads import Threads

__all__ = ["Dishonest", "Vigilance"]

PACKAGE = __name__.partition(".")[0]
OF_PYTORCH = (str(Path(torch.__file__).parent), str(Path(triton.__file__).parent))
STANDARD = (sysconfig.get_path("stdlib"), sysconfig.get_path("platstdlib"), "<frozen ")
INSTALLED = ("site-packages", "dist-packages")

LOOKING = (
    "sys._getframe sys._current_frames sys.settrace sys.setprofile sys.addaudithook "
    "gc.get_objects gc.get_referrers gc.get_referents object.__getattr__ object.__setattr__"
)
#: Read of an exception, a generator or a function, these lead into the check's own variables.
LEADING = ("tb_frame", "gi_frame", "cr_frame", "ag_frame")
CODE = ("__code__", "__defaults__", "__kwdefaults__")
STARTING = "subprocess.Popen os.fork os.forkpty os.posix_spawn os.spawn os.system os.exec pty.spawn"
#: Of these, the ones that wait for an answer as a rule.
ASKING = ("subprocess.Popen", "os.posix_spawn", "os.system")
CALLING_C = (
    "ctypes.dlopen ctypes.dlsym ctypes.dlsym/handle ctypes.call_function ctypes.string_at "
    "ctypes.wstring_at ctypes.cdata ctypes.cdata/buffer"
)
KINDS = {
    **dict.fromkeys(LOOKING.split(), "tampering"),
    **dict.fromkeys(STARTING.split(), "background_work"),
    **dict.fromkeys(CALLING_C.split(), "foreign_code"),
}
#: Whose functions must stay what they were.
GUARDED = (
    "time threading torch torch.nn.functional torch.linalg torch.testing torch.cuda "
    "torch.overrides torch.library torch.utils._python_dispatch triton triton.testing "
    "triton.runtime.jit triton.runtime.autotuner triton.runtime.interpreter"
)
#: Taken before the candidate's code could put others in their place.
EVERY, MAPPED, SAME = all, map, operator.is_
#: What PyTorch replaces itself: this one with the default dtype.
REPLACED = (torch.Storage,)
GUARDED_CLASSES = {
    "triton.runtime.jit": ("JITFunction", "KernelInterface"),
    "triton.runtime.interpreter": ("GridExecutor", "InterpretedFunction", "InterpreterBuilder"),
    "triton.runtime.autotuner": ("Autotuner", "Heuristics"),
    "torch": ("Tensor", "UntypedStorage"),
    "torch.nn": ("Module",),
    "torch.cuda": ("Event", "Stream"),
    "torch.utils._python_dispatch": ("TorchDispatchMode",),
    "torch.overrides": ("TorchFunctionMode",),
}


class Dishonest(RuntimeError):
    """What the candidate's code did besides computing; becomes the verdict ``rejected``."""

    def __init__(self, code: str, message: str, line: int | None = None):
        super().__init__(message)
        self.code, self.message, self.line = code, message, line


class Vigilance:
    """Watches over the candidate's code while it runs; made once, before it is executed."""

    def __init__(self, path: Path, launches: Launches):
        self._path = str(path)
        self._active = False
        self._found: list[Dishonest] = []
        self._building = self._asked = False
        self.threads = Threads(launches, lambda: self._active)
        self._guards = _guards()
        #: This package's modules: those that are there, and what :class:`Closed` sees coming.
        self.own = {PACKAGE, *(name for name in sys.modules if name.startswith(f"{PACKAGE}."))}
        sys.addaudithook(self._hook())
        sys.meta_path.insert(0, Closed(self))

    @property
    def active(self) -> bool:
        """Whether the candidate's code is running."""
        return self._active

    @contextmanager
    def watching(self, *, building: bool = False) -> Iterator[None]:
        """While the candidate's code runs; raises :class:`Dishonest` for what was found.

        While it is ``building``, it may ask another program something (``nvidia-smi``, say).
        """
        self._building = building
        hidden = {name: sys.modules.pop(name) for name in self.own if name in sys.modules}
        self.threads.begin()
        self._active = True
        try:
            yield
        finally:
            self._active = False
            sys.modules.update(hidden)
        self._compare_functions()
        if self.threads.left():
            self.note(
                "background_work", "The code returned while a thread that it uses still runs."
            )
        if self._asked and _has_children():
            self.note("background_work", "The code left a process running.")
        if self._found:
            raise self._found[0]

    def note(self, code: str, message: str, frame: FrameType | None = None) -> Dishonest:
        """Remember what was done; it is refused when the candidate's code returns."""
        found = Dishonest(code, message, self._line(frame))
        self._found.append(found)
        return found

    def _line(self, frame: FrameType | None) -> int | None:
        while frame is not None:
            if frame.f_code.co_filename == self._path:
                return frame.f_lineno
            frame = frame.f_back
        return None

    def _hook(self) -> Callable[[str, tuple[Any, ...]], None]:
        busy: set[int] = set()

        def hook(event: str, arguments: tuple[Any, ...]) -> None:
            kind = KINDS.get(event)
            if kind is None or not self._active:
                return
            thread = threading.get_ident()
            if thread in busy:
                return
            busy.add(thread)
            try:
                frame: FrameType | None = sys._getframe(1)
                if kind == "tampering":
                    self._see_looking(event, arguments, frame)
                else:
                    self._see_starting(kind, event, frame)
            finally:
                busy.discard(thread)

        return hook

    def _see_looking(self, event: str, arguments: Any, frame: FrameType | None) -> None:
        """Refuse at once; ``logging`` and the like look at frames on everybody's behalf."""
        if event == "object.__getattr__" and arguments[1] not in LEADING:
            return
        if event == "object.__setattr__" and arguments[1] not in CODE:
            return
        if frame is not None and frame.f_code.co_filename.endswith("/inspect.py"):
            frame = _outside_standard_library(frame)
        if frame is not None and not of_a_library(frame.f_code.co_filename):
            what = f"{event} {arguments[1]}" if event.startswith("object.") else event
            raise self.note(
                "tampering", f"The code looks into the process that checks it: {what}.", frame
            )

    def _see_starting(self, kind: str, event: str, frame: FrameType | None) -> None:
        asking = _outside_standard_library(frame)
        if asking is None:
            return
        if asking.f_code.co_filename.endswith("torch/utils/cpp_extension.py"):
            self.note("foreign_code", "The code builds an extension in C++.", asking)
        elif not of_a_library(asking.f_code.co_filename):
            if self._building and event in ASKING:
                self._asked = True
                return
            what = "starts another process" if kind == "background_work" else "calls into C"
            self.note(kind, f"The code {what} ({event}).", asking)

    def _compare_functions(self) -> None:
        for guard in self._guards:
            name = guard.replaced()
            if name is not None:
                self.note("tampering", f"The code replaced {guard.where}.{name}.")
                return


class Closed:
    """The first finder of imports: this package cannot be imported by the candidate's code."""

    def __init__(self, vigilance: Vigilance):
        self._vigilance = vigilance

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> None:
        """Find nothing, and refuse our own name."""
        if name.partition(".")[0] != PACKAGE:
            return
        if self._vigilance.active:
            raise self._vigilance.note("tampering", f"The code imports {name}, which checks it.")
        self._vigilance.own.add(name)


def _has_children() -> bool:
    """Whether processes that this one started still run."""
    try:
        return os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None
    except ChildProcessError:
        return False


def _outside_standard_library(frame: FrameType | None) -> FrameType | None:
    while frame is not None:
        name = frame.f_code.co_filename
        if not name.startswith(STANDARD) or any(part in name for part in INSTALLED):
            return frame
        frame = frame.f_back
    return None


class Guard:
    """The functions of a module or a class, which must stay the ones that they are."""

    def __init__(self, owner: Any):
        self.where: str = getattr(owner, "__qualname__", owner.__name__)
        self._now: Mapping[str, Any] = vars(owner)
        self._before: dict[str, Any] = {
            name: value
            for name, value in self._now.items()
            if callable(value) and not any(value is other for other in REPLACED)
        }
        self._before.update(dict.fromkeys(_inherited(owner)))

    def replaced(self) -> str | None:
        """The name of one that is another now."""
        now = self._now.get
        # They are thousands, and each run looks at all of them.
        if EVERY(MAPPED(SAME, MAPPED(now, self._before), self._before.values())):
            return None
        for name, before in self._before.items():
            value = now(name)
            if value is not before and not _put_there_by_pytorch(value):
                return name
        return None


def _guards() -> list[Guard]:
    owners: list[Any] = [builtins, *(importlib.import_module(name) for name in GUARDED.split())]
    for module, names in GUARDED_CLASSES.items():
        owners += [getattr(importlib.import_module(module), name) for name in names]
    return [Guard(owner) for owner in owners]


def _inherited(owner: Any) -> set[str]:
    """Methods that a class has from its bases, as a tensor has most: a new one would hide them."""
    bases = owner.__mro__[1:] if isinstance(owner, type) else ()
    found = {name for base in bases for name, value in vars(base).items() if callable(value)}
    return found.difference(vars(owner))


def _put_there_by_pytorch(value: Any) -> bool:
    """PyTorch wraps a few of its functions when parts of it are first imported."""
    code = getattr(value, "__code__", None)
    return code is not None and code.co_filename.startswith(OF_PYTORCH)
