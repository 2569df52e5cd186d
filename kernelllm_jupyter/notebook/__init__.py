"""The notebook experience: the magics, the panel, and the stream into a cell."""

from __future__ import annotations

from typing import Any

__all__ = ["load_ipython_extension", "translate_cell"]


def load_ipython_extension(shell: Any) -> None:
    """Register the magics; nothing heavy is imported until one of them is used."""
    from kernelllm_jupyter.notebook.magic import (
        KernelLLMMagics,
        complete_options,
        with_empty_body,
    )

    magics = KernelLLMMagics(shell)
    shell.register_magics(magics)
    for prefix in ("%%kernelllm", "%kernelllm"):
        shell.set_hook("complete_command", complete_options, str_key=prefix)
    if with_empty_body not in shell.input_transformers_cleanup:
        shell.input_transformers_cleanup.append(with_empty_body)
    magics.preload()


def translate_cell(source: str) -> None:
    """Translate a cell's text as ``%%kernelllm`` would; what the toolbar button runs."""
    from IPython import get_ipython

    shell = get_ipython()
    shell.extension_manager.load_extension("kernelllm_jupyter")
    shell.run_cell_magic("kernelllm", "", source)
