"""The tutorial, played in a browser as it stands on its page; the docs' pictures are taken here.

Pictures go to ``test-results/pictures``, or to the folder that ``KERNELLLM_PICTURES`` names:
``python tests/browser/screenshots.py`` takes them for the docs.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import nbformat
import pytest
from notebook_page import NotebookPage
from playwright.sync_api import Browser, BrowserContext
from servers import ROOT, Server

Open = Callable[..., NotebookPage]

PICTURES = Path(os.environ.get("KERNELLLM_PICTURES", ROOT / "test-results" / "pictures"))
TUTORIAL = (ROOT / "docs" / "tutorial.md").read_text()
THEMES = {"light": "JupyterLab Light", "dark": "JupyterLab Dark"}


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    """A tab of the size and sharpness that the docs' pictures have."""
    context = browser.new_context(viewport={"width": 900, "height": 1120}, device_scale_factor=1.5)
    context.set_default_timeout(60_000)
    yield context
    context.close()


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)\n```$", TUTORIAL, re.DOTALL | re.MULTILINE)


def take(page: NotebookPage, name: str, *themes: str) -> None:
    """A picture of the page in each of the themes; it is left in the last one."""
    PICTURES.mkdir(parents=True, exist_ok=True)
    for suffix in themes:
        theme = THEMES[suffix]
        page.command("apputils:change-theme", {"theme": theme})
        page.page.locator(f"body[data-jp-theme-name='{theme}']").wait_for(state="attached")
        page.page.locator("#jupyterlab-splash").wait_for(state="detached")
        page.page.screenshot(path=PICTURES / f"{name}-{suffix}.png", animations="disabled")


def test_the_tutorial_does_what_it_says(lab: Server, open_notebook: Open) -> None:
    load, module, line, too_much = blocks("python")
    page = open_notebook(lab, [load, module, too_much], "tutorial.ipynb")
    page.command("application:toggle-left-area")
    page.run(0)
    page.run(1)
    panel = page.page.locator(".kllm-panel")
    panel.locator(".kllm-verdict-correct").wait_for()
    page.select(1)
    take(page, "panel", "dark", "light")

    assert line in page.source(2), "the tutorial names a line that is not in the generated cell"
    page.ask("cells[2].setSource(cells[2].source.replace(arg, arg.replace('0.125', '0.25')))", line)
    panel.get_by_role("button", name="Check").click()
    refused = panel.locator(".kllm-verdict-incorrect")
    refused.wait_for()
    said = blocks("text")[0].splitlines()[0]
    assert said in refused.inner_text()
    take(page, "refused", "light")

    page.run(3)
    assert "UnsupportedModule" in page.outputs(3)
    assert "The starter model does not cover" in page.outputs(3)
    assert page.errors == []


def test_the_example_of_several_candidates_shows_them_all(lab: Server, open_notebook: Open) -> None:
    example = nbformat.read(ROOT / "examples" / "best_of_k.ipynb", as_version=4)
    code = [cell.source for cell in example.cells if cell.cell_type == "code"]
    page = open_notebook(lab, code[:2], "best_of_k.ipynb")
    page.command("application:toggle-left-area")
    page.run(0)
    page.run(1)
    page.page.locator(".kllm-panel .kllm-verdict-correct").wait_for()
    assert page.page.locator(".kllm-panel").get_by_role("rowheader").count() >= 8
    page.select(1)
    take(page, "candidates", "light")
    assert page.errors == []
