"""A notebook in long use: nothing piles up in the Jupyter kernel, and old panels stay readable."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from jupyter_session import JupyterSession

from kernelllm_jupyter.notebook.live import MOST, LivePanels

WIDGET = "application/vnd.jupyter.widget-view+json"
COUNT = """
import gc, json, threading
gc.collect()
from comm import get_comm_manager
from ipywidgets import widget
print(json.dumps([len(get_comm_manager().comms), len(widget._instances),
    threading.active_count(), len(gc.get_objects())]))
"""


class Panel:
    """Stands in for a WidgetPanel: tells what became of it."""

    def __init__(self) -> None:
        self.became = "alive"

    def retire(self) -> None:
        self.became = "static"

    def release(self) -> str:
        self.became = "gone"
        return "its widgets"


def test_a_cell_that_runs_again_takes_over_its_widgets_and_no_others() -> None:
    live, panels = LivePanels(), [Panel() for _ in range(4)]
    for panel, cell, run in zip(panels, "aabc", (1, 1, 2, 3), strict=True):
        # Two in one run are both on show, as a loop makes them.
        assert live.take(cell, str(run)) is None
        live.add(panel, cell, str(run))
    assert live.take("a", "4") == "its widgets"
    assert [panel.became for panel in panels] == ["gone", "static", "alive", "alive"]
    assert live.take("a", "4") is None


def test_only_the_newest_stay_alive() -> None:
    live, panels = LivePanels(most=2), [Panel() for _ in range(4)]
    for at, panel in enumerate(panels):
        live.add(panel, f"cell {at}", f"run {at}")
    assert [panel.became for panel in panels] == ["static", "static", "alive", "alive"]


@pytest.fixture(scope="module")
def session() -> Iterator[JupyterSession]:
    session = JupyterSession()
    assert not session.run("%load_ext kernelllm_jupyter").failed
    yield session
    session.close()


def counts(session: JupyterSession) -> list[int]:
    import json

    found: list[int] = json.loads(session.run(COUNT).printed)
    return found


def test_twelve_more_translations_hold_no_more_than_the_first(
    session: JupyterSession, small_module: str
) -> None:
    def translate(count: int) -> None:
        for at in range(count):
            metadata: dict[str, Any] = {"kernelllm": {"v": 1}, "cellId": f"cell-{at % 3}"}
            ran = session.run(f"%%kernelllm --no-check\n{small_module}", metadata=metadata)
            assert not ran.failed, ran.error

    translate(3)
    *before, objects_before = counts(session)
    translate(12)
    *after, objects = counts(session)
    assert after == before
    assert objects < objects_before * 1.03


def test_a_loop_of_many_keeps_the_buttons_of_the_latest_and_the_words_of_all(
    session: JupyterSession, small_module: str
) -> None:
    count = MOST + 3
    loop = f"""
shell = get_ipython()
def translate(factor):
    module = {small_module!r}.replace("2.5", str(factor))
    shell.run_cell_magic("kernelllm", "--no-check", module)
for factor in range({count}):
    translate(factor + 0.5)
"""
    ran = session.run(loop, metadata={"cellId": "a-cell-that-is-named"})
    assert not ran.failed, ran.error
    opened = {
        content["transient"]["display_id"]
        for content in ran.of_type("display_data")
        if "kllm-report" in content["data"].get("text/html", "")
    }
    assert len(opened) == count
    last = {}
    for message in ran.published:
        content = message["content"]
        display = content.get("transient", {}).get("display_id")
        if display in opened:
            last[display] = content["data"]
    assert sorted(WIDGET in data for data in last.values()) == [False] * 3 + [True] * MOST
    assert all("Not checked" in data["text/html"] for data in last.values())
