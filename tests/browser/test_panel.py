"""Panels of known content in a browser: readable in every theme and width, drawn, translated."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from accessibility import violations
from notebook_page import NotebookPage
from servers import Server

Open = Callable[..., NotebookPage]

LOAD = "%load_ext panel_gallery"
SHOWN = ("timed", "wrong", "grid", "engine", "download", "checking")
THEMES = ("JupyterLab Light", "JupyterLab Dark", "JupyterLab Dark High Contrast")


def test_panels_are_accessible_and_fit_in_every_theme_and_width(
    lab: Server, open_notebook: Open
) -> None:
    shows = "\n".join(f"%show_panel {name}" for name in SHOWN)
    page = open_notebook(lab, [LOAD, shows])
    page.command("application:toggle-left-area")
    page.run(0)
    page.run(1)
    page.page.locator(".kllm-panel .kllm-verdict-incorrect").first.wait_for()
    # JupyterLab's own Vega-Lite in place of the static drawings, which it would leave out.
    charts = page.page.locator(".kllm-panel .kllm-chart .vega-embed svg")
    charts.nth(1).wait_for()
    assert page.page.locator(".kllm-panel .kllm-chart").count() == 2
    assert "torch.compile" in charts.first.text_content()

    for theme, width in [(THEMES[0], 400), *((theme, 1280) for theme in THEMES)]:
        page.page.set_viewport_size({"width": width, "height": 900})
        page.command("apputils:change-theme", {"theme": theme})
        page.page.locator(f"body[data-jp-theme-name='{theme}']").wait_for(state="attached")
        page.page.locator("#jupyterlab-splash").wait_for(state="detached")
        assert violations(page) == [], (theme, width)
        # Charts follow the window with the next frames; tables scroll in their boxes.
        page.wait(
            "const right = one => one.getBoundingClientRect().right;"
            "return [...document.querySelectorAll('.kllm-panel .kllm-report, .kllm-panel svg')]"
            ".filter(one => one.checkVisibility())"
            ".filter(one => one.scrollWidth > one.clientWidth + 1"
            "  || right(one) > right(one.closest('.kllm-output')) + 1)"
            ".length === 0"
        )
    assert page.page.get_by_role("progressbar", name="Progress").get_attribute("value") == "0.250"

    # The charts are there, too, where no widget is alive any more.
    page.ask("await panel.context.save()")
    page.ask("await panel.sessionContext.shutdown()")
    page.reload()
    page.page.locator(".kllm-output .kllm-chart .vega-embed svg").nth(1).wait_for()
    assert page.page.locator(".kllm-panel").count() == 0
    assert page.errors == []


@pytest.fixture
def chinese_lab(lab: Server) -> Iterator[Server]:
    """JupyterLab with its language set to Chinese."""
    folder = Path(lab.environment["JUPYTER_CONFIG_DIR"]) / "lab" / "user-settings"
    setting = folder / "@jupyterlab" / "translation-extension" / "plugin.jupyterlab-settings"
    setting.parent.mkdir(parents=True, exist_ok=True)
    setting.write_text(json.dumps({"locale": "zh_CN"}))
    yield lab
    setting.unlink()


def test_chinese_jupyterlab_shows_our_strings_in_chinese(
    chinese_lab: Server, open_notebook: Open
) -> None:
    page = open_notebook(chinese_lab, [LOAD, "%show_panel wrong"])
    page.run(0)
    page.run(1)
    toolbar = page.page.locator(".jp-NotebookPanel-toolbar")
    toolbar.get_by_text("转换单元格").wait_for()
    jump = page.page.locator(".kllm-panel .kllm-jump").first
    jump.wait_for()
    assert jump.get_attribute("title") == "在生成的单元格中显示此行"
    jump.click()
    page.page.get_by_text("生成的单元格已不存在。").first.wait_for()


def test_the_settings_editor_is_chinese_also_after_a_change(
    chinese_lab: Server, open_notebook: Open
) -> None:
    page = open_notebook(chinese_lab, [])
    page.command("settingeditor:open", {"query": "KernelLLM"})
    editor = page.page.locator(".jp-SettingsPanel")
    for text in ("候选数", "最多采样多少个候选；保留通过验证的候选中最好的一个。"):
        editor.get_by_text(text, exact=True).wait_for()
    try:
        editor.locator("[id='jp-SettingsEditor-kernelllm-jupyter:plugin_check']").uncheck()
        # Once it is saved, JupyterLab has the schema from the server again, in English.
        editor.locator(".jp-RestoreButton").wait_for()
        described = editor.locator(
            ".jp-FormGroup-description", has_text="候选一生成就对照原模块进行检查。"
        )
        described.wait_for()
        # The search looks through the titles of now.
        page.page.locator(".jp-PluginList input").fill("温度")
        page.page.locator(".jp-PluginList").get_by_text("KernelLLM").wait_for()
        editor.get_by_text("温度", exact=True).wait_for()
    finally:
        page.page.evaluate(
            "async () => await window.jupyterapp.serviceManager.settings.save("
            "'kernelllm-jupyter:plugin', '{}')"
        )
