"""Try real-time collaboration: two people in one notebook, one of whom translates a cell.

``python tools/check_collaboration.py`` in an environment with this package, its test requirements
and ``jupyter-collaboration`` (which is none of them, as it changes how every notebook is kept).
Prints what was tried and exits with 1 where something did not come out. Not a part of the tests.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "browser")]

from notebook_page import NotebookPage, notebook_of  # noqa: E402
from playwright.sync_api import Browser, sync_playwright  # noqa: E402
from servers import FLAGS, Server, serve  # noqa: E402

LOAD = "%load_ext kernelllm_jupyter"
MODULE = """\
%%kernelllm
import torch
import torch.nn as nn


class Model(nn.Module):
    def forward(self, x):
        return torch.relu(x) * 2.5


def get_inputs():
    return [torch.randn(4, 33)]
"""
WRITTEN = "return cells.length === 4 && cells[2].source.includes('class ModelNew')"


def main() -> int:
    place = Path(tempfile.mkdtemp(prefix="kllm-rtc-"))
    os.environ["XDG_RUNTIME_DIR"] = str(place)
    os.environ["KERNELLLM_DATA"] = str(place / "data")
    # jupyter-collaboration keeps the names of files in Jupyter's data folder and does not make it.
    (place / "data").mkdir()
    servers = serve("lab", place)
    try:
        server = next(servers)
        (server.folder / "shared.ipynb").write_text(
            json.dumps(notebook_of([LOAD, MODULE, "after = 1"]))
        )
        with sync_playwright() as playwright:
            path = os.environ.get("CHROMIUM") or shutil.which("chromium")
            browser = playwright.chromium.launch(executable_path=path, args=FLAGS)
            return try_out(browser, server)
    finally:
        servers.close()
        from kernelllm_jupyter.engines.local import stop_all

        stop_all()
        shutil.rmtree(place, ignore_errors=True)


def try_out(browser: Browser, server: Server) -> int:
    failed = 0

    def report(what: str, holds: Callable[[], bool]) -> None:
        nonlocal failed
        try:
            fine = holds()
        except Exception as error:
            fine, what = False, f"{what} ({type(error).__name__}: {str(error)[:200]})"
        failed += not fine
        print("ok    " if fine else "FAILED", what, flush=True)

    ann, bob = person(browser, server), person(browser, server)
    report("the notebook is a shared one", lambda: is_shared(ann) and is_shared(bob))
    ann.run(0)
    ann.run(1)
    report("the code streams into one cell, for both", lambda: holds(ann) and holds(bob))
    report("both have the same text", lambda: ann.sources() == bob.sources())
    report("the cell's mark is there for both", lambda: ann.mark(2) == bob.mark(2) != None)  # noqa: E711
    report("the verdict stands under the cell, for both", lambda: verdict(ann) and verdict(bob))

    ann.cell(2).locator(".cm-content").click()
    ann.page.keyboard.press("Control+z")
    report(
        "one undo takes the code away, for both",
        lambda: emptied(ann) and emptied(bob) and ann.source(1) == MODULE,
    )
    ann.page.keyboard.press("Control+Shift+z")
    report("and redo brings it back", lambda: holds(ann) and holds(bob))

    ann.ask("cells[1].setSource(cells[1].source.replace('2.5', '3.5'))")
    ann.run(1)
    report("translating again replaces the code", lambda: replaced(ann) and replaced(bob))
    bob.run(1)
    report("the other person replaces it, too", lambda: replaced(ann) and replaced(bob))

    bob.type_into(2, "  # mine")
    ann.wait("return cells[2].source.includes('# mine')")
    ann.run(1)
    report("what the other person edited is kept", lambda: kept(ann) and kept(bob))
    for name, page in (("first", ann), ("second", bob)):
        report(f"no error in the page of the {name}", lambda page=page: not print_errors(page))
    return 1 if failed else 0


def person(browser: Browser, server: Server) -> NotebookPage:
    """A browser of their own, with the notebook open in it."""
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    context.set_default_timeout(30_000)
    page = NotebookPage(context.new_page(), "lab", server.url, "shared.ipynb")
    page.open()
    return page


def is_shared(page: NotebookPage) -> bool:
    return bool(page.ask("return panel.context.model.collaborative"))


def holds(page: NotebookPage) -> bool:
    page.wait(WRITTEN)
    return True


def verdict(page: NotebookPage) -> bool:
    found = page.page.locator(".kllm-verdict:visible").first
    found.wait_for()
    return "Correct" in found.inner_text()


def emptied(page: NotebookPage) -> bool:
    page.wait("return cells[2].source === ''")
    return True


def replaced(page: NotebookPage) -> bool:
    page.wait("return cells.length === 4 && cells[2].source.includes('3.5')")
    return "2.5" not in page.source(2)


def kept(page: NotebookPage) -> bool:
    page.wait("return cells.length === 5 && cells[3].source.includes('# mine')")
    return "class ModelNew" in page.source(2)


def print_errors(page: NotebookPage) -> list[str]:
    for error in page.errors:
        print("      ", error.splitlines()[0], flush=True)
    return page.errors


if __name__ == "__main__":
    sys.exit(main())
