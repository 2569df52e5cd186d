"""Children by spawning a fresh interpreter, for a GPU: CUDA does not survive a fork.

Runs in the server's process, which imports no torch itself.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys

from kernelllm_jupyter.verify.pair import Seat, Start, Started

__all__ = ["Unusable", "prepared"]

PROBE = """
import json, torch, triton
there = torch.cuda.is_available()
name = torch.cuda.get_device_name(0) if there else ""
print(json.dumps({"there": there, "name": name, "torch": torch.__version__,
                  "triton": triton.__version__}))
"""
PROBE_LIMIT_S = 100.0


class Unusable(Exception):
    """The device cannot be used; the text says why."""


def prepared(device: str) -> tuple[Start, dict[str, str]]:
    """Find out whether the device works; returns how to start a child, and the versions.

    ``spawned-cpu`` runs the interpreter in spawned children, for machines without a GPU.
    """
    found = _probed()
    if device == "cuda" and not found["there"]:
        raise Unusable("torch.cuda.is_available() is False in a fresh process.")
    versions = {"torch": str(found["torch"]), "triton": str(found["triton"])}
    if found["name"]:
        versions["gpu"] = str(found["name"])
    place = "cuda:0" if device == "cuda" else "cpu"
    return lambda seat: Started(_spawn(seat, place)), versions


def _probed() -> dict[str, object]:
    try:
        tried = subprocess.run(
            [sys.executable, "-c", PROBE],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=PROBE_LIMIT_S,
            check=False,
        )
        found: dict[str, object] = json.loads(tried.stdout.strip().splitlines()[-1])
        return found
    except subprocess.TimeoutExpired:
        raise Unusable(f"Importing torch took more than {PROBE_LIMIT_S:g} s.") from None
    except (ValueError, IndexError):
        raise Unusable(f"torch and triton cannot be imported:\n{tried.stderr[-1500:]}") from None


def _spawn(seat: Seat, device: str) -> int:
    home = seat.folder / "home"
    home.mkdir()
    wire = seat.wire.fileno()
    report = seat.report.fileno() if seat.report is not None else -1
    environment = dict(os.environ)
    for name in ("HOME", "TMPDIR", "XDG_CACHE_HOME", "TRITON_CACHE_DIR", "TORCHINDUCTOR_CACHE_DIR"):
        environment[name] = str(home)
    environment["TORCHINDUCTOR_COMPILE_THREADS"] = "1"
    if device == "cpu":
        environment["TRITON_INTERPRET"] = "1"
    command = [sys.executable, "-m", "kernelllm_jupyter.verify.spawned", seat.role, device]
    child = subprocess.Popen(
        [*command, str(seat.folder), str(wire), str(report)],
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
