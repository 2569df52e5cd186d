"""Every autotuning configuration is checked, or the verdict says how many were.

Each trial takes the next configuration. Where there are more of them than trials, the rest get a
run each on the problem's own inputs, on a budget of time. Runs in the referee's process, where the
candidate's account of its configurations is believed no further than this.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from kernelllm_jupyter.verify.findings import Findings
from kernelllm_jupyter.verify.opponent import Result

__all__ = ["Configurations"]

#: Configurations that no trial has taken are run for so long, unless the check is late anyway.
EXTRA_S = 6.0


class Configurations:
    """Which configurations were in a run that was right."""

    def __init__(self) -> None:
        self.known: dict[str, set[str]] = {}
        self.checked: dict[str, set[str]] = {}

    def note(self, result: Result) -> None:
        """A run was right."""
        for name, (used, *every) in result.configurations.items():
            self.known.setdefault(name, set()).update(every)
            self.checked.setdefault(name, set()).add(used)

    @property
    def left(self) -> int:
        """The largest number of configurations of one function that are still to be checked."""
        return max(
            (len(known - self.checked[name]) for name, known in self.known.items()), default=0
        )

    def finish(
        self, try_again: Callable[[], object], too_late: Callable[[], bool], findings: Findings
    ) -> None:
        """Run what no trial has taken; note what was left out for want of time."""
        began = time.monotonic()
        # Each run takes another one; those whose run did not count come round once more.
        for _ in range(2 * self.left):
            if not self.left or too_late() or time.monotonic() - began > EXTRA_S:
                break
            try_again()
        missing = [
            f"{len(self.checked[name] & known)} of {len(known)} of {name}"
            for name, known in self.known.items()
            if known - self.checked[name]
        ]
        if missing:
            findings.skip(
                "configurations",
                "For want of time not every autotuning configuration was run: "
                f"{', '.join(missing)}.",
            )
