"""Takes the README's pictures: ``python tests/browser/screenshots.py``, with the front end built.

Translates a small module with the bundled model in a real JupyterLab and writes
``docs/images/panel-light.png`` and ``panel-dark.png``.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from notebook_page import NotebookPage, notebook_of
from playwright.sync_api import sync_playwright
from servers import FLAGS, ROOT, serve

MODULE = """\
%%kernelllm
import torch
import torch.nn as nn

class ScaledRelu(nn.Module):
    def forward(self, x):
        return torch.relu(x) * 2.5

def get_inputs():
    return [torch.randn(4, 33)]"""
IMAGES = ROOT / "docs" / "images"


def main() -> None:
    place = Path(tempfile.mkdtemp(prefix="kllm-"))
    os.environ.setdefault("XDG_RUNTIME_DIR", str(place))
    servers = serve("lab", place)
    server = next(servers)
    notebook = notebook_of(["%load_ext kernelllm_jupyter", MODULE])
    (server.folder / "translate.ipynb").write_text(json.dumps(notebook))
    IMAGES.mkdir(parents=True, exist_ok=True)
    try:
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(
                executable_path=os.environ.get("CHROMIUM") or shutil.which("chromium"), args=FLAGS
            )
            context = browser.new_context(
                viewport={"width": 900, "height": 1120}, device_scale_factor=1.5
            )
            context.set_default_timeout(120_000)
            page = NotebookPage(context.new_page(), "lab", server.url, "translate.ipynb")
            page.open()
            page.command("application:toggle-left-area")
            page.run(0)
            page.run(1)
            page.page.locator(".kllm-panel .kllm-verdict-correct").wait_for()
            page.select(1)
            for name, theme in (("light", "JupyterLab Light"), ("dark", "JupyterLab Dark")):
                page.command("apputils:change-theme", {"theme": theme})
                body = page.page.locator(f"body[data-jp-theme-name='{theme}']")
                body.wait_for(state="attached")
                page.page.locator("#jupyterlab-splash").wait_for(state="detached")
                page.page.screenshot(path=IMAGES / f"panel-{name}.png")
            page.shut_down()
            browser.close()
    finally:
        servers.close()
        shutil.rmtree(place, ignore_errors=True)


if __name__ == "__main__":
    main()
