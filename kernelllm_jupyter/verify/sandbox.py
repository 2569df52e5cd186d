"""What a child gives up before it runs generated code. Linux only; every layer is optional.

:func:`isolate` is called once in the server, before it imports anything heavy, and covers all its
children; :func:`confine` is called in each child. Both return the names of the layers that are
now active, which end up in ``Verdict.sandbox``.
"""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import subprocess
import sys
from pathlib import Path

from kernelllm_jupyter.verify.landlock import restrict

__all__ = [
    "adopt_orphans",
    "available_memory_mb",
    "confine",
    "die_with_parent",
    "isolate",
    "layers",
    "limit_memory",
    "scrubbed_environment",
]

PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36
CLONE_NEWUSER = 0x10000000
CLONE_NEWNET = 0x40000000
#: One file that generated code writes may not grow beyond this.
FILE_LIMIT = 1 << 30

#: Variables that a worker needs; everything else (tokens, keys) stays behind.
KEPT_VARIABLES = (
    "PATH",
    "LANG",
    "LC_ALL",
    "LC_CTYPE",
    "LD_LIBRARY_PATH",
    "SYSTEMROOT",
    "CUDA_HOME",
    "CUDA_PATH",
    "CUDA_VISIBLE_DEVICES",
    "CUDA_DEVICE_ORDER",
    "NVIDIA_VISIBLE_DEVICES",
    "HIP_VISIBLE_DEVICES",
    "ROCR_VISIBLE_DEVICES",
    "ROCM_PATH",
    "TRITON_LIBCUDA_PATH",
    "TRITON_PTXAS_PATH",
    "CC",
)


def scrubbed_environment(package_root: Path, home: Path) -> dict[str, str]:
    """The environment of a worker: no tokens, an empty home, one thread per process."""
    kept = {name: os.environ[name] for name in KEPT_VARIABLES if name in os.environ}
    return {
        **kept,
        "HOME": str(home),
        "TMPDIR": str(home),
        "XDG_CACHE_HOME": str(home),
        "PYTHONPATH": str(package_root),
        "PYTHONSAFEPATH": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONUNBUFFERED": "1",
        "OMP_NUM_THREADS": "1",
        "MKL_NUM_THREADS": "1",
        "TOKENIZERS_PARALLELISM": "false",
    }


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def isolate() -> list[str]:
    """Cut the network off for this process and all its children, and adopt their orphans."""
    layers = adopt_orphans()
    libc = _libc()
    user, group = os.getuid(), os.getgid()
    if libc.unshare(CLONE_NEWUSER | CLONE_NEWNET) == 0:
        try:
            Path("/proc/self/setgroups").write_text("deny")
            Path("/proc/self/uid_map").write_text(f"{user} {user} 1")
            Path("/proc/self/gid_map").write_text(f"{group} {group} 1")
        except OSError:
            pass
        layers.append("no network")
    return layers


def adopt_orphans() -> list[str]:
    """Become the parent of descendants whose own parent dies, so that they can be found."""
    layers = ["scrubbed environment", "empty home", "no standard input", "bounded output"]
    if _libc().prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == 0:
        layers.append("orphans adopted")
    return layers


def die_with_parent() -> None:
    """End this process when the process that made it ends."""
    _libc().prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


def confine(folder: Path) -> list[str]:
    """Limits of one child, which may write below ``folder`` only: files, core dumps, signals."""
    layers = restrict(folder)
    for limit, value, name in (
        (resource.RLIMIT_CORE, 0, ""),
        (resource.RLIMIT_FSIZE, FILE_LIMIT, "file size limit"),
    ):
        try:
            resource.setrlimit(limit, (value, value))
        except (OSError, ValueError):
            continue
        if name:
            layers.append(name)
    return layers


def limit_memory(memory_mb: int) -> None:
    """Let this process's address space grow by ``memory_mb`` at most (never with CUDA)."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * resource.getpagesize() + (memory_mb << 20)
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    if hard not in (-1, resource.RLIM_INFINITY):
        limit = min(limit, hard)
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


def available_memory_mb() -> int:
    """Memory that could be used now, or 4096 where the system does not say."""
    try:
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) >> 10
    except OSError:
        pass
    return 4096


def layers() -> list[str]:
    """The layers that a worker's processes get on this machine, tried out in a process."""
    program = (
        "from pathlib import Path;"
        "from kernelllm_jupyter.verify.sandbox import confine, isolate;"
        "print('\\n'.join([*isolate(), *confine(Path('/nonexistent'))]))"
    )
    root = Path(__file__).parents[2]
    tried = subprocess.run(
        [sys.executable, "-c", program],
        env=scrubbed_environment(root, root),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return tried.stdout.split("\n")[:-1] if tried.returncode == 0 else []
