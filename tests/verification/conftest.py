"""Checks of the corpus run two at a time: the next test's begins with the one before."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import pytest
from entries import Entry
from run import Outcome, judged

AT_A_TIME = 2


class Bench:
    """The checks that were begun, by label."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(AT_A_TIME)
        self._begun: dict[str, Future[Outcome]] = {}

    def begin(self, entry: Entry) -> Future[Outcome]:
        if entry.label not in self._begun:
            self._begun[entry.label] = self._pool.submit(judged, entry)
        return self._begun[entry.label]


BENCH = pytest.StashKey[Bench]()


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_protocol(item: pytest.Item, nextitem: pytest.Item | None) -> Iterator[None]:
    bench = item.session.stash.setdefault(BENCH, Bench())
    for test in (item, nextitem):
        entry = getattr(test, "callspec", None) and test.callspec.params.get("entry")
        if isinstance(entry, Entry):
            bench.begin(entry)
    yield


@pytest.fixture
def outcome(request: pytest.FixtureRequest, entry: Entry) -> Outcome:
    """What the checker says of the test's ``entry``."""
    return request.session.stash[BENCH].begin(entry).result()
