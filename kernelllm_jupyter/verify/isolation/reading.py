"""Which files a candidate may read: the system's and Python's, not the user's.

Landlock can only allow: the folders of the operating system, and what Python, torch and the
compilers are made of, wherever that is installed. A person's home is never among them as a whole.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path

if sys.platform != "win32":
    import pwd

__all__ = ["readable_paths"]

SYSTEM = ("usr", "etc", "bin", "sbin", "lib", "lib32", "lib64", "sys", "nix", "opt")
#: Where people, services and other programs keep what is theirs: never to be read as a whole.
PLACES = ("/", "/home", "/root", "/Users", "/tmp", "/var", "/run", "/mnt", "/media", "/srv", "/dev")
DEVICES = ("null", "zero", "full", "random", "urandom", "kfd", "dri")
NAMED_LIBRARIES = ("LD_LIBRARY_PATH", "CUDA_HOME", "CUDA_PATH", "ROCM_PATH", "TRITON_LIBCUDA_PATH")
PACKAGES = ("torch", "triton", "numpy")
COMPILERS = ("cc", "gcc", "clang", "ptxas", "ld")


def readable_paths() -> list[Path]:
    """Files and folders to read below; ``/proc`` is not among them."""
    hidden = {Path(place) for place in PLACES} | {_home()}
    wanted = {Path("/", name) for name in SYSTEM} | {Path(os.path.realpath(p)) for p in _wanted()}
    return sorted({found for path in wanted if path.exists() for found in _around(path, hidden)})


def _home() -> Path:
    try:
        return Path(pwd.getpwuid(os.getuid()).pw_dir).resolve()
    except KeyError:
        return Path("/root")


def _around(path: Path, hidden: set[Path]) -> Iterator[Path]:
    """``path`` itself, or what is beside the hidden folders where some lie in it."""
    if path in hidden:
        return
    if not any(path in place.parents for place in hidden):
        yield path
        return
    try:
        entries = [path / name for name in os.listdir(path)]
    except OSError:
        return
    for entry in entries:
        if not entry.is_symlink():
            yield from _around(entry, hidden)


def _wanted() -> Iterator[str | Path]:
    yield Path(__file__).parents[2]
    yield from (sys.prefix, sys.base_prefix, sys.exec_prefix, *sysconfig.get_paths().values())
    yield Path(os.path.realpath(sys.executable)).parent
    # Not every entry of sys.path: one may be the folder of a project that is being worked on.
    yield from (path for path in sys.path if path.endswith(("-packages", ".zip")))
    for name in PACKAGES:
        found = importlib.util.find_spec(name)
        if found is not None and found.origin:
            yield Path(found.origin).parent
    for name in NAMED_LIBRARIES:
        yield from (path for path in os.environ.get(name, "").split(os.pathsep) if path)
    for program in (*COMPILERS, os.environ.get("CC", ""), os.environ.get("TRITON_PTXAS_PATH", "")):
        where = shutil.which(program) if program else None
        if where:
            yield Path(os.path.realpath(where)).parents[1]
    yield from (Path("/dev", name) for name in DEVICES)
    yield from Path("/dev").glob("nvidia*")
    yield from Path("/run").glob("*-driver")
