"""The whole line in a browser: a PyTorch cell, one click or one run, a verified Triton cell below.

With the bundled starter model, and nothing in between replaced.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from accessibility import violations
from endless_checkpoint import ENDLESSLY, make_endless_checkpoint
from notebook_page import NotebookPage
from playwright.sync_api import Page, expect
from servers import Server

Open = Callable[..., NotebookPage]

LOAD = "%load_ext kernelllm_jupyter"
MODULE = '''\
import torch
import torch.nn as nn


class Model(nn.Module):
    """A scaled rectifier."""

    def forward(self, x):
        return torch.relu(x) * 2.5


def get_inputs():
    return [torch.randn(4, 33)]
'''
MAGIC = f"%%kernelllm\n{MODULE}"

#: The generated cell is there and its check has ended.
CHECKED = "text => document.querySelector('.kllm-panel .kllm-verdict')?.textContent.includes(text)"


@pytest.fixture(params=["lab", "notebook7"])
def server(request: pytest.FixtureRequest) -> Server:
    found: Server = request.getfixturevalue(request.param)
    return found


@pytest.fixture
def translated(lab: Server, open_notebook: Open) -> NotebookPage:
    """A notebook with a translated cell (1) and its verified Triton cell (2)."""
    page = open_notebook(lab, [LOAD, MAGIC, "after = 1"])
    page.run(0)
    page.run(1)
    wait_for_verdict(page, "Correct")
    return page


def wait_for_verdict(page: NotebookPage, words: str) -> None:
    page.page.wait_for_function(CHECKED, arg=words)


def assert_translated(page: NotebookPage, at: int) -> None:
    """Cell ``at + 1`` holds what was made of cell ``at``, whole."""
    code = page.source(at + 1)
    assert "@triton.jit" in code
    assert "class ModelNew" in code
    compile(code, "generated", "exec")
    assert page.mark(at + 1)["source_cell"] == page.ask("return cells[arg].id", at)


# --- running the magic -------------------------------------------------------------------------


def test_run_all_in_a_fresh_kernel_translates_and_proves(
    server: Server, open_notebook: Open
) -> None:
    page = open_notebook(server, [LOAD, MAGIC, "after = 1"])
    page.command("notebook:run-all-cells")
    page.wait_until_ran(-1)
    wait_for_verdict(page, "Correct")
    assert len(page.sources()) == 4
    assert_translated(page, 1)
    # Generated code is the user's to run.
    assert page.ask("return cells[2].execution_count") is None


HEADING = "# KernelLLM · starter · "


def test_a_verdict_on_edited_code_is_called_old_until_it_is_checked_again(
    translated: NotebookPage,
) -> None:
    page = translated.page
    translated.wait("return cells[2].source.includes('· correct (cpu-interpreter) · record ')")
    before = translated.source(2)
    assert before.startswith(HEADING)
    old = page.locator(".kllm-output.kllm-mod-stale")
    assert old.count() == 0
    translated.cell(2).locator(".cm-content").click()
    page.keyboard.press("Control+End")
    page.keyboard.insert_text("# mine")
    old.get_by_text("This verdict is not about the code").wait_for()
    translated.wait("return cells[2].source.includes('edited, not checked')")
    # One step takes back the edit and what the heading says of it.
    page.keyboard.press("Control+z")
    translated.wait("return cells[2].source === arg", before)
    old.wait_for(state="detached")
    page.keyboard.press("Control+End")
    page.keyboard.insert_text("# mine")
    old.wait_for()
    page.locator(".kllm-panel").get_by_text("Check", exact=True).click()
    old.wait_for(state="detached")
    translated.wait("return cells[2].source.includes('edited, correct (cpu-interpreter)')")
    assert translated.source(2).rstrip().endswith("# mine")


def assert_one_row(page: Page, names: list[str]) -> None:
    """The panel's buttons stand in one row and look alike, whoever they are drawn by."""
    row = page.locator(".kllm-panel .kllm-buttons").get_by_role("button")
    assert [one.inner_text().strip() for one in row.all() if one.is_visible()] == names
    looks = row.evaluate_all(
        """buttons => buttons.filter(one => one.checkVisibility()).map(one => {
            const { background, border, fontSize, fontFamily } = getComputedStyle(one);
            const { top, height } = one.getBoundingClientRect();
            return JSON.stringify([background, border, fontSize, fontFamily, top, height]);
        })"""
    )
    assert len(set(looks)) == 1


def test_edits_are_taken_back_and_code_is_accepted(translated: NotebookPage) -> None:
    page = translated.page
    before = translated.source(2)
    link = page.locator(".kllm-output")
    revert = link.get_by_role("button", name="Revert")
    assert revert.is_disabled()
    assert_one_row(page, ["Check", "Benchmark", "Accept", "Revert"])
    translated.ask("cells[2].setSource('nothing')")
    revert.click()
    translated.wait("return cells[2].source === arg", before)
    translated.ask("cells[1].setSource(cells[1].source.replace('2.5', '3.5'))")
    translated.run(1)
    assert "3.5" in translated.source(2)
    translated.select(2)
    translated.command("kernelllm:revert")
    translated.wait("return cells[2].source === arg", before)
    link.get_by_text("This verdict is not about the code").wait_for()
    link.get_by_role("button", name="Accept").click()
    revert.wait_for(state="hidden")
    assert translated.mark(2) is None
    translated.run(1)
    assert len(translated.sources()) == 5
    assert translated.source(3) == before
    assert translated.errors == []


def test_the_generated_cell_runs(translated: NotebookPage) -> None:
    translated.run(2)
    assert translated.ask("return cells[2].getOutputs().length") == 0


def test_translating_again_replaces_the_code(translated: NotebookPage) -> None:
    translated.ask("cells[1].setSource(cells[1].source.replace('2.5', '3.5'))")
    translated.run(1)
    assert len(translated.sources()) == 4
    assert_translated(translated, 1)
    assert "3.5" in translated.source(2)
    assert "2.5" not in translated.source(2)


def test_the_generated_code_is_one_undo_step(translated: NotebookPage) -> None:
    translated.cell(2).locator(".cm-content").click()
    translated.page.keyboard.press("Control+z")
    translated.wait("return cells[2].source === ''")


def test_a_restart_of_the_kernel_leaves_everything_usable(translated: NotebookPage) -> None:
    translated.ask("await panel.sessionContext.session.kernel.restart()")
    translated.wait_for_kernel()
    translated.run(0)
    translated.run(1)
    wait_for_verdict(translated, "Correct")
    assert len(translated.sources()) == 4
    assert_translated(translated, 1)


# --- the button --------------------------------------------------------------------------------


def click_cell_toolbar(page: NotebookPage) -> None:
    button = page.cell(0).locator(".jp-cell-toolbar [data-command='kernelllm:translate']")
    button.click()


def click_notebook_toolbar(page: NotebookPage) -> None:
    page.page.locator(".jp-NotebookPanel-toolbar").get_by_text("Translate cell").click()


def click_context_menu(page: NotebookPage) -> None:
    page.cell(0).locator(".cm-content").click(button="right")
    page.page.locator(".lm-Menu").get_by_text("Translate cell").click()


def press_shortcut_while_editing(page: NotebookPage) -> None:
    page.cell(0).locator(".cm-content").click()
    page.page.keyboard.press("Control+Alt+Enter")


def press_shortcut_in_command_mode(page: NotebookPage) -> None:
    page.cell(0).locator(".cm-content").click()
    page.page.keyboard.press("Escape")
    page.page.keyboard.press("Control+Alt+Enter")


def pick_from_palette(page: NotebookPage) -> None:
    page.cell(0).locator(".cm-content").click()
    page.page.keyboard.press("Control+Shift+C")
    page.page.keyboard.type("Translate cell")
    page.page.locator(".lm-CommandPalette-item[data-command='kernelllm:translate']").click()


@pytest.mark.parametrize(
    "ask",
    [
        click_cell_toolbar,
        click_notebook_toolbar,
        click_context_menu,
        press_shortcut_while_editing,
        press_shortcut_in_command_mode,
        pick_from_palette,
    ],
)
def test_one_click_on_a_plain_cell_does_it_all(
    ask: Callable[[NotebookPage], None], lab: Server, open_notebook: Open
) -> None:
    page = open_notebook(lab, [MODULE, "after = 1"])
    page.select(0)
    ask(page)
    wait_for_verdict(page, "Correct")
    assert len(page.sources()) == 3
    assert_translated(page, 0)
    assert page.source(0) == MODULE


def test_the_button_works_in_notebook_7(notebook7: Server, open_notebook: Open) -> None:
    page = open_notebook(notebook7, [MODULE])
    page.select(0)
    click_cell_toolbar(page)
    wait_for_verdict(page, "Correct")
    assert_translated(page, 0)
    assert violations(page) == []


def test_the_button_runs_a_cell_that_has_the_magic(lab: Server, open_notebook: Open) -> None:
    page = open_notebook(lab, [LOAD, MAGIC])
    page.run(0)
    page.select(1)
    page.command("kernelllm:translate")
    wait_for_verdict(page, "Correct")
    page.wait_until_ran(1)
    assert_translated(page, 1)


def test_clicking_again_while_it_runs_changes_nothing(lab: Server, open_notebook: Open) -> None:
    page = open_notebook(lab, [MODULE])
    page.select(0)
    for _ in range(3):
        page.command("kernelllm:translate")
    wait_for_verdict(page, "Correct")
    page.wait_until_idle(0)
    assert len(page.sources()) == 2


def test_the_cell_shows_that_it_is_running(lab: Server, open_notebook: Open) -> None:
    page = open_notebook(lab, [MODULE])
    page.select(0)
    page.command("kernelllm:translate")
    page.cell(0).locator(".jp-InputPrompt").get_by_text("[*]:").wait_for()
    wait_for_verdict(page, "Correct")
    page.cell(0).locator(".jp-InputPrompt").get_by_text("[ ]:").wait_for()


def test_other_cells_have_no_button(lab: Server, open_notebook: Open) -> None:
    text = {"cell_type": "markdown", "source": "# Text"}
    page = open_notebook(lab, ["x = 1", text])
    in_cell = ".jp-cell-toolbar [data-command='kernelllm:translate']"
    in_toolbar = page.page.locator(".jp-NotebookPanel-toolbar [data-command='kernelllm:translate']")
    page.select(0)
    page.cell(0).locator(in_cell).wait_for()
    assert in_toolbar.get_attribute("aria-disabled") == "false"
    page.select(1)
    page.cell(1).locator(".jp-cell-toolbar").wait_for()
    page.page.locator(
        ".jp-NotebookPanel-toolbar [data-command='kernelllm:translate'][aria-disabled='true']"
    ).wait_for()
    assert not page.cell(1).locator(in_cell).is_visible()


def test_a_cell_without_a_module_gets_a_clear_message(lab: Server, open_notebook: Open) -> None:
    page = open_notebook(lab, ["x = 1", ""])
    for at in (0, 1):
        page.select(at)
        page.command("kernelllm:translate")
        page.cell(at).locator(".jp-OutputArea-output").wait_for()
        page.wait_until_idle(at)
        shown = page.cell(at).locator(".jp-OutputArea").inner_text()
        assert "Traceback" not in shown
        assert shown.strip()
    assert page.sources() == ["x = 1", ""]


def test_a_kernel_without_the_package_says_how_to_get_it(lab: Server, open_notebook: Open) -> None:
    absent = """\
import sys
class Absent:
    def find_spec(name, path=None, target=None):
        if name == "kernelllm_jupyter":
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Absent)"""
    page = open_notebook(lab, [absent, MODULE])
    page.run(0)
    page.select(1)
    page.command("kernelllm:translate")
    page.cell(1).get_by_text("%pip install kernelllm-jupyter").wait_for()
    assert "Traceback" not in page.cell(1).inner_text()


def test_without_a_kernel_a_message_says_so(server: Server, open_notebook: Open) -> None:
    page = open_notebook(server, [MODULE])
    page.ask("await panel.sessionContext.shutdown()")
    page.wait("return !panel.sessionContext.session?.kernel")
    page.select(0)
    page.command("kernelllm:translate")
    page.page.get_by_text("This notebook has no Jupyter kernel.").wait_for()
    assert page.sources() == [MODULE]


def test_a_kernel_of_another_language_is_told_so(lab: Server, open_notebook: Open) -> None:
    folder = Path(lab.environment["JUPYTER_DATA_DIR"]) / "kernels" / "other"
    folder.mkdir(parents=True)
    launch = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    spec = {"argv": launch, "display_name": "Another language", "language": "another"}
    (folder / "kernel.json").write_text(json.dumps(spec))
    page = open_notebook(lab, [MODULE])
    page.ask("await panel.sessionContext.changeKernel({name: 'other'})")
    page.wait_for_kernel()
    page.select(0)
    page.command("kernelllm:translate")
    page.page.get_by_text("in Python notebooks only; this one runs Another language").wait_for()
    assert page.sources() == [MODULE]


# --- the panel ---------------------------------------------------------------------------------


def test_check_speaks_of_the_cell_as_edited(translated: NotebookPage) -> None:
    check = translated.page.locator(".kllm-panel").get_by_text("Check", exact=True)
    generated = translated.source(2)
    translated.ask("cells[2].setSource(arg)", generated.replace("2.5", "2.6"))
    check.click()
    wait_for_verdict(translated, "Not correct")
    broken = generated.replace("def forward(self, x):", "def forward(self, x):\n        x.nothing")
    assert broken != generated
    translated.ask("cells[2].setSource(arg)", broken)
    check.click()
    wait_for_verdict(translated, "Fails when it runs")
    line = broken.splitlines().index("        x.nothing") + 1

    # From the finding to its line, by mouse and by keyboard, also where the text has moved.
    jump = translated.page.locator(".kllm-panel").get_by_role("button", name=f"Line {line}")
    jump.click()
    expect_marked(translated, "        x.nothing")
    translated.ask("cells[2].setSource(arg)", f"# One more line.\n{broken}")
    jump.press("Enter")
    expect_marked(translated, "        x.nothing")

    translated.ask("cells[2].setSource(arg)", generated)
    check.click()
    wait_for_verdict(translated, "Correct")
    said = translated.page.locator(".kllm-announcer")
    assert said.get_attribute("role") == "status"
    # It is told with the output, a moment after the widgets show it.
    expect(said).to_have_text(re.compile("^Correct"))


def expect_marked(page: NotebookPage, text: str) -> None:
    """The generated cell has the cursor in this line, which is marked."""
    marked = page.cell(2).locator(".cm-line.kllm-shown-line")
    page.page.wait_for_function(
        "text => document.querySelector('.kllm-shown-line')?.textContent === text", arg=text
    )
    assert marked.count() == 1
    assert page.cell(2).locator(".cm-content:focus").count() == 1
    line, source = page.ask(
        "const { activeCell } = notebook;"
        "return [activeCell.editor.getCursorPosition().line, activeCell.model.sharedModel.source]"
    )
    assert source.splitlines()[line] == text


def test_benchmark_without_a_gpu_explains_itself(translated: NotebookPage) -> None:
    translated.page.locator(".kllm-panel").get_by_text("Benchmark", exact=True).click()
    translated.page.locator(".kllm-panel .kllm-timing").get_by_text("GPU").wait_for()


def test_the_panel_lives_on_after_a_reload(translated: NotebookPage) -> None:
    translated.ask("await panel.context.save()")
    translated.reload()
    wait_for_verdict(translated, "Correct")
    translated.page.locator(".kllm-panel").get_by_text("Check", exact=True).click()
    wait_for_verdict(translated, "Correct")


def test_the_panel_stays_readable_without_its_kernel(server: Server, open_notebook: Open) -> None:
    page = open_notebook(server, [LOAD, MAGIC])
    page.run(0)
    page.run(1)
    wait_for_verdict(page, "Correct")
    page.ask("await panel.context.save()")
    page.ask("await panel.sessionContext.shutdown()")
    page.reload()
    fixed = page.page.locator(".kllm-output .kllm-report .kllm-verdict")
    fixed.get_by_text("Correct").wait_for()
    assert page.page.locator(".kllm-panel").count() == 0
    assert "model not found" not in page.cell(1).inner_text()


def test_a_restart_leaves_the_panel_readable(translated: NotebookPage) -> None:
    translated.ask("await panel.sessionContext.session.kernel.restart()")
    fixed = translated.page.locator(".kllm-output .jp-RenderedHTML .kllm-verdict")
    fixed.get_by_text("Correct").wait_for()
    assert translated.page.locator(".kllm-panel").count() == 0


def test_the_panel_of_an_untrusted_notebook_is_static_and_sanitised(
    lab: Server, open_notebook: Open, translated: NotebookPage
) -> None:
    translated.ask("await panel.context.save()")
    saved = (lab.folder / translated.name).read_text()
    evil = saved.replace('kllm-footer\\">', 'kllm-footer\\"><img src=x onerror=hurt()>')
    assert evil != saved
    (lab.folder / "untrusted.ipynb").write_text(evil)
    page = open_notebook(lab, name="untrusted.ipynb")
    page.page.locator(".kllm-output .kllm-verdict").get_by_text("Correct").wait_for()
    assert page.page.locator(".kllm-output [onerror]").count() == 0
    assert page.page.locator(".kllm-panel").count() == 0


# --- stopping ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def endless(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The magic over ``MODULE``, with a model that does not end by itself."""
    model = make_endless_checkpoint(tmp_path_factory.mktemp("endless"), MODULE)
    options = f"-m {model} --no-check {ENDLESSLY}"
    return f"%%kernelllm {options}\n{MODULE}"


WRITING = "return cells.length === 4 && cells[2].source.split('x = ').length > 8"
#: What is in the cell then: the heading, and the text below it.
PARTIAL = re.compile(r"# KernelLLM · [^\n]*\n(x = \d\n){7}")


def test_stop_keeps_the_text_and_leaves_everything_usable(
    lab: Server, open_notebook: Open, endless: str
) -> None:
    page = open_notebook(lab, [LOAD, endless, MAGIC])
    page.run(0)
    page.start(1)
    page.wait(WRITING)
    page.page.locator(".kllm-panel button.kllm-stop").click()
    page.wait_until_ran(1)
    partial = page.source(2)
    assert PARTIAL.match(partial)
    assert "Stopped" in page.cell(1).inner_text()
    page.run(3)
    assert_translated(page, 3)
    assert page.source(2) == partial


def test_what_a_page_missed_while_it_was_loaded_anew_reaches_it(
    lab: Server, open_notebook: Open, endless: str
) -> None:
    page = open_notebook(lab, [LOAD, endless])
    page.run(0)
    page.start(1)
    page.wait(WRITING.replace("4", "3"))
    # Nothing of the run is saved; the page that asked is gone before it ends.
    page.page.on("dialog", lambda dialog: dialog.accept())
    page.load()
    page.wait("return panel.sessionContext.session?.kernel?.connectionStatus === 'connected'")
    assert len(page.sources()) == 2
    page.ask("await panel.sessionContext.session.kernel.interrupt()")
    page.wait("return cells.length === 3 && cells[2].source.includes('x = ')")
    page.page.locator(".kllm-panel").get_by_text("Stopped; the text so far stays").wait_for()
    whole = page.source(2)
    assert PARTIAL.match(whole)
    # Once saved it is the user's: a cell that was deleted does not come again.
    page.ask("notebook.model.sharedModel.deleteCell(2); await panel.context.save()")
    page.open()
    page.page.locator(".kllm-panel").first.wait_for()
    assert len(page.sources()) == 2
    assert page.errors == []


def test_a_restart_while_the_model_writes_keeps_the_text(
    lab: Server, open_notebook: Open, endless: str
) -> None:
    page = open_notebook(lab, [LOAD, endless, MAGIC])
    page.run(0)
    page.start(1)
    page.wait(WRITING)
    page.ask("await panel.sessionContext.session.kernel.restart()")
    page.wait_for_kernel()
    assert PARTIAL.match(page.source(2))
    page.run(0)
    page.run(3)
    wait_for_verdict(page, "Correct")
    assert_translated(page, 3)
    assert page.errors == []
