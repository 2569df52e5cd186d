"""What a timing found, in frozen dataclasses: figures with their intervals, and what limits them.

A figure that was not measured is ``None``, never 0. Units are in the names. What each figure means
is in docs/timing.md. Imports nothing of ours and no torch.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from kernelllm_jupyter.values import Compilation, Finding

__all__ = [
    "BenchmarkOptions",
    "Bound",
    "Conclusion",
    "Contender",
    "ContenderName",
    "Interval",
    "KernelTime",
    "Sweep",
    "SweepPoint",
    "Timing",
    "Work",
]


@dataclass(frozen=True)
class BenchmarkOptions:
    """What is timed: ``max_autotune`` adds ``torch.compile``'s slow mode, ``sweep`` other sizes.

    ``gpu`` names a GPU for the bound where none is there. With ``unverified`` the candidate is not
    checked first, and the timing says so. ``sweep_over`` names sizes that are varied, and asks for
    a sweep by itself. ``model`` is what wrote the candidate, where that is
    known: a server's may be at work on the same GPU.
    """

    timeout_s: float = 300.0
    max_autotune: bool = False
    sweep: bool = False
    sweep_over: tuple[str, ...] = ()
    gpu: str | None = None
    unverified: bool = False
    model: str | None = None
    allow_tf32: bool = False

    @property
    def sweeps(self) -> bool:
        return self.sweep or bool(self.sweep_over)

    @property
    def baselines(self) -> list[str]:
        return ["compile", *(["max-autotune"] if self.max_autotune else [])]


@dataclass(frozen=True)
class Interval:
    """Where a median or a ratio of medians lies with 99 % confidence (bootstrap over rounds)."""

    low: float
    high: float


#: What is timed beside a candidate: PyTorch as written, ``torch.compile``, and the same with
#: ``mode="max-autotune-no-cudagraphs"``.
ContenderName = Literal["eager", "compile", "max-autotune", "candidate"]
Conclusion = Literal["faster", "slower", "no difference", "not measured"]


@dataclass(frozen=True)
class Contender:
    """What one of those that were timed took; figures are medians of one call.

    ``median_ms`` is by the device's clock with a cold cache. ``wall_ms`` is one call by itself by
    the wall clock, launch included, until the whole device is idle. ``compile_s`` is what building
    it took before the first result, without ``autotune_s``, in which it tried configurations.
    ``peak_bytes`` is the device memory that a call holds beyond its arguments.
    """

    name: ContenderName
    median_ms: float | None = None
    interval_ms: Interval | None = None
    wall_ms: float | None = None
    calls: int | None = None
    compile_s: float | None = None
    autotune_s: float | None = None
    peak_bytes: int | None = None
    #: ``median_ms`` divided by the candidate's: above 1 where the candidate is faster.
    ratio: float | None = None
    ratio_interval: Interval | None = None
    conclusion: Conclusion = "not measured"
    #: Why there is no figure.
    message: str = ""

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class Work:
    """What a problem cannot do without: its inputs and weights read once, its outputs written once,
    and the floating-point operations of its products (matrices, convolutions, attention).

    ``products_in`` is the dtype of most of these operations; None where there are none.
    """

    read_bytes: int
    written_bytes: int
    flops: int
    products_in: str | None = None

    @property
    def bytes(self) -> int:
        return self.read_bytes + self.written_bytes

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "bytes": self.bytes}


@dataclass(frozen=True)
class Bound:
    """The least time that a problem's work takes a GPU: a bound, never a measurement.

    ``basis`` tells where the rates come from: ``measured`` (a copy and a matrix product on that
    very GPU) or ``published`` (its maker's figures). ``compute_ms`` is None where there are no
    products or their rate is not known.
    """

    gpu: str
    basis: Literal["measured", "published"]
    bandwidth_gb_per_s: float
    memory_ms: float
    matrix_tflop_per_s: float | None = None
    compute_ms: float | None = None

    @property
    def bound_ms(self) -> float:
        return max(self.memory_ms, self.compute_ms or 0.0)

    @property
    def limited_by(self) -> Literal["memory", "compute"]:
        return "compute" if (self.compute_ms or 0.0) > self.memory_ms else "memory"

    def fraction(self, ms: float | None) -> float | None:
        """Which part of the limit a time of ``ms`` reaches: 1.0 is the bound itself."""
        return self.bound_ms / ms if ms else None

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "bound_ms": self.bound_ms, "limited_by": self.limited_by}


@dataclass(frozen=True)
class KernelTime:
    """One kernel of a candidate's call on the device; ``triton`` where the code defines it."""

    name: str
    launches: int
    ms: float
    triton: bool


@dataclass(frozen=True)
class SweepPoint:
    """The same candidate at another size; None is what was not measured, see ``message``."""

    inputs: tuple[str, ...]
    value: int
    bytes: int | None = None
    flops: int | None = None
    eager_ms: float | None = None
    compile_ms: float | None = None
    candidate_ms: float | None = None
    eager_interval_ms: Interval | None = None
    compile_interval_ms: Interval | None = None
    candidate_interval_ms: Interval | None = None
    speedup: float | None = None
    speedup_interval: Interval | None = None
    conclusion: Conclusion = "not measured"
    bound_ms: float | None = None
    message: str = ""

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "inputs": list(self.inputs)}


@dataclass(frozen=True)
class Sweep:
    """Times over one size of the problem, which ``axis`` names, in geometric steps, with the
    others as they are given. Without an axis ``message`` says why there is none."""

    axis: str
    points: tuple[SweepPoint, ...] = ()
    message: str = ""

    def to_json(self) -> dict[str, Any]:
        points = [point.to_json() for point in self.points]
        return {"axis": self.axis, "points": points, "message": self.message}


@dataclass(frozen=True)
class Timing:
    """Medians in milliseconds of one call, each with its interval.

    ``speedup`` is ``eager_ms / candidate_ms``, and ``conclusion`` is ``faster`` or ``slower`` only
    where ``speedup_interval`` excludes 1.0 and the difference is one that the clock can tell, else
    ``no difference``; ``not measured`` has its reason in ``message``. ``contamination`` says what
    disturbed the figures, or why they cannot be trusted. ``bound`` is the limit of the problem on
    the GPU that it was timed on, or without one on the GPU that it names. A ``partial`` timing was
    ended before it was through, as ``message`` says: what it has was measured, the rest is None.
    """

    conclusion: Conclusion
    message: str = ""
    device: str | None = None
    eager_ms: float | None = None
    compile_ms: float | None = None
    candidate_ms: float | None = None
    eager_interval_ms: Interval | None = None
    compile_interval_ms: Interval | None = None
    candidate_interval_ms: Interval | None = None
    speedup: float | None = None
    speedup_interval: Interval | None = None
    speedup_over_compile: float | None = None
    speedup_over_compile_interval: Interval | None = None
    verified: bool | None = None
    partial: bool = False
    versions: dict[str, str] = field(default_factory=dict)
    contenders: tuple[Contender, ...] = ()
    rounds: int | None = None
    contamination: tuple[Finding, ...] = ()
    work: Work | None = None
    bound: Bound | None = None
    #: The candidate's kernels on the device, the longest first; empty where no profiler could look.
    kernels: tuple[KernelTime, ...] = ()
    launches: int | None = None
    compilation: Compilation | None = None
    #: One for each size that was varied.
    sweeps: tuple[Sweep, ...] = ()

    @property
    def measured(self) -> bool:
        return self.candidate_ms is not None

    @property
    def triton_share(self) -> float | None:
        """Which part of the candidate's time on the device its own Triton kernels take."""
        whole = sum(kernel.ms for kernel in self.kernels)
        return sum(k.ms for k in self.kernels if k.triton) / whole if whole else None

    def achieved(self, ms: float | None) -> dict[str, float | None] | None:
        """The rates that a call of ``ms`` comes to, and which part of the limit."""
        if self.work is None or not ms:
            return None
        return {
            "gb_per_s": self.work.bytes / ms / 1e6,
            "tflop_per_s": self.work.flops / ms / 1e9 if self.work.flops else None,
            "fraction_of_bound": self.bound.fraction(ms) if self.bound else None,
        }

    def to_json(self) -> dict[str, Any]:
        times = {"eager": self.eager_ms, "compile": self.compile_ms, "candidate": self.candidate_ms}
        return {
            **{name: getattr(self, name) for name in _TIMING_FIGURES},
            **{name: _interval_json(getattr(self, name)) for name in _TIMING_INTERVALS},
            "versions": dict(self.versions),
            "contenders": [contender.to_json() for contender in self.contenders],
            "contamination": [finding.to_json() for finding in self.contamination],
            "work": self.work.to_json() if self.work else None,
            "bound": self.bound.to_json() if self.bound else None,
            "achieved": {name: self.achieved(ms) for name, ms in times.items()},
            "kernels": [asdict(kernel) for kernel in self.kernels],
            "triton_share": self.triton_share,
            "compilation": self.compilation.to_json() if self.compilation else None,
            "sweeps": [sweep.to_json() for sweep in self.sweeps],
        }


_TIMING_FIGURES = (
    "conclusion",
    "message",
    "device",
    "eager_ms",
    "compile_ms",
    "candidate_ms",
    "speedup",
    "speedup_over_compile",
    "verified",
    "partial",
    "rounds",
    "launches",
)
_TIMING_INTERVALS = (
    "eager_interval_ms",
    "compile_interval_ms",
    "candidate_interval_ms",
    "speedup_interval",
    "speedup_over_compile_interval",
)


def _interval_json(interval: Interval | None) -> dict[str, float] | None:
    return asdict(interval) if interval is not None else None
