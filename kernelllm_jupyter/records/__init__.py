"""What was made, kept on disk: every translation with its candidates, verdicts and timings.

A SQLite file in the user's data folder (``records.place``). Writing never stops a translation: it
happens in a thread of its own, and what goes wrong is said once (``records.keeper``). Knows no
engine, no worker, no Jupyter and no terminal.
"""

from __future__ import annotations

from kernelllm_jupyter.records.keeper import Recording, Records
from kernelllm_jupyter.records.place import data_folder
from kernelllm_jupyter.records.record import KeptCandidate, KeptResult, Record, Summary
from kernelllm_jupyter.records.store import Store

__all__ = [
    "KeptCandidate",
    "KeptResult",
    "Record",
    "Recording",
    "Records",
    "Store",
    "Summary",
    "data_folder",
]
