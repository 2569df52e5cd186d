"""Several candidates in a browser: the grid, the one kept in the cell, the others as differences.

With the bundled starter model. Hot sampling makes candidates that differ, whatever it has learned.
"""

from __future__ import annotations

from collections.abc import Callable

from notebook_page import NotebookPage
from servers import Server

Open = Callable[..., NotebookPage]

LOAD = "%load_ext kernelllm_jupyter"
MODULE = """\
import torch
import torch.nn as nn


class Model(nn.Module):
    def forward(self, x):
        return torch.relu(x) * 2.5


def get_inputs():
    return [torch.randn(4, 33)]
"""


def magic(options: str) -> str:
    return f"%%kernelllm {options}\n{MODULE}"


def test_the_best_of_four_is_in_the_cell_and_the_grid_tells_of_all(
    lab: Server, open_notebook: Open
) -> None:
    page = open_notebook(lab, [LOAD, magic("-k 4 --seed 1"), "after = 1"])
    page.run(0)
    page.run(1)
    page.page.locator(".kllm-panel .kllm-verdict-correct").wait_for()
    grid = page.page.get_by_role("table").filter(has_text="4 candidates")
    assert grid.get_by_role("columnheader").all_inner_texts()[0] == "Candidate"
    rows = grid.get_by_role("rowheader")
    assert rows.all_inner_texts() == ["1", "2", "3", "4"]
    kept = grid.get_by_role("row").filter(has_text="(kept)")
    assert "Correct" in kept.inner_text()
    assert len(page.sources()) == 4, "one generated cell for all of them"
    assert "class ModelNew" in page.source(2)
    # Another candidate may have streamed before: still one step back.
    page.cell(2).locator(".cm-content").click()
    page.page.keyboard.press("Control+z")
    page.wait("return cells[2].source === ''")


def test_the_others_are_one_key_away_also_when_the_notebook_is_opened_anew(
    lab: Server, open_notebook: Open
) -> None:
    options = "-k 3 --no-check --temperature 3 --max-new-tokens 90 --seed 5"
    page = open_notebook(lab, [LOAD, magic(options)])
    page.run(0)
    page.run(1)
    folded = page.page.locator(".kllm-panel details")
    folded.first.wait_for()
    assert not folded.first.locator("pre").is_visible()
    folded.first.locator("summary").focus()
    page.page.keyboard.press("Enter")
    folded.first.locator("pre").get_by_text("@@").first.wait_for()
    assert "--- candidate 1 (kept)" in folded.first.locator("pre").inner_text()

    page.ask("await panel.context.save()")
    page.ask("await panel.sessionContext.shutdown()")
    page.reload()
    fixed = page.page.locator(".kllm-output .kllm-report details")
    fixed.first.wait_for()
    assert page.page.locator(".kllm-panel").count() == 0
    assert fixed.count() == 2
    fixed.first.locator("summary").click()
    fixed.first.locator("pre").get_by_text("@@").first.wait_for()
    assert page.errors == []
