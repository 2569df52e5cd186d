"""The GPU that a Triton kernel is written for, in a line for the prompt.

Asks the driver's own tool; imports no torch and touches no device.
"""

from __future__ import annotations

import os
import subprocess
from functools import lru_cache

__all__ = ["hardware_line"]

ASK = ("nvidia-smi", "--query-gpu=name,compute_cap", "--format=csv,noheader")
ANSWER_WITHIN_S = 10.0
#: What the targets of ``--target`` are called by those who write about them.
GENERATIONS = {
    "sm_70": "NVIDIA Volta (V100)",
    "sm_75": "NVIDIA Turing (T4)",
    "sm_80": "NVIDIA Ampere (A100)",
    "sm_86": "NVIDIA Ampere (A10, RTX 30)",
    "sm_89": "NVIDIA Ada (L4, L40S, RTX 40)",
    "sm_90": "NVIDIA Hopper (H100, H200)",
    "sm_100": "NVIDIA Blackwell (B200)",
    "sm_120": "NVIDIA Blackwell (RTX 50)",
    "gfx90a": "AMD CDNA 2 (MI250)",
    "gfx942": "AMD CDNA 3 (MI300)",
    "gfx950": "AMD CDNA 4 (MI350)",
    "gfx1100": "AMD RDNA 3",
}


def hardware_line(target: str) -> str:
    """``Target: …`` for the GPU named ``target``; for ``auto`` the present one, or nothing."""
    if target == "auto":
        found = _present(os.environ.get("CUDA_VISIBLE_DEVICES", ""))
        return f"Target: {found}\n" if found else ""
    known = GENERATIONS.get(target)
    return f"Target: {known}, {target}\n" if known else f"Target: {target}\n"


@lru_cache(maxsize=4)
def _present(visible: str) -> str:
    """The first GPU that programs of this environment see; empty where there is none."""
    first = visible.split(",")[0].strip()
    choice = ("-i", first) if first.isdigit() or first.startswith("GPU-") else ()
    try:
        ran = subprocess.run(
            [*ASK, *choice],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=ANSWER_WITHIN_S,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    name, _, capability = (ran.stdout.splitlines() or [""])[0].partition(",")
    number = capability.strip().replace(".", "")
    return f"{name.strip()} (sm_{number})" if number.isdigit() else name.strip()
