"""Children by spawning a fresh interpreter, for a GPU: CUDA does not survive a fork.

Runs in the server's process, which imports no torch itself.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from kernelllm_jupyter.verify.pair import Seat, Start, Started

__all__ = ["Unusable", "prepared"]

#: Finds the device out, and with ``confined`` whether it works for a candidate that has all layers.
PROBE = """
import json, sys
from pathlib import Path
from kernelllm_jupyter.verify.isolation.sandbox import confine_spawned

confined = sys.argv[1] == "confined"
layers = confine_spawned("candidate", Path(__file__).parent) if confined else []
import torch, triton
import triton.language as tl

@triton.jit
def double(x_ptr, out_ptr, BLOCK: tl.constexpr):
    offsets = tl.arange(0, BLOCK)
    tl.store(out_ptr + offsets, 2 * tl.load(x_ptr + offsets))

there = torch.cuda.is_available()
name = torch.cuda.get_device_name(0) if there else ""
if there and confined:
    x = torch.ones(64, 64, device="cuda")
    out = torch.empty_like(x)
    double[(1,)](x, out, BLOCK=4096)
    there = out.sum().item() == 8192 and (x @ x).sum().item() == 64**3
print(json.dumps({"there": there, "name": name, "torch": torch.__version__,
                  "triton": triton.__version__, "layers": layers}))
"""
PROBE_LIMIT_S = 100.0


class Unusable(Exception):
    """The device cannot be used; the text says why."""


def prepared(device: str, layers: list[str]) -> tuple[Start, dict[str, str]]:
    """Find out whether the device works; returns how to start a child, and the versions.

    ``spawned-cpu`` runs the interpreter in spawned children, for machines without a GPU. The
    children are confined where the device works in spite of it; ``layers`` then says how.
    """
    found = _confined(device) or _probed("bare")
    if device == "cuda" and not found["there"]:
        raise Unusable("torch.cuda.is_available() is False in a fresh process.")
    if device == "cuda" and not found["layers"]:
        # The first use after a start of the machine makes the device's files, which takes rights.
        found = _confined(device) or found
    layers.extend(found["layers"])
    versions = {"torch": str(found["torch"]), "triton": str(found["triton"])}
    if found["name"]:
        versions["gpu"] = str(found["name"])
    place = "cuda:0" if device == "cuda" else "cpu"
    how = "confined" if found["layers"] else "bare"
    return lambda seat: Started(_spawn(seat, place, how)), versions


def _confined(device: str) -> dict[str, Any] | None:
    """What a confined child finds; None where the device does not work for it."""
    try:
        found = _probed("confined")
    except Unusable:
        return None
    return found if found["there"] or device != "cuda" else None


def _probed(how: str) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder, "home")
        home.mkdir()
        probe = Path(folder, "probe.py")
        probe.write_text(PROBE)
        try:
            tried = subprocess.run(
                [sys.executable, str(probe), how],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=PROBE_LIMIT_S,
                check=False,
                env=_environment(home),
            )
            found: dict[str, Any] = json.loads(tried.stdout.strip().splitlines()[-1])
            return found
        except subprocess.TimeoutExpired:
            raise Unusable(f"Importing torch took more than {PROBE_LIMIT_S:g} s.") from None
        except (ValueError, IndexError):
            text = f"torch and triton cannot be imported:\n{tried.stderr[-1500:]}"
            raise Unusable(text) from None


def _environment(home: Path) -> dict[str, str]:
    environment = dict(os.environ)
    for name in ("HOME", "TMPDIR", "XDG_CACHE_HOME", "TRITON_CACHE_DIR", "TORCHINDUCTOR_CACHE_DIR"):
        environment[name] = str(home)
    environment["TORCHINDUCTOR_COMPILE_THREADS"] = "1"
    return environment


def _spawn(seat: Seat, device: str, how: str) -> int:
    home = seat.folder / "home"
    home.mkdir()
    wire = seat.wire.fileno()
    report = seat.report.fileno() if seat.report is not None else -1
    environment = _environment(home)
    if device == "cpu":
        environment["TRITON_INTERPRET"] = "1"
    command = [sys.executable, "-m", "kernelllm_jupyter.verify.spawned", seat.role, device]
    child = subprocess.Popen(
        [*command, how, str(seat.folder), str(wire), str(report)],
        stdin=subprocess.DEVNULL,
        stdout=seat.output,
        stderr=seat.output,
        cwd=home,
        env=environment,
        pass_fds=[wire, *([report] if report >= 0 else [])],
        start_new_session=True,
    )
    # The pair reaps it by pid; Popen must not complain that nobody waited.
    child.returncode = 0
    return child.pid
