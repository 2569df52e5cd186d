"""Example notebooks run from top to bottom without a browser, as papermill would run them."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest
from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient
from nbconvert import HTMLExporter

EXAMPLES = sorted((Path(__file__).resolve().parents[2] / "examples").glob("*.ipynb"))
NAMES = [path.stem for path in EXAMPLES]


@pytest.fixture(scope="module")
def kernel() -> Iterator[AsyncKernelManager]:
    """One Jupyter kernel for all notebooks: its worker imports torch and triton once."""
    manager = AsyncKernelManager(kernel_name="python3")
    yield manager
    asyncio.run(manager.shutdown_kernel(now=True))


@pytest.mark.parametrize("path", EXAMPLES, ids=NAMES)
def test_an_example_runs_and_shows_its_verdict_without_a_front_end(
    path: Path, kernel: AsyncKernelManager
) -> None:
    notebook = nbformat.read(path, as_version=4)
    cells_before = len(notebook.cells)
    # No name that the notebook before has left is there.
    notebook.cells.insert(0, nbformat.v4.new_code_cell("%reset -f"))
    NotebookClient(notebook, km=kernel, timeout=200).execute()
    assert len(notebook.cells) == cells_before + 1
    shown = [
        output["data"]["text/html"]
        for cell in notebook.cells
        if cell.cell_type == "code"
        for output in cell.outputs
        if output.output_type == "display_data" and "text/html" in output["data"]
    ]
    assert any("kllm-verdict-correct" in html for html in shown)
    assert any("@triton.jit" in html for html in shown), "the code is nowhere to be read"
    page, _ = HTMLExporter().from_notebook_node(notebook)
    assert "agrees with the PyTorch module" in page


@pytest.mark.parametrize("path", EXAMPLES, ids=NAMES)
def test_an_example_is_kept_without_outputs_and_loads_the_extension_first(path: Path) -> None:
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert all(not cell.outputs and cell.execution_count is None for cell in code)
    loads = next(n for n, cell in enumerate(code) if cell.source == "%load_ext kernelllm_jupyter")
    assert not any("%kernelllm" in cell.source for cell in code[:loads])
