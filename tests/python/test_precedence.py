"""A measurement has its device alone; checks share it."""

from __future__ import annotations

import threading

import pytest

from kernelllm_jupyter.verify.precedence import Precedence

BOUND_S = 20.0


class Stopped(Exception):
    pass


class User:
    """Uses it in a thread of its own, from when it can until it is told to end."""

    def __init__(self, precedence: Precedence, *, alone: bool):
        self.waited, self.has_it, self.ends = (threading.Event() for _ in range(3))
        self._precedence, self._alone = precedence, alone
        self.thread = threading.Thread(target=self._use, daemon=True)
        self.thread.start()

    def _use(self) -> None:
        with self._precedence.use(alone=self._alone, waiting=self.waited.set):
            self.has_it.set()
            assert self.ends.wait(BOUND_S)

    def end(self) -> None:
        self.ends.set()
        self.thread.join(BOUND_S)


def test_checks_share_and_a_measurement_waits_for_them_and_they_for_it() -> None:
    precedence = Precedence()
    checks = [User(precedence, alone=False) for _ in range(2)]
    assert all(check.has_it.wait(BOUND_S) for check in checks)
    measurement = User(precedence, alone=True)
    assert measurement.waited.wait(BOUND_S)
    late = User(precedence, alone=False)
    assert late.waited.wait(BOUND_S), "who wants it alone goes first"
    checks[0].end()
    assert not measurement.has_it.is_set()
    checks[1].end()
    assert measurement.has_it.wait(BOUND_S)
    assert not late.has_it.is_set()
    measurement.end()
    assert late.has_it.wait(BOUND_S)
    late.end()


def test_who_gives_up_waiting_holds_nobody_up() -> None:
    precedence = Precedence()
    check = User(precedence, alone=False)
    assert check.has_it.wait(BOUND_S)

    def stop() -> None:
        raise Stopped

    with pytest.raises(Stopped), precedence.use(alone=True, waiting=stop):
        pass
    other = User(precedence, alone=False)
    assert other.has_it.wait(BOUND_S)
    check.end()
    other.end()
    with precedence.use(alone=True, waiting=stop):
        pass
