"""Where model processes are found: a private folder with a socket, a lock and a log for each.

The lock is held by a model process for as long as it lives, by whatever way it ends, and names it.
Only the owner of the folder may enter it; what another user could have put there is refused.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
import sys
import tempfile
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kernelllm_jupyter.errors import EngineError

if sys.platform != "win32":  # Where it is, no model process runs.
    import fcntl

__all__ = [
    "ServerFiles",
    "all_files",
    "bound_log",
    "file_identity",
    "holder",
    "log_tail",
    "private_folder",
    "server_files",
]

#: sockaddr_un holds 108 bytes with its final zero on Linux, 104 on macOS.
MAX_SOCKET_PATH = 103
LOG_TAIL_LINES = 12
MAX_LOG_BYTES = 1_000_000


@dataclass(frozen=True)
class ServerFiles:
    """The files of one model process."""

    folder: Path
    key: str

    @property
    def socket(self) -> Path:
        return self.folder / f"{self.key}.sock"

    @property
    def lock(self) -> Path:
        return self.folder / f"{self.key}.lock"

    @property
    def log(self) -> Path:
        return self.folder / f"{self.key}.log"

    def take_lock(self) -> int | None:
        """The lock's descriptor, or None where another process holds it."""
        fd = os.open(self.lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(fd)
            return None
        except BaseException:
            os.close(fd)
            raise
        return fd


def server_files(folder: Path | None, *identity: str) -> ServerFiles:
    """The files of the process that serves ``identity`` (model, device, dtype, …).

    The interpreter belongs to it: another environment has another torch.
    """
    text = "\0".join((sys.prefix, *identity))
    return ServerFiles(private_folder(folder), hashlib.sha256(text.encode()).hexdigest()[:12])


def all_files(folder: Path | None) -> Iterator[ServerFiles]:
    """The files of every model process that was ever started from this folder."""
    try:
        place = private_folder(folder, create=False)
    except FileNotFoundError:
        return
    for lock in sorted(place.glob("*.lock")):
        yield ServerFiles(place, lock.stem)


def holder(files: ServerFiles) -> dict[str, Any] | None:
    """What the living model process wrote about itself, or None where none is alive."""
    try:
        fd = os.open(files.lock, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except FileNotFoundError:
        return None
    try:
        try:
            fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return _written(os.read(fd, 4096))
        files.socket.unlink(missing_ok=True)
        return None
    finally:
        os.close(fd)


def _written(content: bytes) -> dict[str, Any]:
    try:
        found = json.loads(content)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def log_tail(files: ServerFiles) -> str:
    """The last lines that the model process printed, or nothing."""
    try:
        with open(files.log, "rb") as log:
            log.seek(0, os.SEEK_END)
            log.seek(max(0, log.tell() - 4096))
            lines = log.read().decode("utf-8", "replace").splitlines()
    except OSError:
        return ""
    return "\n".join(line for line in lines[-LOG_TAIL_LINES:] if line.strip())


def bound_log() -> None:
    """Empty this process's log when it has grown too long: standard output, opened to append."""
    status = os.fstat(1)
    if stat.S_ISREG(status.st_mode) and status.st_size > MAX_LOG_BYTES:
        os.ftruncate(1, 0)


def file_identity(path: Path) -> tuple[int, int] | None:
    """What tells a file from another one that took its name; None where there is none."""
    try:
        found = os.lstat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino


def private_folder(folder: Path | None = None, *, create: bool = True) -> Path:
    """The folder, made with mode 0700 if need be; raises ``EngineError`` where it is not private.

    Without ``folder``: one in the user's runtime directory, else in the temporary directory.
    """
    candidates = [folder] if folder else [_user_runtime(), _temporary()]
    for place in candidates:
        if len(os.fsencode(place)) + len("/012345678901.sock") > MAX_SOCKET_PATH:
            continue
        if create:
            try:
                place.mkdir(mode=0o700, parents=True, exist_ok=True)
            except OSError:
                if place is candidates[-1]:
                    raise
                continue
        elif not place.exists():
            continue
        _refuse_foreign(place)
        return place
    if not create:
        raise FileNotFoundError(candidates[-1])
    raise EngineError(
        f"The path of the runtime folder is too long for a socket: {candidates[-1]}. "
        "Set XDG_RUNTIME_DIR (or TMPDIR) to a short path of your own."
    )


def _user_runtime() -> Path:
    from platformdirs import user_runtime_path

    with warnings.catch_warnings():
        # It warns where XDG_RUNTIME_DIR is not set, as in most containers: its stand-in will do,
        # since the folder's owner and mode are checked in any case.
        warnings.simplefilter("ignore")
        return user_runtime_path("kernelllm-jupyter", appauthor=False)


def _temporary() -> Path:
    return Path(tempfile.gettempdir()) / f"kernelllm-jupyter-{os.getuid()}"


def _refuse_foreign(place: Path) -> None:
    """Refuse a folder that another user owns, may enter, or could put another in place of."""
    found = os.lstat(place)
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid():
        raise EngineError(
            f"{place} is not a folder of yours, so no model process can be trusted there. "
            "Remove it, or set XDG_RUNTIME_DIR to a folder of your own."
        )
    if stat.S_IMODE(found.st_mode) & 0o077:
        raise EngineError(f"Other users may enter {place}; it must be private: chmod 700 {place}")
    parent = os.stat(place.parent)
    shared = parent.st_mode & 0o022 and not parent.st_mode & stat.S_ISVTX
    if shared or parent.st_uid not in (0, os.getuid()):
        raise EngineError(
            f"Other users may replace {place}: its parent folder is writable by them. "
            "Set XDG_RUNTIME_DIR to a folder of your own."
        )
