"""Example notebooks run from top to bottom without a browser, as papermill would run them."""

from __future__ import annotations

from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient
from nbconvert import HTMLExporter

EXAMPLES = sorted((Path(__file__).resolve().parents[2] / "examples").glob("*.ipynb"))


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_runs_and_shows_its_verdict_without_a_front_end(path: Path) -> None:
    notebook = nbformat.read(path, as_version=4)
    cells_before = len(notebook.cells)
    NotebookClient(notebook, timeout=200, kernel_name="python3").execute()
    assert len(notebook.cells) == cells_before
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
