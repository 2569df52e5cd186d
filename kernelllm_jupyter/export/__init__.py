"""A verified kernel as files of its own: a drop-in module, and the test that repeats the check.

Text work, and on request a live module's weights beside it; nothing of it is run here.
"""

from __future__ import annotations

from kernelllm_jupyter.export.chosen import Exported, choose
from kernelllm_jupyter.export.files import Export, drawn_note, export_to, exported

__all__ = ["Export", "Exported", "choose", "drawn_note", "export_to", "exported"]
