"""Which of a process's memory is put into large pages."""

from __future__ import annotations

from kernelllm_jupyter.verify.huge_pages import anonymous, collapse

MAPS = """\
5555555a0000-555555dc1000 rw-p 00000000 00:00 0                          [heap]
7f0000000000-7f0000400000 rw-p 00000000 00:00 0
7f0000500000-7f00006ff000 rw-p 00000000 00:00 0
7f1000000000-7f1000400000 r--p 00000000 00:00 0
7f2000000000-7f2000400000 rw-s 00000000 00:05 17                         /memfd:x (deleted)
7f3000000000-7f3000400000 rw-p 00000000 08:01 99                         /usr/lib/with a space.so
7ffc00000000-7ffc00400000 rw-p 00000000 00:00 0                          [stack]
"""


def test_only_whole_pages_of_private_memory_are_taken() -> None:
    two_mb = 2 << 20
    assert list(anonymous(MAPS)) == [
        (0x555555600000, 3 * two_mb),
        (0x7F0000000000, 2 * two_mb),
    ]


def test_what_memory_holds_stays_as_it_is() -> None:
    held = bytearray(range(256)) * (1 << 15)
    collapse()
    assert held == bytearray(range(256)) * (1 << 15)
