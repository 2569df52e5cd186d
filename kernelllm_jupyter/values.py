"""The values that flow through a translation, each one a frozen dataclass.

Problem -> prompt -> text -> Candidate -> Verdict -> Timing. A stage takes the value
before it and returns the next; none of them prints, opens files or knows who asked.
A figure that was not measured is ``None``, never 0. Units are in the names.

The values of a timing are in :mod:`kernelllm_jupyter.timings` and can be had from here too. This
module imports nothing else of ours and no torch.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

from kernelllm_jupyter.timings import (
    Bound,
    Conclusion,
    Contender,
    ContenderName,
    Interval,
    KernelTime,
    Sweep,
    SweepPoint,
    Timing,
    Work,
)

if TYPE_CHECKING:
    from kernelllm_jupyter.carried import Carried

VerdictKind = Literal[
    "correct",
    "incorrect",
    "compile_error",
    "runtime_error",
    "timeout",
    "out_of_memory",
    "crashed",
    "rejected",
]

#: What Triton kernels are compiled for where there is no GPU and none is named.
DEFAULT_TARGET = "sm_90"
#: How a GPU is named that code is compiled for: by compute capability or by AMD's gfx number.
TARGET_PATTERN = r"sm_\d{2,3}|gfx\d{1,2}[0-9a-f]{2}"

FinishReason = Literal["stop", "length", "repetition", "cancelled", "failed"]

__all__ = [
    "DEFAULT_TARGET",
    "TARGET_PATTERN",
    "Bound",
    "Candidate",
    "CheckOptions",
    "Compilation",
    "CompiledKernel",
    "Conclusion",
    "Contender",
    "ContenderName",
    "Effort",
    "Finding",
    "FinishReason",
    "Interval",
    "KernelTime",
    "Live",
    "Message",
    "Problem",
    "Prompt",
    "Sampling",
    "Sizes",
    "Sweep",
    "SweepPoint",
    "Timing",
    "Translation",
    "Verdict",
    "VerdictKind",
    "Work",
]


@dataclass(frozen=True)
class Live:
    """Values of the user's session that go with a problem, as a worker takes them.

    Each value is a form of JSON (see ``verify/tensors.py``) that names its tensors' bytes by their
    place in ``carried``, a copy made when the problem was read. Nothing is pickled.
    """

    carried: Carried = field(repr=False, compare=False)
    #: One list of ``forward``'s arguments for each call; empty where ``get_inputs()`` makes them.
    inputs: tuple[Any, ...] = field(default=(), repr=False)
    #: What the live module returned for each of them; None where that says nothing.
    outputs: tuple[Any, ...] = field(default=(), repr=False)
    #: Of how many last ones among the arguments these are the names: they are passed by keyword.
    keywords: tuple[str, ...] = ()
    #: The constructor's ``[args, kwargs]``; None where ``get_init_inputs()`` makes them.
    init: Any = field(default=None, repr=False)
    #: Weights and buffers by name; None where the constructor makes them.
    state: Any = field(default=None, repr=False)
    #: Weights that are one with another one, by that one.
    ties: dict[str, str] = field(default_factory=dict)
    #: The one floating-point dtype of all weights; None where there are several or none.
    dtype: str | None = None
    training: bool | None = None
    #: Plain attributes by submodule, which the constructor is to make alike.
    settings: dict[str, dict[str, Any]] = field(default_factory=dict, repr=False)

    def to_json(self) -> dict[str, Any]:
        """All but the bytes."""
        return {name: value for name, value in vars(self).items() if name not in ("carried",)}


@dataclass(frozen=True)
class Problem:
    """What is to be translated: the reference module and how to make and feed it.

    ``source`` is a complete Python module that defines ``class_name`` (a ``torch.nn.Module``),
    usually with ``get_inputs()`` and ``get_init_inputs()`` in KernelBench's form. It is only
    ever executed in a worker. ``live`` holds what the user gave as values instead: inputs,
    constructor arguments, weights. ``has_inputs`` says that the source's own ``get_inputs()`` is of
    the problem; with live inputs it makes others of their kind, at other sizes too.
    """

    source: str
    class_name: str
    has_inputs: bool = True
    has_init_inputs: bool = True
    live: Live | None = field(default=None, repr=False)
    #: How messages call what ``source`` was made from.
    called: str = "the cell"
    #: The line of ``source`` at which the user's text begins; lines before it were put there.
    first_line: int = 1
    #: For each line of ``source`` the user's line that it stands for, None where it is no line of
    #: theirs; where this is not given, all from ``first_line`` on are.
    own_lines: tuple[int | None, ...] | None = field(default=None, repr=False)

    def own_line(self, line: int) -> int | None:
        """The line of the user's text, from 1, that ``line`` of ``source`` stands for."""
        if self.own_lines is None:
            return line - self.first_line + 1 if line >= self.first_line else None
        return self.own_lines[line - 1] if 1 <= line <= len(self.own_lines) else None


@dataclass(frozen=True)
class Message:
    """One turn of a chat; ``role`` is ``system``, ``user`` or ``assistant``."""

    role: str
    content: str


#: Text that a model is to go on with, or turns that it is to answer by its chat template.
Prompt = str | tuple[Message, ...]


@dataclass(frozen=True)
class Sampling:
    """How tokens are drawn. ``None`` means "as the profile says".

    ``temperature`` 0 is greedy decoding. ``top_k`` 0 switches top-k filtering off (transformers
    would otherwise apply 50). ``seed`` makes a completion repeatable on one device and version.
    """

    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    max_new_tokens: int | None = None
    seed: int | None = None

    def over(self, defaults: Sampling) -> Sampling:
        """This sampling, with what it leaves open taken from ``defaults``."""
        own = {name: value for name, value in asdict(self).items() if value is not None}
        return replace(defaults, **own)


@dataclass(frozen=True)
class CheckOptions:
    """Where and how long a check may run."""

    device: str = "auto"
    timeout_s: float = 60.0
    allow_tf32: bool = False
    #: The GPU that every Triton kernel has to compile for; ``auto`` is the present one, and
    #: without a GPU ``DEFAULT_TARGET``.
    target: str = "auto"
    #: Of the trials' inputs and weights.
    seed: int = 0


@dataclass(frozen=True)
class Effort:
    """How much is done for one verified candidate.

    ``k`` candidates at most are sampled side by side, and up to ``repair`` rounds follow in which
    the failed ones are put right. ``best`` is ``first`` (the first verified one ends it all) or
    ``fastest`` (all are sampled, and the verified ones timed, which takes a GPU). With ``every``
    all k are sampled and checked in any case, though one is verified.
    """

    k: int = 1
    repair: int = 0
    best: Literal["first", "fastest"] = "first"
    every: bool = False

    @property
    def several(self) -> bool:
        """Whether there is more to do than to make one candidate and check it."""
        return self.k > 1 or self.repair > 0 or self.every


def _finite(value: float | None) -> float | None:
    """JSON has no infinity and no NaN: what is neither is no figure there."""
    return value if value is not None and math.isfinite(value) else None


@dataclass(frozen=True)
class Candidate:
    """Generated source that is to define ``ModelNew``, and how it came about.

    ``text`` is the model's whole reply, ``code`` what the profile took out of it, ``thought`` its
    reasoning before and between; ``thinking`` tells that the reply ended in the midst of that.
    ``finish`` is ``cancelled`` where the user stopped it or another candidate was verified first,
    ``failed`` where the engine did, and ``repetition`` where it said the same again and again;
    ``code`` then holds what had arrived, without the repetition. ``mends`` is what was put right
    mechanically. ``duplicate_of`` and ``repair_of`` are places among the candidates: of one with
    the same code, and of the failed one that this one was to mend. ``round`` counts repairs from
    1; 0 is before any. ``note`` says in words why a candidate is not whole, or not checked.
    """

    code: str
    text: str
    model: str
    finish: FinishReason
    tokens: int | None = None
    seconds: float | None = None
    thought: str = field(default="", repr=False)
    thinking: bool = False
    seed: int | None = None
    mends: tuple[str, ...] = ()
    duplicate_of: int | None = None
    repair_of: int | None = None
    round: int = 0
    note: str = ""

    @property
    def no_code(self) -> str:
        """Why there is no code, in a sentence; empty where there is some."""
        if self.code.strip():
            return ""
        limit = "the reply reached the limit of its tokens (see --max-new-tokens)"
        if self.thinking:
            why = limit if self.finish == "length" else "and gave no answer"
            return f"The reply holds no code: it ends inside the model's thinking, {why}."
        if not self.text.strip():
            return "The reply holds no code: it is empty."
        if self.finish == "length":
            return f"The reply holds no code: {limit}."
        return "The reply holds no code: the model wrote something else."

    @property
    def tokens_per_second(self) -> float | None:
        if not self.tokens or not self.seconds:
            return None
        return self.tokens / self.seconds


@dataclass(frozen=True)
class Finding:
    """One reason or warning of a verdict. ``line`` counts from 1 in the candidate's code."""

    code: str
    message: str
    line: int | None = None

    def to_json(self) -> dict[str, Any]:
        found: dict[str, Any] = {"code": self.code, "message": self.message}
        if self.line is not None:
            found["line"] = self.line
        return found


@dataclass(frozen=True)
class CompiledKernel:
    """One Triton kernel as it was compiled, in one of its autotuning configurations.

    ``line`` is that of its ``def`` in the candidate's code and ``grid`` the largest of its
    launches. Registers, stack and spills are those of one thread, shared memory that of a block;
    ``spill_bytes`` is what registers could not hold.
    """

    name: str
    line: int | None = None
    configuration: str | None = None
    launches: int = 0
    grid: tuple[int, int, int] | None = None
    num_warps: int | None = None
    registers: int | None = None
    stack_bytes: int | None = None
    spill_bytes: int | None = None
    shared_bytes: int | None = None
    #: None for a target whose limit is not known here.
    shared_limit_bytes: int | None = None

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "grid": list(self.grid) if self.grid else None}


@dataclass(frozen=True)
class Compilation:
    """The Triton kernels of a candidate as compiled for ``target``, at the problem's full size.

    ``left_out`` names autotuning configurations that do not fit or were not compiled, and why.
    """

    target: str
    kernels: tuple[CompiledKernel, ...] = ()
    left_out: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        return {
            "target": self.target,
            "kernels": [kernel.to_json() for kernel in self.kernels],
            "left_out": list(self.left_out),
        }


@dataclass(frozen=True)
class Sizes:
    """The tensors on which a verdict was made, as ``float32[64, 128]``.

    ``reduced_from`` is what the problem's own would have been, where they were too large for
    Triton's interpreter, and None where they were not reduced.
    """

    inputs: tuple[str, ...]
    reduced_from: tuple[str, ...] | None = None

    def to_json(self) -> dict[str, Any]:
        reduced = list(self.reduced_from) if self.reduced_from is not None else None
        return {"inputs": list(self.inputs), "reduced_from": reduced}


@dataclass(frozen=True)
class Verdict:
    """What a check found. ``correct`` is a claim that the project stands behind.

    ``max_abs_error`` and ``error_budget`` are of the worst output element over the trials on the
    problem's own inputs; ``not_made`` lists checks that this device or version could not make;
    ``aten`` counts the ATen operators that still did arithmetic inside the candidate;
    ``output`` is what the candidate printed (bounded); ``compilation`` is what its Triton kernels
    take of the GPU, where they were compiled for one; ``sizes`` says at which shapes it was
    checked and ``costs_ms`` what each point of the check took.
    """

    verdict: VerdictKind
    reasons: tuple[Finding, ...] = ()
    warnings: tuple[Finding, ...] = ()
    device: str | None = None
    trials: int | None = None
    max_abs_error: float | None = None
    error_budget: float | None = None
    launches: int | None = None
    elapsed_ms: float | None = None
    versions: dict[str, str] = field(default_factory=dict)
    not_made: tuple[Finding, ...] = ()
    aten: dict[str, int] = field(default_factory=dict)
    output: str = ""
    sandbox: tuple[str, ...] = ()
    compilation: Compilation | None = None
    sizes: Sizes | None = None
    costs_ms: dict[str, float] = field(default_factory=dict)

    @property
    def correct(self) -> bool:
        return self.verdict == "correct"

    def to_json(self) -> dict[str, Any]:
        """The object of the command line's ``--json`` contract."""
        return {
            "verdict": self.verdict,
            "reasons": [finding.to_json() for finding in self.reasons],
            "warnings": [finding.to_json() for finding in self.warnings],
            "device": self.device,
            "trials": self.trials,
            "max_abs_error": _finite(self.max_abs_error),
            "error_budget": _finite(self.error_budget),
            "launches": self.launches,
            "elapsed_ms": self.elapsed_ms,
            "versions": dict(self.versions),
            "not_made": [finding.to_json() for finding in self.not_made],
            "aten": dict(self.aten),
            "output": self.output,
            "sandbox": list(self.sandbox),
            "compilation": self.compilation.to_json() if self.compilation else None,
            "sizes": self.sizes.to_json() if self.sizes else None,
            "costs_ms": dict(self.costs_ms),
        }


@dataclass(frozen=True)
class Translation:
    """The result of one translation: the candidates in the order they came, and the chosen one.

    ``verdicts`` has one for each candidate, None where it was not checked, and ``timings`` those
    that were made to find the fastest; ``timing`` is the chosen one's.
    """

    problem: Problem
    candidates: tuple[Candidate, ...]
    chosen: int
    verdicts: tuple[Verdict | None, ...]
    timing: Timing | None = None
    record: str | None = None
    timings: tuple[Timing | None, ...] = ()

    @property
    def candidate(self) -> Candidate:
        return self.candidates[self.chosen]

    @property
    def code(self) -> str:
        return self.candidate.code

    @property
    def verdict(self) -> Verdict | None:
        return self.verdicts[self.chosen]

    def to_json(self) -> dict[str, Any]:
        """The object of ``kernelllm translate --json``."""
        chosen = self.candidate
        verdict = self.verdict
        return {
            "code": chosen.code,
            "model": chosen.model,
            "tokens": chosen.tokens,
            "seconds": chosen.seconds,
            "tokens_per_second": chosen.tokens_per_second,
            "chosen": self.chosen,
            "candidates": [self._candidate_json(at) for at in range(len(self.candidates))],
            "verdict": verdict.to_json() if verdict else None,
            "timing": self.timing.to_json() if self.timing else None,
            "record": self.record,
        }

    def _candidate_json(self, at: int) -> dict[str, Any]:
        candidate, verdict = self.candidates[at], self.verdicts[at]
        timing = self.timings[at] if at < len(self.timings) else None
        return {
            "code": candidate.code,
            "finish": candidate.finish,
            "tokens": candidate.tokens,
            "seconds": candidate.seconds,
            "seed": candidate.seed,
            "round": candidate.round,
            "repair_of": candidate.repair_of,
            "duplicate_of": candidate.duplicate_of,
            "mends": list(candidate.mends),
            "note": candidate.note,
            "thought": candidate.thought or None,
            "no_code": candidate.no_code or None,
            "verdict": verdict.to_json() if verdict else None,
            "timing": timing.to_json() if timing else None,
        }
