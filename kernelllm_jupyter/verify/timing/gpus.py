"""What GPUs can do at most, as their makers publish it, and the bound that follows for a problem.

Pure. A published figure is a limit that no program reaches; nothing here is a measurement.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from kernelllm_jupyter.errors import UsageError
from kernelllm_jupyter.timings import Bound, Work

__all__ = ["GPUS", "Gpu", "bound_of", "gpu_for_target", "gpu_named", "published_bound"]


@dataclass(frozen=True)
class Gpu:
    """Memory bandwidth, and the rates of dense products (without sparsity) by dtype.

    ``float32`` is without TF32; ``tf32`` where the GPU has it. ``source`` names the maker's
    document. Rates in ``unconfirmed`` are half of another one, or were not found in any copy of it.
    """

    name: str
    source: str
    bandwidth_gb_per_s: float
    tflop_per_s: Mapping[str, float] = field(default_factory=dict)
    unconfirmed: frozenset[str] = frozenset()


def _gpu(
    name: str,
    source: str,
    bandwidth: float,
    *,
    half: float,
    single: float,
    tf32: float,
    unconfirmed: Iterable[str] = (),
) -> Gpu:
    rates = {"float16": half, "bfloat16": half, "float32": single, "tf32": tf32}
    return Gpu(name, source, bandwidth, rates, frozenset(unconfirmed))


#: As published, and compared in November 2026 with copies and quotations of these documents, which
#: were not at hand themselves. Where a sheet gives the rate with sparsity, half of it stands here;
#: of cards for games the one with float32 accumulation; of the MI250X that of one of its two dies,
#: since a program sees each as a device.
GPUS: tuple[Gpu, ...] = (
    Gpu("V100 SXM2", "NVIDIA V100 data sheet", 900, {"float16": 125, "float32": 15.7}),
    Gpu("T4", "NVIDIA T4 data sheet", 320, {"float16": 65, "float32": 8.1}),
    _gpu(
        "A10",
        "NVIDIA A10 data sheet",
        600,
        half=125,
        single=31.2,
        tf32=62.5,
        unconfirmed=["tf32"],
    ),
    _gpu("A100 80GB", "NVIDIA A100 data sheet (SXM)", 2039, half=312, single=19.5, tf32=156),
    _gpu(
        "RTX 3090",
        "NVIDIA Ampere GA102 architecture paper",
        936,
        half=71,
        single=35.6,
        tf32=35.6,
        unconfirmed=["tf32"],
    ),
    _gpu(
        "L4",
        "NVIDIA L4 data sheet",
        300,
        half=121,
        single=30.3,
        tf32=60,
        unconfirmed=["float32"],
    ),
    _gpu("L40S", "NVIDIA L40S data sheet", 864, half=362.05, single=91.6, tf32=183),
    _gpu("RTX 4090", "NVIDIA Ada architecture paper", 1008, half=165.2, single=82.6, tf32=82.6),
    _gpu("H100 SXM", "NVIDIA H100 data sheet", 3350, half=989.5, single=67, tf32=494.5),
    _gpu("H200", "NVIDIA H200 data sheet (SXM)", 4800, half=989.5, single=67, tf32=494.5),
    _gpu(
        "B200",
        "NVIDIA Blackwell data sheet (HGX B200)",
        8000,
        half=2250,
        single=80,
        # The sheet rounds it down to 1.1 PFLOPS: a bound may not be above what can be reached.
        tf32=1125,
    ),
    _gpu(
        "RTX 5090",
        "NVIDIA RTX Blackwell architecture paper",
        1792,
        half=209.5,
        single=104.8,
        tf32=104.8,
        unconfirmed=["tf32"],
    ),
    Gpu(
        "MI250X",
        "AMD Instinct MI250X data sheet, half of it",
        1638,
        {"float16": 191.5, "bfloat16": 191.5, "float32": 47.9},
    ),
    _gpu(
        "MI300X",
        "AMD Instinct MI300X data sheet",
        5300,
        half=1307.4,
        single=163.4,
        tf32=653.7,
        unconfirmed=["tf32"],
    ),
    _gpu(
        "MI325X",
        "AMD Instinct MI325X data sheet",
        6000,
        half=1307.4,
        single=163.4,
        tf32=653.7,
        unconfirmed=["float32", "tf32"],
    ),
)
#: What a target stands for where no GPU is named: the one of that architecture that is most used
#: for such work.
OF_TARGET = {
    "sm_70": "V100 SXM2",
    "sm_75": "T4",
    "sm_80": "A100 80GB",
    "sm_86": "A10",
    "sm_89": "L4",
    "sm_90": "H100 SXM",
    "sm_100": "B200",
    "sm_120": "RTX 5090",
    "gfx90a": "MI250X",
    "gfx942": "MI300X",
}


def gpu_named(name: str) -> Gpu:
    """The GPU of the table whose name holds ``name``; raises ``UsageError`` for any other."""
    wanted = _plain(name)
    exact = [gpu for gpu in GPUS if _plain(gpu.name) == wanted]
    found = exact or [gpu for gpu in GPUS if wanted and wanted in _plain(gpu.name)]
    if len(found) == 1:
        return found[0]
    names = ", ".join(gpu.name for gpu in found or GPUS)
    raise UsageError(f"There is no one GPU {name!r} here: name one of {names}.")


def gpu_for_target(target: str) -> Gpu | None:
    """The GPU that ``sm_90``, ``gfx942``, … stands for; None for a target that is not known."""
    return gpu_named(OF_TARGET[target]) if target in OF_TARGET else None


def published_bound(work: Work, gpu: Gpu, *, tf32: bool = False) -> Bound:
    """The least time of a problem on a GPU by its maker's figures."""
    dtype = work.products_in or ""
    if dtype == "float32" and tf32 and "tf32" in gpu.tflop_per_s:
        dtype = "tf32"
    return bound_of(work, gpu.name, "published", gpu.bandwidth_gb_per_s, gpu.tflop_per_s.get(dtype))


def bound_of(
    work: Work, gpu: str, basis: str, bandwidth_gb_per_s: float, tflop_per_s: float | None
) -> Bound:
    """The bound at given rates."""
    return Bound(
        gpu=gpu,
        basis="measured" if basis == "measured" else "published",
        bandwidth_gb_per_s=bandwidth_gb_per_s,
        memory_ms=work.bytes / bandwidth_gb_per_s / 1e6,
        matrix_tflop_per_s=tflop_per_s if work.flops else None,
        compute_ms=work.flops / tflop_per_s / 1e9 if work.flops and tflop_per_s else None,
    )


def _plain(name: str) -> str:
    return "".join(c for c in name.lower() if c.isalnum())
