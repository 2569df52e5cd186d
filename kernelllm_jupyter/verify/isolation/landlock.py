"""Landlock: a process gives up files outside its folder, TCP, and signals to other processes.

Raw system calls by ctypes, since there is no Python binding to depend on. Kernels before 5.13 have
no Landlock; TCP came with ABI 4 and signals with ABI 6. Each part is used where it is there.
See https://docs.kernel.org/userspace-api/landlock.html.
"""

from __future__ import annotations

import ctypes
import os
import stat
from collections.abc import Iterable
from pathlib import Path

__all__ = ["restrict"]

CREATE_RULESET, ADD_RULE, RESTRICT_SELF = 444, 445, 446
VERSION_FLAG = 1
RULE_PATH_BENEATH = 1
PR_SET_NO_NEW_PRIVS = 38

EXECUTE, WRITE_FILE, READ_FILE, READ_DIR = 1, 2, 4, 8
#: All rights over files that each ABI knows: 13 of them, then refer, truncate and ioctl.
FIRST_RIGHTS = (1 << 13) - 1
REFER, TRUNCATE = 1 << 13, 1 << 14
BIND_TCP_AND_CONNECT_TCP = 3
SCOPE_SOCKETS_AND_SIGNALS = 3


class Ruleset(ctypes.Structure):
    _fields_ = (
        ("files", ctypes.c_uint64),
        ("network", ctypes.c_uint64),
        ("scoped", ctypes.c_uint64),
    )


class PathBeneath(ctypes.Structure):
    _pack_ = 1
    _layout_ = "ms"
    _fields_ = (("allowed", ctypes.c_uint64), ("parent", ctypes.c_int32))


def restrict(
    folder: Path, readable: Iterable[Path] = (Path("/"),), writable: Iterable[Path] = ()
) -> list[str]:
    """Restrict this process and its future children; the names of the layers now active.

    It may read what is below ``readable``, write to existing files below ``writable``, and do
    what it likes below ``folder``.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    abi = libc.syscall(CREATE_RULESET, None, 0, VERSION_FLAG)
    if abi < 1:
        return []
    rights = FIRST_RIGHTS | (REFER if abi >= 2 else 0) | (TRUNCATE if abi >= 3 else 0)
    rules = Ruleset(
        rights,
        BIND_TCP_AND_CONNECT_TCP if abi >= 4 else 0,
        SCOPE_SOCKETS_AND_SIGNALS if abi >= 6 else 0,
    )
    ruleset = libc.syscall(CREATE_RULESET, ctypes.byref(rules), ctypes.sizeof(rules), 0)
    if ruleset < 0:
        return []
    try:
        reading = EXECUTE | READ_FILE | READ_DIR
        writing = reading | WRITE_FILE | (TRUNCATE if abi >= 3 else 0)
        for path in readable:
            _allow(libc, ruleset, path, reading)
        for path in (*writable, Path("/dev/null")):
            _allow(libc, ruleset, path, writing)
        _allow(libc, ruleset, folder, rights)
        libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
        if libc.syscall(RESTRICT_SELF, ruleset, 0) != 0:
            return []
    finally:
        os.close(ruleset)
    active = ["no writing outside its folder"]
    if abi >= 4:
        active.append("no TCP")
    if abi >= 6:
        active.append("no signals to other processes")
    return active


def _allow(libc: ctypes.CDLL, ruleset: int, path: Path, allowed: int) -> None:
    try:
        descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return
    try:
        if not stat.S_ISDIR(os.fstat(descriptor).st_mode):
            allowed &= EXECUTE | READ_FILE | WRITE_FILE | TRUNCATE
        rule = PathBeneath(allowed, descriptor)
        libc.syscall(ADD_RULE, ruleset, RULE_PATH_BENEATH, ctypes.byref(rule), 0)
    finally:
        os.close(descriptor)
