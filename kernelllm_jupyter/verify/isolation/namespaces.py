"""Namespaces of Linux: no network, a process list of one's own, and a file system to read only.

Raw system calls by ctypes, without a dependency and without privileges: everything happens in a
new user namespace, which some systems and most containers refuse. :func:`enter` is for the
server, the rest for the children that it forks. Knows nothing of checks.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path

__all__ = ["Namespaces", "cut_network", "drop_capabilities", "enter", "try_out"]

NEWNS, NEWIPC, NEWUSER, NEWPID, NEWNET = 0x20000, 0x8000000, 0x10000000, 0x20000000, 0x40000000
MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_BIND, MS_REC, MS_PRIVATE = 2, 4, 8, 0x1000, 0x4000, 0x40000
MOUNT_SETATTR, AT_FDCWD, AT_RECURSIVE = 442, -100, 0x8000
MOUNT_READ_ONLY = 1
PR_CAPBSET_DROP, PR_SET_PDEATHSIG = 24, 1
CAPABILITY_VERSION_3 = 0x20080522
#: The smallest number of processes in a namespace that the system (6.14 or newer) lets us set.
#: It bounds even root, whom RLIMIT_NPROC does not.
PROCESS_IDS = 301


@cache
def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


class MountAttributes(ctypes.Structure):
    _fields_ = tuple((name, ctypes.c_uint64) for name in ("set", "clear", "propagation", "user"))


class Namespaces:
    """What the server's process could enter: ``network`` cut off, ``processes`` to be had."""

    def __init__(self, *, network: bool, processes: bool):
        self.network, self.processes = network, processes

    @contextmanager
    def new_processes(self) -> Iterator[int | None]:
        """What is forked inside gets a process list of its own; the pid of its first process.

        That process only waits. When it is killed, the system kills all of the others, however
        many and whatever session they moved to.
        """
        if not self.processes:
            yield None
            return
        own = os.open("/proc/self/ns/pid", os.O_RDONLY | os.O_CLOEXEC)
        try:
            _unshare(NEWPID)
            yield _keeper()
        finally:
            _check(_libc().setns(own, NEWPID))
            os.close(own)

    def settle(self, folder: Path) -> None:
        """In a child forked in :meth:`new_processes`: its own view, to write in ``folder`` only.

        A second user namespace takes away what the first one gave.
        """
        user, group = os.getuid(), os.getgid()
        _unshare(NEWNS)
        place = os.fsencode(folder)
        _check(_libc().mount(place, place, None, MS_BIND, None))
        _set_mount(b"/", AT_RECURSIVE, MountAttributes(set=MOUNT_READ_ONLY))
        _set_mount(place, 0, MountAttributes(clear=MOUNT_READ_ONLY))
        _mount_proc()
        with suppress(OSError):
            Path("/proc/sys/kernel/pid_max").write_text(str(PROCESS_IDS))
        _unshare(NEWUSER)
        _map(user, group)


def enter() -> Namespaces:
    """Move this process, which must have one thread, into namespaces; call it once.

    Where a process list of its own can be had, the rest of the program runs in a child, and this
    process only waits for it; they end together.
    """
    if try_out(_tour):
        _enter(NEWUSER | NEWNET | NEWIPC | NEWNS | NEWPID)
        child = os.fork()
        if child:
            _wait_for(child)
        _libc().prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        _check(_libc().mount(b"none", b"/", None, MS_REC | MS_PRIVATE, None))
        _mount_proc()
        return Namespaces(network=True, processes=True)
    return Namespaces(network=cut_network(), processes=False)


def cut_network() -> bool:
    """Leave this process, which must have one thread, without network; whether that worked."""
    for flags in (NEWUSER | NEWNET | NEWIPC, NEWNET):
        if try_out(lambda flags=flags: _enter(flags)):  # type: ignore[misc]
            _enter(flags)
            return True
    return False


def try_out(attempt: Callable[[], None]) -> bool:
    """Whether ``attempt`` succeeds in a forked child, which then ends."""
    child = os.fork()
    if child == 0:
        status = 1
        try:
            attempt()
            status = 0
        except OSError:
            pass
        finally:
            os._exit(status)
    return os.waitpid(child, 0)[1] == 0


def _tour() -> None:
    """All that :func:`enter` and its children will do, to see whether the system lets them."""
    _enter(NEWUSER | NEWNET | NEWIPC | NEWNS | NEWPID)

    def first() -> None:
        _check(_libc().mount(b"none", b"/", None, MS_REC | MS_PRIVATE, None))
        _mount_proc()
        spaces = Namespaces(network=True, processes=True)
        with spaces.new_processes() as keeper:
            settled = try_out(lambda: spaces.settle(Path.cwd()))
        assert keeper is not None
        os.kill(keeper, signal.SIGKILL)
        os.waitpid(keeper, 0)
        if not settled:
            raise OSError("the second user namespace is refused")

    if not try_out(first):
        raise OSError("a process list of its own is refused")


def drop_capabilities() -> None:
    """Give up every privilege over this process's namespaces, for good."""
    for number in range(64):
        _libc().prctl(PR_CAPBSET_DROP, number, 0, 0, 0)
    header = (ctypes.c_uint32 * 2)(CAPABILITY_VERSION_3, 0)
    _libc().capset(header, (ctypes.c_uint32 * 6)())


def _enter(flags: int) -> None:
    user, group = os.getuid(), os.getgid()
    _unshare(flags)
    if flags & NEWUSER:
        _map(user, group)


def _map(user: int, group: int) -> None:
    Path("/proc/self/setgroups").write_text("deny")
    Path("/proc/self/uid_map").write_text(f"{user} {user} 1")
    Path("/proc/self/gid_map").write_text(f"{group} {group} 1")


def _mount_proc() -> None:
    flags = MS_NOSUID | MS_NODEV | MS_NOEXEC
    _check(_libc().mount(b"proc", b"/proc", b"proc", flags, None))


def _set_mount(place: bytes, flags: int, wanted: MountAttributes) -> None:
    size = ctypes.sizeof(wanted)
    _check(_libc().syscall(MOUNT_SETATTR, AT_FDCWD, place, flags, ctypes.byref(wanted), size))


def _keeper() -> int:
    """Start the first process of a process list, which only waits to be killed.

    A small program, because a fork of this process copies the tables of all of torch's memory:
    0.7 ms instead of 5, and as much less at its end.
    """
    program = shutil.which("sleep")
    if program is not None:
        nothing = [(os.POSIX_SPAWN_OPEN, number, os.devnull, os.O_RDWR, 0) for number in range(3)]
        return os.posix_spawn(program, ["sleep", "1000000000"], {}, file_actions=nothing)
    pid = os.fork()
    if pid == 0:
        _keep()
    return pid


def _keep() -> None:
    try:
        os.setsid()
        _libc().prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        os.closerange(0, 1 << 16)
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)
        while True:
            signal.pause()
    finally:
        os._exit(1)


def _wait_for(child: int) -> None:
    # The server must see its caller's socket close, and the caller the server's: hold neither.
    os.closerange(3, 1 << 16)
    status = os.waitpid(child, 0)[1]
    sys.stdout.flush()
    os._exit(os.waitstatus_to_exitcode(status) & 0xFF)


def _unshare(flags: int) -> None:
    _check(_libc().unshare(flags))


def _check(result: int) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
