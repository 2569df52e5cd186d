"""The panel's buttons act in the background, and Stop ends what they began."""

from __future__ import annotations

import threading

import pytest

from kernelllm_jupyter.notebook.recheck import Recheck
from kernelllm_jupyter.options import Request
from kernelllm_jupyter.problem import parse_problem
from kernelllm_jupyter.report import Report
from kernelllm_jupyter.values import Verdict

HUNG = """\
import torch
class ModelNew(torch.nn.Module):
    def forward(self, x):
        while True:
            pass
"""


class Seen:
    """A view that keeps what it is shown."""

    def __init__(self) -> None:
        self.running = threading.Event()
        self.background: set[bool] = set()

    def open(self, report: Report) -> None:
        return None

    def show(self, report: Report) -> None:
        self.background.add(report.background)
        if "Checking 1 of" in report.message:
            self.running.set()

    def settle(self, report: Report) -> None:
        return None

    def retire(self) -> None:
        return None


def test_stop_ends_a_check_in_the_background_and_leaves_the_verdict(small_module: str) -> None:
    settled: list[Report] = []
    ended = threading.Event()

    def settle(report: Report) -> None:
        settled.append(report)
        ended.set()

    request = Request(model="starter", timeout_s=600.0)
    recheck = Recheck(parse_problem(small_module), request, None, settle)
    view = recheck.view = Seen()
    before = Report("done", "starter", code=HUNG, verdict=Verdict("timeout"))
    recheck.report = before
    recheck.check()
    assert view.running.wait(120)
    recheck.check()  # One at a time: this one is dropped.
    recheck.stop()
    assert ended.wait(60)
    [report] = settled
    assert report.stage == "stopped"
    assert report.message == "Stopped; what is shown is from before."
    assert report.verdict == before.verdict
    assert view.background == {True}
    # And it can be begun again.
    ended.clear()
    view.running.clear()
    while not view.running.wait(0.5):
        recheck.check()
    recheck.stop()
    assert ended.wait(60)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_fault_of_ours_ends_what_the_panel_waits_for(small_module: str) -> None:
    class Full:
        """A record on a disk that does what it should not."""

        def verdict(self, code: str, verdict: Verdict) -> None:
            raise OSError("no such disk")

    ended = threading.Event()
    settled: list[Report] = []

    def settle(report: Report) -> None:
        settled.append(report)
        ended.set()

    recheck = Recheck(parse_problem(small_module), Request(), None, settle)
    recheck.report = Report("done", "starter", code="x = 1", verdict=Verdict("timeout"))
    recheck.recording = Full()  # type: ignore[assignment]
    recheck.check()
    assert ended.wait(60)
    [report] = settled
    assert (report.stage, report.message) == ("failed", "OSError: no such disk")
    assert report.verdict == Verdict("timeout")
