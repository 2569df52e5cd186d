"""The GPU, and what makes code for one.

torch and triton are imported in a process of their own: that takes a second, may fail in any way,
and is nothing to do to a Jupyter kernel.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from kernelllm_jupyter.doctor.finding import Examined
from kernelllm_jupyter.doctor.probe import probe

__all__ = ["examine_machine"]

PROBE_WITHIN_S = 60.0
PROGRAM = """
import json
found = {}
try:
    import torch
    found["toolkit"] = torch.version.cuda or torch.version.hip
    if torch.cuda.is_available():
        each = map(torch.cuda.get_device_properties, range(torch.cuda.device_count()))
        found["gpus"] = [(gpu.name, gpu.total_memory) for gpu in each]
except Exception as error:
    found["torch"] = f"{type(error).__name__}: {error}"
try:
    import triton
except Exception as error:
    found["triton"] = f"{type(error).__name__}: {error}"
print("\\n" + json.dumps(found))
"""


def examine_machine() -> Iterator[Examined]:
    probed = _probe()
    for name in ("torch", "triton"):
        if name in probed:
            trouble = _line(probed[name])
            # A package that is not there has had its line.
            if not trouble.startswith(f"ModuleNotFoundError: No module named '{name}'"):
                remedy = f"pip install --force-reinstall --no-deps {name}"
                yield Examined(f"import {name}", "missing", trouble, remedy)
    yield _gpu(probed)
    yield from _compilers(has_gpu=bool(probed.get("gpus")))


def _probe() -> dict[str, Any]:
    """What torch and triton say of this machine, or what keeps them from it."""
    found, trouble = probe(PROGRAM, "importing it", PROBE_WITHIN_S)
    return {"torch": trouble} if trouble else dict(found)


def _line(text: Any) -> str:
    line = str(text).strip().partition("\n")[0]
    return line if len(line) <= 200 else f"{line[:199]}…"


def _gpu(probed: dict[str, Any]) -> Examined:
    gpus = probed.get("gpus")
    driver = _driver()
    if gpus:
        names = ", ".join(f"{name} ({memory / 2**30:.0f} GiB)" for name, memory in gpus)
        return Examined("GPU", "ok", f"{names}{f', driver {driver}' if driver else ''}")
    if "torch" in probed:
        return Examined("GPU", "note", "not looked for, as torch does not import", "mend torch")
    remedy = "nothing to do: checks run in Triton's interpreter; timing needs a GPU"
    if driver and not probed.get("toolkit"):
        remedy = (
            "there is an NVIDIA driver, but this torch is a CPU build: pip install "
            "--force-reinstall torch --index-url https://download.pytorch.org/whl/cu128 "
            "(pytorch.org names the one for your driver)"
        )
    elif probed.get("toolkit"):
        remedy = (
            f"this torch is built for {probed['toolkit']}: see whether nvidia-smi (or rocm-smi) "
            "lists a GPU, and whether CUDA_VISIBLE_DEVICES hides it"
        )
    return Examined("GPU", "note", "none that torch can use", remedy)


def _driver() -> str:
    """The NVIDIA driver's version; empty where there is none."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return ""
    query = [program, "--query-gpu=driver_version", "--format=csv,noheader"]
    try:
        ran = subprocess.run(query, capture_output=True, text=True, timeout=10, check=True)
    except (subprocess.SubprocessError, OSError):
        return ""
    return _line(ran.stdout)


# --- compilers -----------------------------------------------------------------------------------


def _compilers(*, has_gpu: bool) -> Iterator[Examined]:
    ptxas = _ptxas()
    if ptxas is not None:
        yield _examined_ptxas(ptxas)
    if not has_gpu:
        return  # Only launches on a GPU need a C compiler.
    compiler = os.environ.get("CC") or shutil.which("gcc") or shutil.which("clang")
    headers = Path(sysconfig.get_path("include"), "Python.h")
    if not compiler:
        remedy = "Debian: apt-get install gcc; or name one in CC"
        yield Examined("C compiler", "missing", "none; Triton launches through one", remedy)
    elif not headers.is_file():
        version = f"python{sys.version_info[0]}.{sys.version_info[1]}"
        yield Examined(
            "C compiler",
            "missing",
            f"{compiler}, but {headers} is missing; Triton's launcher includes it",
            f"Debian: apt-get install {version}-dev",
        )
    else:
        yield Examined("C compiler", "ok", compiler)


def _ptxas() -> Path | None:
    """Where triton has its assembler for NVIDIA GPUs, found without importing it."""
    named = os.environ.get("TRITON_PTXAS_PATH")
    if named:
        return Path(named)
    try:
        triton = importlib.util.find_spec("triton")
    except (ImportError, ValueError):
        triton = None
    places = (triton.submodule_search_locations or []) if triton else []
    return Path(places[0], "backends", "nvidia", "bin", "ptxas") if places else None


def _examined_ptxas(program: Path) -> Examined:
    remedy = "pip install --force-reinstall --no-deps triton, or name another in TRITON_PTXAS_PATH"
    try:
        ran = subprocess.run(
            [str(program), "--version"], capture_output=True, text=True, timeout=10, check=True
        )
    except (subprocess.SubprocessError, OSError) as error:
        return Examined("Triton's compiler", "missing", _line(error), remedy)
    release = next((line for line in ran.stdout.splitlines() if "release" in line), "")
    found = release.rpartition("release ")[2] or "of an unknown version"
    return Examined("Triton's compiler", "ok", f"ptxas {found}")
