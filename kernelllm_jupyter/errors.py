"""Every exception that this package raises on purpose.

::

    KernelLLMError
    ├── UsageError                 wrong options or arguments
    │   └── ProblemError           the source given is not a problem that can be translated
    ├── UnsupportedModule          the model at hand does not cover this module (starter only)
    ├── EngineError                a model could not be run
    │   ├── ModelNotFound          no such checkpoint, or not reachable
    │   ├── CheckpointError        a checkpoint that is there but cannot be used
    │   ├── PromptTooLong          the model cannot see the whole prompt and answer it
    │   ├── ServerError            a model server could not be reached, refused, or broke off
    │   └── EngineDied             the model process ended while it was needed
    ├── WorkerError                the worker could not be started or spoken to
    │   ├── DeviceUnusable         the GPU is there, and torch cannot use it
    │   └── CheckCancelled         the check was cancelled before it had a verdict
    ├── RecordsError               records cannot be read, or there is no such record
    └── NotCorrect                 a verdict other than correct, with ``--strict``

Each message says what went wrong and what to do about it. A candidate that fails is no
exception: it is a :class:`~kernelllm_jupyter.values.Verdict` (unless ``--strict`` asks for one).
"""

from __future__ import annotations

from typing import Any

__all__ = [
    "CheckCancelled",
    "CheckpointError",
    "DeviceUnusable",
    "EngineDied",
    "EngineError",
    "KernelLLMError",
    "ModelNotFound",
    "NotCorrect",
    "ProblemError",
    "PromptTooLong",
    "RecordsError",
    "ServerError",
    "UnsupportedModule",
    "UsageError",
    "WorkerError",
]


class KernelLLMError(Exception):
    """Base of all errors of this package; its text is one clear message with the remedy."""

    def to_json(self) -> dict[str, Any]:
        """The ``error`` object of the command line's ``--json``."""
        return {"type": type(self).__name__, "message": str(self)}

    def _render_traceback_(self) -> list[str]:
        # IPython's protocol: what it shows in place of a traceback, which would only be of ours.
        return [f"{type(self).__name__}: {self}"]


class UsageError(KernelLLMError):
    """Options or arguments that cannot be carried out as given."""


class ProblemError(UsageError):
    """The reference source cannot be translated as it stands.

    ``line`` and ``column`` count from 1 in the text that the user gave.
    """

    def __init__(self, message: str, line: int | None = None, column: int | None = None):
        super().__init__(message)
        self.line = line
        self.column = column

    def to_json(self) -> dict[str, Any]:
        return {**super().to_json(), "line": self.line}


class UnsupportedModule(KernelLLMError):
    """The module lies outside what the chosen model can translate."""


class EngineError(KernelLLMError):
    """A model could not be loaded or run."""


class ModelNotFound(EngineError):
    """No checkpoint under that name, or it is not on this machine and cannot be fetched."""


class CheckpointError(EngineError):
    """A checkpoint that exists but cannot be used (no weights, not safetensors, too large, …)."""


class PromptTooLong(EngineError):
    """The prompt leaves the model no room for an answer; known before anything is generated."""


class ServerError(EngineError):
    """A server of another program did not give a reply; ``status`` is HTTP's, where it gave one."""

    def __init__(self, message: str, status: int | None = None):
        super().__init__(message)
        self.status = status


class EngineDied(EngineError):
    """The model process ended while a completion was running or before it could start."""


class WorkerError(KernelLLMError):
    """The worker that runs reference and candidate could not be started or spoken to."""


class DeviceUnusable(WorkerError):
    """There is such a device, and torch cannot use it."""


class CheckCancelled(WorkerError):
    """The check was cancelled before it had a verdict; its worker is gone."""


class RecordsError(KernelLLMError):
    """Records cannot be read, or there is no such record."""


class NotCorrect(KernelLLMError):
    """``--strict``: the verdict is anything but correct."""
