"""What a child gives up before it runs generated code. Linux only; every layer is optional.

:func:`isolate` is called once in the server, before it imports anything heavy, and covers all its
children; :func:`confine` is called in each child. Both return the names of the layers that are
now active, which end up in ``Verdict.sandbox``.
"""

from __future__ import annotations

import ctypes
import os
import signal
import site
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from kernelllm_jupyter.verify.isolation.crowd import PROCESS_LIMIT
from kernelllm_jupyter.verify.isolation.landlock import restrict
from kernelllm_jupyter.verify.isolation.namespaces import (
    Namespaces,
    cut_network,
    drop_capabilities,
    enter,
)
from kernelllm_jupyter.verify.isolation.reading import readable_paths
from kernelllm_jupyter.verify.isolation.seccomp import refuse

if sys.platform != "win32":
    import resource

__all__ = [
    "adopt_orphans",
    "available_memory_mb",
    "confine_candidate",
    "confine_referee",
    "confine_spawned",
    "die_with_parent",
    "isolate",
    "limit_memory",
    "scrubbed_environment",
    "try_confinement",
]

PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36
#: One file that generated code writes may not grow beyond this.
FILE_LIMIT = 4 << 30
DESCRIPTOR_LIMIT = 1024

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
        # With the home gone, packages that were installed with `pip install --user` would be too.
        "PYTHONUSERBASE": site.getuserbase(),
    }


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def isolate() -> tuple[Namespaces, list[str]]:
    """Cut the network off for this process and all its children, and adopt their orphans.

    The rest of the program may run in a child of this process (see :func:`namespaces.enter`).
    """
    spaces = enter()
    layers = adopt_orphans()
    if spaces.network:
        layers.append("no network")
    return spaces, layers


def adopt_orphans() -> list[str]:
    """Become the parent of descendants whose own parent dies, so that they can be found."""
    layers = ["scrubbed environment", "empty home", "no standard input", "bounded output"]
    if _libc().prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == 0:
        layers.append("orphans adopted")
    return layers


def die_with_parent() -> None:
    """End this process when the process that made it ends."""
    _libc().prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


def confine_referee(folder: Path) -> None:
    """Keep the user's own module from harm by accident: it reads all, and writes in ``folder``."""
    restrict(folder)
    _set_limits()


def confine_candidate(
    folder: Path, spaces: Namespaces, readable: Sequence[Path] | None
) -> list[str]:
    """Take from this process, in which generated code will run, all that it can do without.

    It may write below ``folder`` only, and read below ``readable``: anything, where that is None.
    Returns the names of the layers that are active now.
    """
    layers = []
    if spaces.processes:
        spaces.settle(folder)
        layers += ["no other processes in sight", "read-only file system"]
    os.chdir(folder / "home")
    if readable is None:
        layers += restrict(folder)
    else:
        seen = [*readable, Path("/proc")] if spaces.processes else [*readable, *_own_proc()]
        found = restrict(folder, seen)
        layers += [*found, "no reading of private files"] if found else []
    layers += _set_limits()
    if spaces.processes:
        # In a user namespace of its own the system counts this check's processes only.
        resource.setrlimit(resource.RLIMIT_NPROC, (PROCESS_LIMIT, PROCESS_LIMIT))
        layers.append("process limit")
    drop_capabilities()
    if refuse(others_visible=not spaces.processes):
        layers += ["no sockets", "no system calls but for computing"]
        if "no signals to other processes" not in layers:
            layers.append("no signals to other processes")
    return layers


def confine_spawned(role: str, folder: Path) -> list[str]:
    """The same for a process of its own that will use a GPU: what CUDA can live with.

    Called before torch is imported, while there is one thread.
    """
    devices = [path for name in ("nvidia*", "dri", "kfd") for path in Path("/dev").glob(name)]
    # CUDA writes the names of its threads there.
    devices.append(Path("/proc/self/task"))
    if role == "referee":
        return restrict(folder, writable=devices)
    layers = ["no network"] if cut_network() else []
    found = restrict(folder, [*readable_paths(), *_own_proc()], devices)
    layers += [*found, "no reading of private files"] if found else []
    layers += _set_limits(files=False)
    drop_capabilities()
    if refuse(others_visible=True):
        layers += ["no sockets", "no system calls but for computing"]
        if "no signals to other processes" not in layers:
            layers.append("no signals to other processes")
    return layers


def _own_proc() -> list[Path]:
    """What a process may see of ``/proc`` where other processes are in it too."""
    names = [name for name in os.listdir("/proc") if not name.isdigit()]
    return [Path("/proc", name) for name in names]


def _set_limits(*, files: bool = True) -> list[str]:
    layers = []
    for limit, value, name in (
        (resource.RLIMIT_CORE, 0, ""),
        # Messages are files too, and as large as the tensors of a GPU.
        *([(resource.RLIMIT_FSIZE, FILE_LIMIT, "file size limit")] if files else []),
        (resource.RLIMIT_NOFILE, DESCRIPTOR_LIMIT, "descriptor limit"),
    ):
        try:
            hard = resource.getrlimit(limit)[1]
            bound = value if hard == resource.RLIM_INFINITY else min(value, hard)
            resource.setrlimit(limit, (bound, bound))
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


def try_confinement(
    spaces: Namespaces, readable: Sequence[Path] | None, need: Callable[[], None]
) -> list[str]:
    """The layers that a candidate will have, learnt from a child that tries them.

    Empty where something that it must be able to do, ``need``, failed in that child.
    """
    reading, writing = os.pipe()
    with tempfile.TemporaryDirectory() as name, spaces.new_processes() as keeper:
        folder = Path(name)
        (folder / "home").mkdir()
        pid = os.fork()
        if pid == 0:
            try:
                active = confine_candidate(folder, spaces, readable)
                need()
                (folder / "home" / "file").write_text("written")
                os.write(writing, "\n".join(active).encode())
            finally:
                os._exit(0)
        os.close(writing)
        with open(reading, "rb") as pipe:
            text = pipe.read(1 << 12).decode()
        os.waitpid(pid, 0)
        if keeper is not None:
            os.kill(keeper, signal.SIGKILL)
            os.waitpid(keeper, 0)
    return text.split("\n") if text else []
