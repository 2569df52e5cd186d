"""A panel that speaks of the generated cell as it stands: its first line is the heading.

Verdicts count lines in the candidate's code, people in the cell.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from kernelllm_jupyter.heading import Heading, under_heading
from kernelllm_jupyter.notebook.panel import View
from kernelllm_jupyter.report import Report
from kernelllm_jupyter.values import Compilation, Finding, Verdict

__all__ = ["HeadedView", "in_cell"]


class HeadedView:
    """Shows reports on code in ``view`` as reports on the cell, in which ``heading`` stands."""

    def __init__(self, view: View, heading: Heading):
        self._view = view
        self.heading = heading

    def open(self, report: Report) -> None:
        self._view.open(in_cell(report, self.heading.line))

    def show(self, report: Report) -> None:
        self._view.show(in_cell(report, self.heading.line))

    def settle(self, report: Report) -> None:
        self._view.settle(in_cell(report, self.heading.line))


def in_cell(report: Report, heading: str) -> Report:
    """The report with code and lines as they are under ``heading``."""
    verdict = _shifted(report.verdict) if report.verdict else None
    return replace(report, code=under_heading(heading, report.code), verdict=verdict)


def _shifted(verdict: Verdict) -> Verdict:
    return replace(
        verdict,
        reasons=_below(verdict.reasons),
        warnings=_below(verdict.warnings),
        not_made=_below(verdict.not_made),
        compilation=_compiled_below(verdict.compilation),
    )


def _below(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    return tuple(
        finding if finding.line is None else replace(finding, line=finding.line + 1)
        for finding in findings
    )


def _compiled_below(compilation: Compilation | None) -> Compilation | None:
    if compilation is None:
        return None
    kernels = tuple(
        kernel if kernel.line is None else replace(kernel, line=kernel.line + 1)
        for kernel in compilation.kernels
    )
    return replace(compilation, kernels=kernels)
