"""The interactive session of ``kernelllm repl``: paste a module, read its Triton module.

``session`` does what is asked, ``keyboard`` and ``entries`` read it, from a terminal or a pipe.
"""

from __future__ import annotations

from kernelllm_jupyter.repl.session import Repl

__all__ = ["Repl"]
