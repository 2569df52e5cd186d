"""The layers around a candidate on this machine, and how to get those that are missing.

For people who look before they run (``kernelllm doctor``); what a check really had is in its
verdict. Imports no torch.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from kernelllm_jupyter.verify.isolation.sandbox import scrubbed_environment

__all__ = ["active_layers", "how_to_get"]

BY_NAMESPACES = ("no network", "no other processes in sight", "read-only file system")
BY_LANDLOCK = ("no writing outside its folder", "no reading of private files")
BY_SECCOMP = ("no sockets",)

PROGRAM = """
from kernelllm_jupyter.verify.isolation.reading import readable_paths
from kernelllm_jupyter.verify.isolation.sandbox import isolate, try_confinement
spaces, active = isolate()
print("\\n".join([*active, *try_confinement(spaces, readable_paths(), lambda: None)]))
"""


def active_layers() -> list[str]:
    """The layers that a candidate gets here, tried out in a process."""
    root = Path(__file__).parents[3]
    tried = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        env=scrubbed_environment(root, root),
        stdin=subprocess.DEVNULL,
        cwd=root,  # `-c` puts the current folder first on the import path; it may hold a random.py.
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return tried.stdout.split("\n")[:-1] if tried.returncode == 0 else []


def how_to_get(active: Sequence[str]) -> list[str]:
    """What is missing on this machine, each with its remedy."""
    missing = []
    for names, remedy in (
        (BY_NAMESPACES, _namespaces()),
        (BY_LANDLOCK, "needs Linux 5.13 with landlock among `lsm=` of the boot parameters"),
        (BY_SECCOMP, "needs seccomp, on x86-64 or AArch64"),
    ):
        absent = [name for name in names if name not in active]
        if absent:
            missing.append(f"{', '.join(absent)}: {remedy}")
    return missing


def _namespaces() -> str:
    for name, refused, wanted in (
        ("user.max_user_namespaces", "0", "10000"),
        ("kernel.unprivileged_userns_clone", "0", "1"),
        ("kernel.apparmor_restrict_unprivileged_userns", "1", "0"),
    ):
        try:
            if Path("/proc/sys", *name.split(".")).read_text().strip() == refused:
                return f"needs user namespaces: sudo sysctl {name}={wanted}"
        except OSError:
            continue
    if Path("/.dockerenv").exists() or Path("/run/.containerenv").exists():
        return (
            "needs user namespaces in this container: docker run --security-opt "
            "seccomp=unconfined --security-opt systempaths=unconfined, or a profile that allows "
            "unshare, setns and mount"
        )
    return "needs user namespaces and Linux 5.12"
