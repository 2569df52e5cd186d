"""Text streams from the Jupyter kernel into a cell of the notebook, whatever happens meanwhile."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from notebook_page import NotebookPage
from servers import Server
from streaming_magic import text_of

Open = Callable[..., NotebookPage]

LOAD = "%load_ext streaming_magic"
LONG = "%%stream length=4000 rate=120\nx"

#: Enough of a long stream to be in its middle.
BEGUN = "return cells.some(cell => cell.source.length > 200 && cell.getMetadata('kernelllm'))"


@pytest.fixture(params=["lab", "notebook7"])
def server(request: pytest.FixtureRequest) -> Server:
    found: Server = request.getfixturevalue(request.param)
    return found


@pytest.fixture
def streaming(lab: Server, open_notebook: Open) -> NotebookPage:
    """A notebook in the middle of a stream: magic in cell 1, its text in cell 2."""
    page = open_notebook(lab, [LOAD, LONG, "last = 1"])
    page.run(0)
    page.start(1)
    page.wait(BEGUN)
    return page


# --- the text arrives, once, in its place ------------------------------------------------------


def test_text_streams_into_a_new_cell_directly_below(server: Server, open_notebook: Open) -> None:
    page = open_notebook(server, [LOAD, "%%stream length=2000\nx", "last = 1"])
    page.run(0)
    page.run(1)
    assert page.sources() == [LOAD, "%%stream length=2000\nx", text_of(2000), "last = 1"]
    assert "finished by CellStream" in page.outputs(1)
    assert page.mark(2)["source_cell"] == "cell-1"


def test_run_all_in_a_fresh_kernel_streams_every_cell(server: Server, open_notebook: Open) -> None:
    asks = [f"%%stream text=cell_{at}_is_written\nx" for at in range(3)]
    page = open_notebook(server, [LOAD, *asks])
    page.command("notebook:run-all-cells")
    page.wait("return cells.filter(cell => cell.getMetadata('kernelllm')).length === 3")
    page.wait_until_ran(-2)
    expected = [LOAD]
    for at, ask in enumerate(asks):
        expected += [ask, f"cell_{at}_is_written"]
    assert page.sources() == expected


def test_a_fast_long_text_arrives_whole(lab: Server, open_notebook: Open) -> None:
    page = open_notebook(lab, [LOAD, "%%stream length=60000 rate=5000 size=12\nx"])
    page.run(0)
    page.run(1)
    assert page.source(2) == text_of(60000)


def test_a_stream_without_text_leaves_the_notebook_as_it_is(
    lab: Server, open_notebook: Open
) -> None:
    cells = [LOAD, "%%stream length=0\nx", "last = 1"]
    page = open_notebook(lab, cells)
    page.run(0)
    page.run(1)
    assert page.sources() == cells


# --- running again -----------------------------------------------------------------------------


def test_running_again_replaces_the_cell_it_made(server: Server, open_notebook: Open) -> None:
    page = open_notebook(server, [LOAD, "%%stream text=first\nx", "last = 1"])
    page.run(0)
    page.run(1)
    page.ask("cells[1].setSource('%%stream text=second\\nx')")
    page.run(1)
    page.run(1)
    assert page.sources() == [LOAD, "%%stream text=second\nx", "second", "last = 1"]


def test_an_edited_cell_is_kept_and_a_new_one_made(lab: Server, open_notebook: Open) -> None:
    page = open_notebook(lab, [LOAD, "%%stream text=first\nx"])
    page.run(0)
    page.run(1)
    page.type_into(2, " # mine")
    page.run(1)
    assert page.sources()[2:] == ["first", "first # mine"]
    page.run(1)
    assert page.sources()[2:] == ["first", "first # mine"]


def test_a_moved_cell_is_replaced_where_it_is(lab: Server, open_notebook: Open) -> None:
    page = open_notebook(lab, [LOAD, "%%stream text=first\nx", "last = 1"])
    page.run(0)
    page.run(1)
    page.ask("notebook.model.sharedModel.moveCell(2, 3)")
    page.ask("cells[1].setSource('%%stream text=second\\nx')")
    page.run(1)
    assert page.sources()[2:] == ["last = 1", "second"]


def test_a_copy_of_the_cell_is_left_alone(lab: Server, open_notebook: Open) -> None:
    page = open_notebook(lab, [LOAD, "%%stream text=first\nx"])
    page.run(0)
    page.run(1)
    page.select(2)
    page.command("notebook:copy-cell")
    page.command("notebook:paste-cell-below")
    page.wait("return cells.length === 4")
    page.ask("cells[1].setSource('%%stream text=second\\nx')")
    page.run(1)
    assert sorted(page.sources()[2:]) == ["first", "second"]


def test_replacing_works_after_a_reload_and_a_restart(server: Server, open_notebook: Open) -> None:
    page = open_notebook(server, [LOAD, "%%stream text=first\nx"])
    page.run(0)
    page.run(1)
    page.ask("await panel.context.save()")
    page.reload()
    page.ask("cells[1].setSource('%%stream text=second\\nx')")
    page.run(1)
    assert page.sources()[2:] == ["second"]
    page.ask("await panel.sessionContext.session.kernel.restart()")
    page.wait_for_kernel()
    page.run(0)
    page.ask("cells[1].setSource('%%stream text=third\\nx')")
    page.run(1)
    assert page.sources()[2:] == ["third"]


# --- what a person does stays theirs -----------------------------------------------------------


def test_a_whole_stream_is_one_undo_step(lab: Server, open_notebook: Open) -> None:
    # Three pieces a second: the gaps are longer than what the editor joins by itself.
    page = open_notebook(lab, [LOAD, "%%stream length=40 rate=1.6 size=10\nx"])
    page.run(0)
    page.run(1)
    assert page.source(2) == text_of(40)
    page.cell(2).locator(".cm-content").click()
    page.page.keyboard.press("Control+z")
    page.wait("return cells[2].source === ''")
    page.page.keyboard.press("Control+Shift+z")
    page.wait("return cells[2].source.length === 40")


def test_undo_brings_the_replaced_text_back(lab: Server, open_notebook: Open) -> None:
    page = open_notebook(lab, [LOAD, "%%stream text=first\nx"])
    page.run(0)
    page.run(1)
    page.ask("cells[1].setSource('%%stream text=second\\nx')")
    page.run(1)
    page.cell(2).locator(".cm-content").click()
    page.page.keyboard.press("Control+z")
    page.wait("return cells[2].source === 'first'")


def test_typing_after_a_stream_is_a_step_of_its_own(lab: Server, open_notebook: Open) -> None:
    page = open_notebook(lab, [LOAD, "%%stream text=first\nx"])
    page.run(0)
    page.run(1)
    page.type_into(2, "!")
    page.page.keyboard.press("Control+z")
    page.wait("return cells[2].source === 'first'")


def test_typing_elsewhere_goes_on_undisturbed(streaming: NotebookPage) -> None:
    streaming.type_into(3, "\nmine = ")
    for digit in "1234567890":
        streaming.page.keyboard.type(digit)
    streaming.wait_until_ran(1)
    assert streaming.source(3) == "last = 1\nmine = 1234567890"
    assert streaming.source(2) == text_of(4000)
    assert streaming.ask("return notebook.activeCellIndex") == 3


def test_typing_into_the_streaming_cell_loses_neither_text(streaming: NotebookPage) -> None:
    streaming.cell(2).locator(".cm-content").click(position={"x": 2, "y": 8})
    streaming.page.keyboard.press("Control+Home")
    streaming.page.keyboard.type("# mine\n")
    streaming.wait_until_ran(1)
    assert streaming.sources()[2:] == ["# mine\n" + text_of(4000), "last = 1"]
    streaming.run(1)
    assert streaming.sources()[2:4] == [text_of(4000), "# mine\n" + text_of(4000)]


def test_undoing_in_the_streaming_cell_moves_the_stream_on(streaming: NotebookPage) -> None:
    # A click waits until the cell grows no more, which may be at the stream's end.
    streaming.cell(2).locator(".cm-content").focus()
    streaming.page.keyboard.press("Control+z")
    streaming.wait_until_ran(1)
    assert streaming.sources()[2:] == ["", text_of(4000), "last = 1"]


def test_the_page_does_not_scroll_by_itself(lab: Server, open_notebook: Open) -> None:
    filling = [f"line = {at}\n" * 20 for at in range(6)]
    page = open_notebook(lab, [LOAD, LONG, *filling])
    page.run(0)
    page.start(1)
    page.wait(BEGUN)
    top = "return notebook.viewportNode?.scrollTop ?? notebook.node.scrollTop"
    page.ask("(notebook.viewportNode ?? notebook.node).scrollTop = 0")
    page.wait("return (notebook.viewportNode ?? notebook.node).scrollTop === 0")
    page.wait_until_ran(1)
    assert page.ask(top) == 0


# --- faults ------------------------------------------------------------------------------------


def test_deleting_the_cell_ends_its_text_and_nothing_else(streaming: NotebookPage) -> None:
    streaming.ask("notebook.model.sharedModel.deleteCell(2)")
    streaming.wait_until_ran(1)
    assert "finished by CellStream" in streaming.outputs(1)
    assert streaming.sources() == [LOAD, LONG, "last = 1"]
    assert streaming.errors == []


def test_a_cell_moved_meanwhile_is_written_to_the_end(streaming: NotebookPage) -> None:
    streaming.ask("notebook.model.sharedModel.moveCell(2, 3)")
    streaming.wait_until_ran(1)
    assert streaming.sources() == [LOAD, LONG, "last = 1", text_of(4000)]
    assert streaming.errors == []


def test_deleting_the_asking_cell_does_not_disturb_the_stream(streaming: NotebookPage) -> None:
    streaming.ask("notebook.model.sharedModel.deleteCell(1)")
    streaming.wait(f"return cells[1].source.length === {len(text_of(4000))}")
    assert streaming.source(1) == text_of(4000)
    assert streaming.errors == []


def test_closing_the_notebook_meanwhile_gives_no_error(streaming: NotebookPage) -> None:
    page = streaming.page
    page.evaluate("() => { window.kept = window.jupyterapp.shell.currentWidget }")
    page.evaluate("async () => { await window.kept.context.save(); window.kept.close() }")
    page.wait_for_function("() => window.kept.isDisposed")
    page.evaluate(
        """async name => {
            const { sessions, kernels } = window.jupyterapp.serviceManager;
            const model = await sessions.findByPath(name);
            const kernel = kernels.connectTo({ model: model.kernel, handleComms: false });
            await kernel.requestExecute({ code: '1' }).done;
        }""",
        streaming.name,
    )
    assert streaming.errors == []
    streaming.open()
    partial = streaming.source(2)
    assert 200 < len(partial) < 4000
    assert text_of(4000).startswith(partial)
    streaming.run(1)
    assert streaming.sources() == [LOAD, LONG, text_of(4000), "last = 1"]


def test_restarting_the_kernel_meanwhile_keeps_the_text_so_far(streaming: NotebookPage) -> None:
    streaming.ask("await panel.sessionContext.session.kernel.restart()")
    streaming.wait_for_kernel()
    partial = streaming.source(2)
    assert 200 < len(partial) < 4000
    assert text_of(4000).startswith(partial)
    assert streaming.errors == []
    streaming.run(0)
    streaming.run(1)
    assert streaming.sources() == [LOAD, LONG, text_of(4000), "last = 1"]


def test_a_killed_kernel_keeps_the_text_so_far(streaming: NotebookPage) -> None:
    streaming.ask("await panel.sessionContext.shutdown()")
    streaming.wait("return !panel.sessionContext.session?.kernel")
    partial = streaming.source(2)
    assert 200 < len(partial) < 4000
    assert text_of(4000).startswith(partial)
    assert streaming.errors == []


def test_interrupting_keeps_the_text_so_far(streaming: NotebookPage) -> None:
    streaming.command("notebook:interrupt-kernel")
    streaming.wait_until_ran(1)
    partial = streaming.source(2)
    assert f"stopped after {len(partial)}" in streaming.outputs(1)
    assert text_of(4000).startswith(partial)
    streaming.run(1)
    assert streaming.sources() == [LOAD, LONG, text_of(4000), "last = 1"]


def test_only_the_tab_that_asked_is_written(lab: Server, open_notebook: Open) -> None:
    cells = [LOAD, "%%stream text=first\nx"]
    one = open_notebook(lab, cells, name="shared.ipynb")
    two = open_notebook(lab, name="shared.ipynb")
    kernel = "return panel.sessionContext.session.kernel.id"
    assert one.ask(kernel) == two.ask(kernel)
    one.run(0)
    one.run(1)
    assert one.sources() == [*cells, "first"]
    assert two.sources() == cells
    two.run(1)
    assert two.sources() == [*cells, "first"]
    assert one.sources() == [*cells, "first"]


def test_two_notebooks_on_one_kernel_are_kept_apart(lab: Server, open_notebook: Open) -> None:
    # JupyterLab hands comms to the connection that came first, so to the other notebook's.
    cells = [LOAD, "%%stream text=first\nx"]
    open_notebook(lab, ["other = 1"], name="second.ipynb")
    page = open_notebook(lab, cells, name="first.ipynb")
    identity = page.ask("return panel.sessionContext.session.kernel.id")
    page.command("docmanager:open", {"path": "second.ipynb"})
    page.wait("return panel.context.path === 'second.ipynb' && panel.context.isReady")
    page.wait_for_kernel()
    page.ask("notebook.model.sharedModel.insertCell(1, {cell_type: 'code', source: arg})", cells[1])
    page.ask("await panel.sessionContext.changeKernel({id: arg})", identity)
    page.ask("notebook.model.sharedModel.insertCell(0, {cell_type: 'code', source: arg})", LOAD)
    page.wait_for_kernel()
    page.run(0)
    page.run(2)
    # The text comes over the other notebook's connection, so perhaps after the reply.
    page.wait("return cells[3]?.source === 'first'")
    assert page.sources() == [LOAD, "other = 1", cells[1], "first"]
    page.command("docmanager:open", {"path": "first.ipynb"})
    page.wait("return panel.context.path === 'first.ipynb'")
    assert page.sources() == cells


def test_a_second_view_of_the_notebook_changes_nothing(lab: Server, open_notebook: Open) -> None:
    page = open_notebook(lab, [LOAD, "%%stream text=first\nx"])
    page.command("docmanager:clone")
    page.page.wait_for_function("() => [...window.jupyterapp.shell.widgets('main')].length === 2")
    page.run(0)
    page.run(1)
    assert page.sources() == [LOAD, "%%stream text=first\nx", "first"]


def test_with_a_console_that_takes_the_comms_the_code_arrives_by_the_fallback(
    lab: Server, open_notebook: Open
) -> None:
    cells = [LOAD, "%%stream text=first\nx"]
    page = open_notebook(lab, cells)
    page.page.evaluate(
        """async () => {
            // As a console does that was opened on this kernel before the notebook was.
            const { kernels } = window.jupyterapp.serviceManager;
            const session = window.jupyterapp.shell.currentWidget.sessionContext;
            const kernel = await kernels.startNew({ name: 'python3' });
            await session.changeKernel({ id: kernel.id });
        }"""
    )
    page.wait_for_kernel()
    assert page.ask("return panel.sessionContext.session.kernel.handleComms") is False
    page.run(0)
    page.run(1)
    page.wait("return cells.length === 3")
    assert page.source(2) == "first"
    assert "finished by FallbackCell" in page.outputs(1)


# --- other front ends --------------------------------------------------------------------------


def test_without_the_extension_the_code_arrives_once_as_the_next_cell(
    bare_lab: Server, open_notebook: Open
) -> None:
    page = open_notebook(bare_lab, [LOAD, "%%stream length=300\nx", "last = 1"])
    page.run(0)
    page.run(1)
    page.wait("return cells.length === 4")
    assert page.sources() == [LOAD, "%%stream length=300\nx", text_of(300), "last = 1"]
    assert "finished by FallbackCell" in page.outputs(1)
    assert page.outputs(1).count("display_data") == 1


# --- from the page back to the kernel ----------------------------------------------------------


def test_a_click_reads_the_cell_as_it_stands(server: Server, open_notebook: Open) -> None:
    page = open_notebook(server, [LOAD, "%%stream text=first\nx", "%reader"])
    page.run(0)
    page.run(1)
    page.run(3)
    read = page.page.locator("button.test-read")
    read.click()
    page.page.get_by_text("<'first'>").wait_for()
    page.type_into(2, " + mine")
    read.click()
    page.page.get_by_text("<'first + mine'>").wait_for()
    page.ask("notebook.model.sharedModel.deleteCell(2)")
    read.click()
    page.page.get_by_text("<None>").wait_for()


@pytest.mark.parametrize("how", ["mouse", "keyboard"])
def test_the_stop_button_works_while_the_cell_runs(
    how: str, lab: Server, open_notebook: Open
) -> None:
    page = open_notebook(lab, [LOAD, LONG.replace("rate", "stop=1 rate")])
    page.run(0)
    page.start(1)
    page.wait(BEGUN)
    stop = page.page.locator("button.kllm-stop")
    if how == "mouse":
        stop.click()
    else:
        stop.focus()
        page.page.keyboard.press("Enter")
    page.wait_until_ran(1)
    assert f"stopped after {len(page.source(2))}" in page.outputs(1)
