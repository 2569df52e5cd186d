"""A notebook in a browser tab, spoken to through the application object that servers expose.

Reading state through the application is exact and does not depend on what is scrolled into view;
what a person does (clicks, keys) goes through the page itself.
"""

from __future__ import annotations

import json
from typing import Any

from playwright.sync_api import Locator, Page

#: JavaScript's view of the open notebook: `panel`, `notebook` and `cells`.
PRELUDE = """
  const panel = window.jupyterapp.shell.currentWidget;
  const notebook = panel.content;
  const cells = notebook.model.sharedModel.cells;
"""


def notebook_of(cells: list[Any]) -> dict[str, Any]:
    """A notebook of code cells (given as text) and other cells (given as JSON)."""
    made = [
        {
            "cell_type": "code",
            "id": f"cell-{at}",
            "metadata": {},
            "source": cell,
            "outputs": [],
            "execution_count": None,
        }
        if isinstance(cell, str)
        else {"id": f"cell-{at}", "metadata": {}, **cell}
        for at, cell in enumerate(cells)
    ]
    kernelspec = {"display_name": "Python 3", "language": "python", "name": "python3"}
    return {
        "cells": made,
        "metadata": {"kernelspec": kernelspec},
        "nbformat": 4,
        "nbformat_minor": 5,
    }


#: JupyterLab's own: it asks for a subshell for each comm, and lets the rejection go unhandled where
#: the Jupyter kernel restarts before the answer.
ERRORS_OF_JUPYTERLAB = ("Canceled future for create_subshell_request",)


class NotebookPage:
    def __init__(self, page: Page, kind: str, url: str, name: str) -> None:
        self.page = page
        self.kind = kind
        self.name = name
        self._url = url
        self.errors: list[str] = []
        page.on("pageerror", self._note_error)

    def _note_error(self, error: Any) -> None:
        if not any(known in str(error) for known in ERRORS_OF_JUPYTERLAB):
            self.errors.append(str(error))

    # --- opening and closing ---------------------------------------------------------------

    def open(self) -> None:
        self.load()
        self.wait_for_kernel()

    def load(self) -> None:
        """Load the page, whatever the Jupyter kernel does meanwhile."""
        path = f"/lab/tree/{self.name}?reset" if self.kind == "lab" else f"/notebooks/{self.name}"
        self.page.goto(self._url + path)
        self.page.wait_for_function(
            "() => window.jupyterapp?.shell.currentWidget?.content?.model?.sharedModel"
            "?.cells.length > 0"
        )

    def reload(self) -> None:
        """Load the page anew, without the question about unsaved changes."""
        self.page.on("dialog", lambda dialog: dialog.accept())
        self.open()

    def wait_for_kernel(self) -> None:
        self.wait(
            "const kernel = panel.sessionContext.session?.kernel;"
            "return kernel?.connectionStatus === 'connected' && kernel.status === 'idle'"
        )

    def shut_down(self) -> None:
        """End the notebook's Jupyter kernel, if it still has one, and close the tab."""
        if not self.page.is_closed():
            self.page.evaluate(
                "async () => { await window.jupyterapp?.serviceManager.sessions.shutdownAll() }"
            )
            self.page.close()

    # --- looking -----------------------------------------------------------------------------

    def ask(self, script: str, argument: Any = None) -> Any:
        """What ``script`` returns; it sees ``panel``, ``notebook``, ``cells`` and ``arg``."""
        return self.page.evaluate(f"async arg => {{ {PRELUDE} {script} }}", argument)

    def wait(self, script: str, argument: Any = None) -> None:
        """Wait until ``script`` returns something true."""
        self.page.wait_for_function(f"arg => {{ {PRELUDE} {script} }}", arg=argument)

    def wait_until_idle(self, at: int) -> None:
        """Wait until the cell's prompt has no star; older versions keep no state in the model."""
        self.cell(at).locator(".jp-InputPrompt").filter(has_not_text="*").wait_for()

    def sources(self) -> list[str]:
        found: list[str] = self.ask("return cells.map(cell => cell.source)")
        return found

    def source(self, at: int) -> str:
        return self.sources()[at]

    def mark(self, at: int) -> dict[str, Any] | None:
        found: dict[str, Any] | None = self.ask(
            "return cells[arg].getMetadata('kernelllm') ?? null", at
        )
        return found

    def outputs(self, at: int) -> str:
        """The cell's outputs as JSON text, to look for something in them."""
        return json.dumps(self.ask("return cells[arg].getOutputs()", at))

    def cell(self, at: int) -> Locator:
        return self.page.locator(".jp-Notebook .jp-Cell").nth(at)

    # --- doing -------------------------------------------------------------------------------

    def command(self, name: str, arguments: dict[str, Any] | None = None) -> None:
        """Start a command and do not wait for what it does."""
        self.page.evaluate(
            "([name, args]) => { void window.jupyterapp.commands.execute(name, args) }",
            [name, arguments or {}],
        )

    def select(self, at: int) -> None:
        self.ask("notebook.deselectAll(); notebook.activeCellIndex = arg", at)

    def start(self, at: int) -> None:
        self.select(at)
        self.command("notebook:run-cell")

    def run(self, at: int) -> None:
        """Run a cell and wait until it has ended."""
        self.start(at)
        self.wait_until_ran(at)

    def wait_until_ran(self, at: int) -> None:
        identity = self.ask("return cells.at(arg).id", at)
        self.wait(
            "const cell = cells.find(cell => cell.id === arg);"
            # JupyterLab before 4.3 has no execution state.
            "return (cell.executionState ?? 'idle') === 'idle' && cell.execution_count !== null",
            identity,
        )

    def type_into(self, at: int, text: str) -> None:
        """Put the cursor at the end of a cell's text and type there, as a person does."""
        editor = self.cell(at).locator(".cm-content")
        editor.click()
        self.page.keyboard.press("Control+End")
        self.page.keyboard.type(text)
