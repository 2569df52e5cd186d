"""What GPUs can do at most, as their makers publish it, and the bound that follows for a problem.

Pure. A published figure is a limit that no program reaches; nothing here is a measurement.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from kernelllm_jupyter.errors import UsageError
from kernelllm_jupyter.timings import Bound, Work

__all__ = ["GPUS", "Gpu", "bound_of", "gpu_for_target", "gpu_named", "published_bound"]


@dataclass(frozen=True)
class Gpu:
    """Memory bandwidth, and the rates of dense products (without sparsity) by dtype.

    ``float32`` is without TF32; ``tf32`` where the GPU has it.
    """

    name: str
    bandwidth_gb_per_s: float
    tflop_per_s: Mapping[str, float] = field(default_factory=dict)


def _gpu(name: str, bandwidth: float, half: float, tf32: float | None, single: float) -> Gpu:
    rates = {"float16": half, "bfloat16": half, "float32": single}
    return Gpu(name, bandwidth, {**rates, **({"tf32": tf32} if tf32 else {})})


#: From the makers' data sheets: NVIDIA's "V100", "T4", "A10", "A100 Tensor Core GPU" (SXM 80 GB),
#: "L4", "L40S", "H100" (SXM), "H200" and "HGX B200"; "Ada" and "Blackwell" GPU architecture papers
#: for the RTX cards, with float32 accumulation; AMD's "Instinct MI250X", "MI300X" and "MI325X".
#: Where a sheet gives the rate with sparsity, half of it stands here.
GPUS: tuple[Gpu, ...] = (
    Gpu("V100 SXM2", 900, {"float16": 125, "float32": 15.7}),
    Gpu("T4", 320, {"float16": 65, "float32": 8.1}),
    _gpu("A10", 600, 125, 62.5, 31.2),
    _gpu("A100 80GB", 2039, 312, 156, 19.5),
    _gpu("RTX 3090", 936, 71, 35.6, 35.6),
    _gpu("L4", 300, 121, 60, 30.3),
    _gpu("L40S", 864, 362, 183, 91.6),
    _gpu("RTX 4090", 1008, 165.2, 82.6, 82.6),
    _gpu("H100 SXM", 3350, 989.5, 494.5, 67),
    _gpu("H200", 4800, 989.5, 494.5, 67),
    _gpu("B200", 8000, 2250, 1125, 80),
    _gpu("RTX 5090", 1792, 209.5, 104.8, 104.8),
    Gpu("MI250X", 3277, {"float16": 383, "bfloat16": 383, "float32": 95.7}),
    _gpu("MI300X", 5300, 1307.4, 653.7, 163.4),
    _gpu("MI325X", 6000, 1307.4, 653.7, 163.4),
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
