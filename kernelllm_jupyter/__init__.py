"""PyTorch module in, proven Triton kernel out, inside the notebook.

``%load_ext kernelllm_jupyter`` gives the ``%%kernelllm`` magic; ``KernelLLM``, ``check`` and
``benchmark`` are the same engine as a Python API. Importing this package imports neither torch
nor transformers nor any Jupyter package.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kernelllm_jupyter.api import KernelLLM, benchmark, check
    from kernelllm_jupyter.live.capture import capture

__all__ = ["KernelLLM", "__version__", "benchmark", "capture", "check", "load_ipython_extension"]


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        return version("kernelllm-jupyter")
    if name == "capture":
        from kernelllm_jupyter.live.capture import capture

        return capture
    if name in ("KernelLLM", "benchmark", "check"):
        from kernelllm_jupyter import api

        return getattr(api, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)


def load_ipython_extension(shell: Any) -> None:
    """Called by ``%load_ext kernelllm_jupyter``."""
    from kernelllm_jupyter.notebook import load_ipython_extension

    load_ipython_extension(shell)


def _jupyter_labextension_paths() -> list[dict[str, str]]:
    """Where JupyterLab finds the prebuilt front end during development."""
    return [{"src": "labextension", "dest": "kernelllm-jupyter"}]
