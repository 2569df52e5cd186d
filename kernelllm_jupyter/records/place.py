"""Where records are kept, and whether that place can take SQLite's write-ahead log.

Looks only; makes no folder.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

__all__ = ["FILE_NAME", "data_folder", "is_switched_off", "on_network"]

FILE_NAME = "records.sqlite3"

#: File systems that several machines share. The write-ahead log needs memory that all its users
#: share, so there one machine's records would spoil another's (https://sqlite.org/wal.html).
NETWORK_TYPES = (
    "9p",
    "afs",
    "beegfs",
    "ceph",
    "cifs",
    "fuse.",
    "glusterfs",
    "gpfs",
    "lustre",
    "ncpfs",
    "nfs",
    "pvfs",
    "smb",
    "virtiofs",
)
OFF = frozenset({"0", "false", "no", "off"})


def data_folder() -> Path:
    """``KERNELLLM_DATA``, else the platform's folder for a user's data."""
    named = os.environ.get("KERNELLLM_DATA")
    if named:
        # Where this user has no home it stays as it is, which the store refuses in words.
        return Path(os.path.expanduser(named))
    from platformdirs import user_data_path

    try:
        return user_data_path("kernelllm", appauthor=False)
    except RuntimeError:  # The same: no home folder.
        return Path("~", ".local", "share", "kernelllm")


def is_switched_off() -> bool:
    """Whether ``KERNELLLM_RECORDS`` says that nothing is to be kept."""
    return os.environ.get("KERNELLLM_RECORDS", "").strip().lower() in OFF


def on_network(folder: Path, mounts: Path = Path("/proc/self/mounts")) -> bool:
    """Whether ``folder`` lies on a network file system, as far as Linux tells."""
    try:
        lines = mounts.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return False
    wanted = os.path.realpath(folder)
    best, found = -1, ""
    for line in lines:
        fields = line.split()
        if len(fields) < 3:
            continue
        # Blanks in a mount point are written as octal escapes.
        point = re.sub(r"\\([0-7]{3})", lambda octal: chr(int(octal[1], 8)), fields[1])
        inside = wanted == point or wanted.startswith(point.rstrip("/") + "/")
        if inside and len(point) >= best:
            best, found = len(point), fields[2]
    return found.startswith(NETWORK_TYPES)
