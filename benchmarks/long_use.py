"""Long use: ``python benchmarks/long_use.py [--translations N] [--cells N] [-k N] [--no-check]``.

One notebook in a real JupyterLab in a real Chromium, with the bundled model: its cells are
translated by turns until N translations were made. Prints one JSON object: memory of the Jupyter
kernel, the model's process, the processes that check and the page (its heap after a garbage
collection), in the first half and at the end, how many widgets, comms, threads and files the
Jupyter kernel had, and what lay in the folder for temporary files. What is flat grows by less than
10 % from the one to the other.

JupyterLab's toolbar of the active cell is off unless ``--toolbar`` is given: it leaves its buttons
behind in the page each time another cell becomes the active one, with or without this extension.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "browser")]

from notebook_page import NotebookPage, notebook_of  # noqa: E402
from playwright.sync_api import CDPSession, sync_playwright  # noqa: E402
from servers import FLAGS, Server, serve  # noqa: E402

LOAD = "%load_ext kernelllm_jupyter"
MODULE = """\
%%kernelllm {options}
import torch
import torch.nn as nn


class Model(nn.Module):
    def forward(self, x):
        return torch.relu(x) * {factor}


def get_inputs():
    return [torch.randn(4, 33)]
"""
#: Run over a second connection's back: counts in the Jupyter kernel, without leaving names there.
COUNTS = """
import gc, json, os, threading
gc.collect()
from comm import get_comm_manager
from ipywidgets import widget
print(json.dumps({
    "pid": os.getpid(),
    "comms": len(get_comm_manager().comms),
    "widgets": len(widget._instances),
    "threads": threading.active_count(),
    "files": len(os.listdir("/proc/self/fd")),
    "objects": len(gc.get_objects()),
}))
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--translations", type=int, default=200)
    parser.add_argument("--cells", type=int, default=10, help="cells that are translated by turns")
    parser.add_argument("--samples", type=int, default=10, help="how often it is measured")
    parser.add_argument("-k", type=int, default=1, help="candidates of each translation")
    parser.add_argument("--no-check", action="store_true", help="leave the checks out")
    parser.add_argument("--toolbar", action="store_true", help="with the active cell's toolbar")
    options = parser.parse_args()
    place = Path(tempfile.mkdtemp(prefix="kllm-long-"))
    os.environ["XDG_RUNTIME_DIR"] = str(place)
    os.environ["KERNELLLM_DATA"] = str(place / "data")
    # Of the server, its Jupyter kernels and what they start; not of the browser.
    os.environ["TMPDIR"] = str(place / "temporary")
    (place / "temporary").mkdir()
    servers = serve("lab", place)
    try:
        server = next(servers)
        del os.environ["TMPDIR"]
        if not options.toolbar:
            leave_out(place, "@jupyterlab/cell-toolbar-extension")
        samples = measure(server, options)
    finally:
        servers.close()
        from kernelllm_jupyter.engines.local import stop_all

        stop_all()
        shutil.rmtree(place, ignore_errors=True)
    print(json.dumps(summary(samples, options), indent=1))


def leave_out(place: Path, extension: str) -> None:
    """Disable an extension of JupyterLab's; read anew with each page."""
    file = place / "config" / "labconfig" / "page_config.json"
    configuration = json.loads(file.read_text())
    configuration["disabledExtensions"][extension] = True
    file.write_text(json.dumps(configuration))


def measure(server: Server, options: argparse.Namespace) -> list[dict[str, Any]]:
    words = f"-k {options.k}" + (" --no-check" if options.no_check else "")
    cells = [MODULE.format(options=words, factor=f"{at + 2}.5") for at in range(options.cells)]
    # Measuring is done from the last cell, the translated ones stand between.
    (server.folder / "long.ipynb").write_text(json.dumps(notebook_of([LOAD, *cells, COUNTS])))
    chromium = os.environ.get("CHROMIUM") or shutil.which("chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=FLAGS)
        tab = browser.new_page(viewport={"width": 1280, "height": 900})
        tab.set_default_timeout(300_000)
        page = NotebookPage(tab, "lab", server.url, "long.ipynb")
        page.open()
        devtools = tab.context.new_cdp_session(tab)
        devtools.send("Performance.enable")
        page.run(0)
        samples = []
        each = max(1, options.translations // options.samples)
        for count in range(1, options.translations + 1):
            run(page, f"cell-{1 + count % options.cells}")
            if count % each == 0:
                sample = {"translations": count, **sampled(page, devtools, len(cells) + 1)}
                sample["temporary"] = len(list((server.folder.parent / "temporary").rglob("*")))
                samples.append(sample)
                print(json.dumps(sample), file=sys.stderr, flush=True)
        if page.errors:
            raise RuntimeError(f"The page had errors: {page.errors}")
        browser.close()
    return samples


def run(page: NotebookPage, identity: str) -> None:
    page.run(page.ask("return cells.findIndex(cell => cell.id === arg)", identity))


def sampled(page: NotebookPage, devtools: CDPSession, last: int) -> dict[str, Any]:
    run(page, f"cell-{last}")
    at = page.ask("return cells.length - 1")
    counted = json.loads("".join(o["text"] for o in page.ask("return cells[arg].outputs", at)))
    pid = counted.pop("pid")
    engines = named("kernelllm_jupyter.engines.server")
    ours = [one for one in descendants(pid) if one not in engines]
    for _ in range(2):
        devtools.send("HeapProfiler.collectGarbage")
    found = devtools.send("Performance.getMetrics")["metrics"]
    metrics = {one["name"]: one["value"] for one in found}
    return {
        "kernel_mb": rss_mb(pid),
        "engine_mb": sum(map(rss_mb, engines)),
        "checkers_mb": round(sum(map(rss_mb, ours)), 1),
        "checkers": len(ours),
        "page_heap_mb": round(metrics["JSHeapUsedSize"] / 1e6, 1),
        "page_nodes": int(metrics["Nodes"]),
        "page_listeners": int(metrics["JSEventListeners"]),
        "cells": page.ask("return cells.length"),
        "at_s": round(time.monotonic()),
        **counted,
    }


def descendants(pid: int) -> list[int]:
    """The processes that a process started, and theirs."""
    try:
        children = Path(f"/proc/{pid}/task").glob("*/children")
        own = [int(child) for file in children for child in file.read_text().split()]
    except OSError:
        return []
    return [found for child in own for found in (child, *descendants(child))]


def named(module: str) -> list[int]:
    """This run's processes of a module, known by the folder that only this run uses."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes().split(b"\0")
        except OSError:
            continue
        place = os.environ["XDG_RUNTIME_DIR"].encode()
        if module.encode() in words and any(word.startswith(place) for word in words):
            found.append(int(path.parent.name))
    return found


def rss_mb(pid: int) -> float:
    """Memory that only this process has, and its share of what several have."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0.0
    [line] = [line for line in lines if line.startswith("Pss:")]
    return round(int(line.split()[1]) / 1024, 1)


def summary(samples: list[dict[str, Any]], options: argparse.Namespace) -> dict[str, Any]:
    """What each figure was early (median of the first half less the first) and at the end."""
    half = len(samples) // 2
    early, late = samples[1 : half + 1], samples[half + 1 :]
    figures = {}
    for name in samples[0]:
        if name in ("translations", "at_s"):
            continue
        before = statistics.median(sample[name] for sample in early)
        after = statistics.median(sample[name] for sample in late)
        growth = None if not before else round(100 * (after / before - 1), 1)
        figures[name] = {"early": before, "late": after, "growth_percent": growth}
    seconds = samples[-1]["at_s"] - samples[0]["at_s"]
    return {
        "translations": options.translations,
        "cells": options.cells,
        "k": options.k,
        "checked": not options.no_check,
        "seconds": seconds,
        "figures": figures,
    }


if __name__ == "__main__":
    main()
