"""What streaming costs the browser: ``python benchmarks/browser.py [--length N] [--rate N]``.

Streams numbered text into a cell of a real JupyterLab in a real Chromium, one piece of four
characters a token, and prints one JSON object: the long tasks that the page had while the text
came (there should be none over 100 ms), how long a piece took from the Jupyter kernel to the
cell, whether the text arrived whole, and the size of the built extension. Long tasks are also
counted for the same time without a stream, since a shared machine makes some by itself.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests" / "browser"))

from notebook_page import NotebookPage, notebook_of  # noqa: E402
from playwright.sync_api import sync_playwright  # noqa: E402
from servers import BUILT, FLAGS, Server, serve  # noqa: E402
from streaming_magic import text_of  # noqa: E402

OBSERVE = """
window.tasks = [];
new PerformanceObserver(list => {
    for (const entry of list.getEntries()) { window.tasks.push(entry.duration); }
}).observe({ type: 'longtask' });
"""

#: Notes when the cell held how much, for the delays. The kernel's clock is the browser's clock.
WATCH = """
window.grown = [];
const cell = cells[arg];
const note = () => window.grown.push([Date.now(), cell.source.length]);
cell.changed.connect(note);
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--length", type=int, default=8000, help="characters to stream")
    parser.add_argument("--rate", type=float, default=200, help="tokens a second")
    options = parser.parse_args()
    place = Path(tempfile.mkdtemp(prefix="kllm-bench-"))
    servers = serve("lab", place)
    try:
        measured = measure(next(servers), options.length, options.rate)
    finally:
        servers.close()
        shutil.rmtree(place, ignore_errors=True)
    print(json.dumps({**measured, **bundle_bytes()}, indent=1))


def measure(server: Server, length: int, rate: float) -> dict[str, Any]:
    """Long tasks and delays of one stream, and long tasks of the same time without one."""
    stream = f"%%stream length={length} rate={rate} stamps=1\nx"
    load = "%load_ext streaming_magic"
    # The first, short stream makes the cell and warms everything up; the second fills it.
    cells = [load, "%%stream length=40\nx"]
    (server.folder / "stream.ipynb").write_text(json.dumps(notebook_of(cells)))
    chromium = os.environ.get("CHROMIUM") or shutil.which("chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=FLAGS)
        tab = browser.new_page(viewport={"width": 1280, "height": 900})
        tab.set_default_timeout(300_000)
        page = NotebookPage(tab, "lab", server.url, "stream.ipynb")
        page.open()
        page.run(0)
        page.run(1)
        page.ask("cells[1].setSource(arg)", stream)
        page.ask(WATCH, 2)
        tab.evaluate(OBSERVE)
        page.run(1)
        during = tab.evaluate("() => window.tasks.splice(0)")
        whole = page.source(2) == text_of(length)
        delays = delays_ms(tab.evaluate("() => window.grown"), page.ask("return cells[1].outputs"))
        tab.wait_for_timeout(1000 * length / 4 / rate)
        idle = tab.evaluate("() => window.tasks")
        browser.close()
    return {
        "characters": length,
        "tokens_per_s": rate,
        "arrived_whole": whole,
        "long_tasks": len(during),
        "long_tasks_over_100_ms": sum(task > 100 for task in during),
        "longest_task_ms": round(max(during, default=0)),
        "long_tasks_without_stream": len(idle),
        "delay_median_ms": round(statistics.median(delays)),
        "delay_p95_ms": round(statistics.quantiles(delays, n=20)[-1]),
    }


def delays_ms(grown: list[list[float]], outputs: list[dict[str, Any]]) -> list[float]:
    """For each piece, the time from its ``write`` in the kernel to its place in the cell."""
    [stamps] = [json.loads(o["text"]) for o in outputs if "text" in o and o["text"][0] == "["]
    delays = []
    for sent_ms, length in stamps:
        arrived = next((at for at, size in grown if size >= length and at >= sent_ms - 5), None)
        if arrived is not None:
            delays.append(arrived - sent_ms)
    return delays


def bundle_bytes() -> dict[str, int]:
    """Size of the built extension, in all and of what the browser loads."""
    files = [path for path in BUILT.rglob("*") if path.is_file()]
    scripts = [path for path in files if path.suffix == ".js"]
    return {
        "bundle_bytes": sum(path.stat().st_size for path in files),
        "script_bytes": sum(path.stat().st_size for path in scripts),
    }


if __name__ == "__main__":
    main()
