"""Seccomp: system calls that no computation needs, refused to a process and its children.

The filter names what is refused and lets the rest through, so that a new C library or driver
keeps working. Raw system calls by ctypes; numbers for x86-64 and AArch64, none elsewhere.
See https://docs.kernel.org/userspace-api/seccomp_filter.html.
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import struct
from collections.abc import Iterable

__all__ = ["refuse"]

PR_SET_SECCOMP, PR_SET_NO_NEW_PRIVS = 22, 38
MODE_FILTER = 2
ALLOW, ERROR = 0x7FFF0000, 0x00050000
LOAD, EQUAL, AT_LEAST, ANY_BIT, RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
#: Where the filter finds the architecture, the call's number, and the low half of an argument.
ARCHITECTURE, NUMBER, ARGUMENTS = 4, 0, 16
#: Clone's flags for new namespaces.
NEW_NAMESPACES = 0x7E020000
#: Numbers from here on are x86-64's second table of the same calls.
X32 = 0x40000000

MACHINES = {"x86_64": (0, 0xC000003E), "aarch64": (1, 0xC00000B7)}
#: Other processes and their memory and descriptors; sockets of any kind (pairs are allowed);
#: memory and messages that outlive a process; namespaces and mounts; the system itself.
REFUSED = {
    "ptrace": (101, 117),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "process_madvise": (440, 440),
    "kcmp": (312, 272),
    "pidfd_getfd": (438, 438),
    "perf_event_open": (298, 241),
    "socket": (41, 198),
    "connect": (42, 203),
    "bind": (49, 200),
    "listen": (50, 201),
    "shmget": (29, 194),
    "semget": (64, 190),
    "msgget": (68, 186),
    "mq_open": (240, 180),
    "unshare": (272, 97),
    "setns": (308, 268),
    "mount": (165, 40),
    "umount2": (166, 39),
    "pivot_root": (155, 41),
    "chroot": (161, 51),
    "open_tree": (428, 428),
    "move_mount": (429, 429),
    "fsopen": (430, 430),
    "fsconfig": (431, 431),
    "fsmount": (432, 432),
    "fspick": (433, 433),
    "mount_setattr": (442, 442),
    "name_to_handle_at": (303, 264),
    "open_by_handle_at": (304, 265),
    "fanotify_init": (300, 262),
    "io_uring_setup": (425, 425),
    "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427),
    "bpf": (321, 280),
    "userfaultfd": (323, 282),
    "add_key": (248, 217),
    "request_key": (249, 218),
    "keyctl": (250, 219),
    "init_module": (175, 105),
    "finit_module": (313, 273),
    "delete_module": (176, 106),
    "kexec_load": (246, 104),
    "kexec_file_load": (320, 294),
    "reboot": (169, 142),
    "swapon": (167, 224),
    "swapoff": (168, 225),
    "acct": (163, 89),
    "quotactl": (179, 60),
    "syslog": (103, 116),
    "settimeofday": (164, 170),
    "clock_settime": (227, 112),
    "clock_adjtime": (305, 266),
    "adjtimex": (159, 171),
    "sethostname": (170, 161),
    "setdomainname": (171, 162),
}
CLONE, CLONE3 = (56, 220), (435, 435)
#: Calls that name another process, and which argument does: only the own one may be named.
NAMING = {
    "kill": ((62, 129), 0),
    "tgkill": ((234, 131), 0),
    "rt_sigqueueinfo": ((129, 138), 0),
    "rt_tgsigqueueinfo": ((297, 240), 0),
    "sched_setaffinity": ((203, 122), 0),
    "sched_setscheduler": ((144, 119), 0),
    "sched_setparam": ((142, 118), 0),
    "sched_setattr": ((314, 274), 0),
    "prlimit64": ((302, 261), 0),
    "migrate_pages": ((256, 238), 0),
    "move_pages": ((279, 239), 0),
}
#: Calls that name a thread, a descriptor or a user, which the filter cannot tell apart.
NAMING_OTHERWISE = {
    "tkill": (200, 130),
    "pidfd_send_signal": (424, 424),
    "setpriority": (141, 140),
    "ioprio_set": (251, 30),
}


class Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_char_p))


def refuse(*, others_visible: bool) -> bool:
    """Refuse the calls from now on; whether that worked.

    With ``others_visible`` processes of others have numbers here, and calls that name a process
    may name this one only.
    """
    machine = MACHINES.get(platform.machine())
    if machine is None:
        return False
    which, architecture = machine
    code = b"".join(_program(which, architecture, others_visible))
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    program = Program(len(code) // 8, code)
    return bool(libc.prctl(PR_SET_SECCOMP, MODE_FILTER, ctypes.byref(program), 0, 0) == 0)


def _program(which: int, architecture: int, others_visible: bool) -> Iterable[bytes]:
    yield _step(LOAD, ARCHITECTURE)
    yield _step(EQUAL, architecture, 1, 0)
    yield _error(errno.ENOSYS)
    yield _step(LOAD, NUMBER)
    yield _step(AT_LEAST, X32, 0, 1)
    yield _error(errno.ENOSYS)
    yield _step(EQUAL, CLONE3[which], 0, 1)
    # Its flags are in memory, where a filter cannot look; the C library falls back to clone.
    yield _error(errno.ENOSYS)
    for numbers in REFUSED.values():
        yield _step(EQUAL, numbers[which], 0, 1)
        yield _error(errno.EACCES)
    yield _step(EQUAL, CLONE[which], 0, 4)
    yield _step(LOAD, ARGUMENTS)
    yield _step(ANY_BIT, NEW_NAMESPACES, 0, 1)
    yield _error(errno.EPERM)
    yield _step(RETURN, ALLOW)
    if others_visible:
        for numbers in NAMING_OTHERWISE.values():
            yield _step(EQUAL, numbers[which], 0, 1)
            yield _error(errno.EPERM)
        for numbers, argument in NAMING.values():
            yield _step(EQUAL, numbers[which], 0, 5)
            yield _step(LOAD, ARGUMENTS + 8 * argument)
            yield _step(EQUAL, 0, 2, 0)
            yield _step(EQUAL, os.getpid(), 1, 0)
            yield _error(errno.EPERM)
            yield _step(RETURN, ALLOW)
    yield _step(RETURN, ALLOW)


def _step(code: int, value: int, if_true: int = 0, if_false: int = 0) -> bytes:
    return struct.pack("=HBBI", code, if_true, if_false, value)


def _error(number: int) -> bytes:
    return _step(RETURN, ERROR | number)
