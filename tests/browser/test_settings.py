"""JupyterLab's settings editor: what is changed there holds from the next translation on."""

from __future__ import annotations

from collections.abc import Callable

from notebook_page import NotebookPage
from servers import Server
from test_translate import LOAD, MAGIC, MODULE

Open = Callable[..., NotebookPage]

PLUGIN = "kernelllm-jupyter:plugin"
SETTINGS = "window.jupyterapp.serviceManager.settings"


def test_a_change_in_the_settings_editor_counts_from_the_next_translation_on(
    lab: Server, open_notebook: Open
) -> None:
    page = open_notebook(lab, [MODULE, LOAD, MAGIC])
    notebook = page.ask("return panel.id")
    page.command("settingeditor:open", {"query": "KernelLLM"})
    try:
        page.page.locator(f"[id='jp-SettingsEditor-{PLUGIN}_check']").uncheck()
        # Offered once the change is not only typed but in force.
        page.page.get_by_role("button", name="Restore to Defaults").wait_for()
        page.page.evaluate("id => window.jupyterapp.shell.activateById(id)", notebook)
        page.wait("return !!notebook.model")
        # The button's way first, then a cell's: neither says anything of checks.
        page.select(0)
        page.command("kernelllm:translate")
        page.page.locator(".kllm-panel").get_by_text("Not checked").wait_for()
        page.wait_until_idle(0)
        page.run(2)
        page.run(3)
        assert "Not checked" in page.outputs(3)
    finally:
        page.page.evaluate(f"async () => await {SETTINGS}.save('{PLUGIN}', '{{}}')")
