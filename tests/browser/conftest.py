"""Real JupyterLab and Notebook 7 servers, a real Chromium, and a notebook in it.

``CHROMIUM`` names the browser where it is not found on the path. A failed test leaves a
screenshot in ``test-results/``.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from notebook_page import NotebookPage, notebook_of
from playwright.sync_api import Browser, BrowserContext, sync_playwright
from servers import FLAGS, ROOT, Server, serve

reports = pytest.StashKey[dict[str, pytest.TestReport]]()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(item.fspath).parent == Path(__file__).parent:
            item.add_marker(pytest.mark.browser)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    report = yield
    item.stash.setdefault(reports, {})[report.when] = report
    return report


@pytest.fixture(scope="session", autouse=True)
def own_runtime_folder() -> Iterator[None]:
    """Model processes of the tests live in a folder of their own, and end with them."""
    # A short path: that of a Unix socket may have at most 107 bytes.
    folder = tempfile.mkdtemp(prefix="kllm-")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_RUNTIME_DIR", folder)
        yield
        from kernelllm_jupyter.engines.local import stop_all

        stop_all()
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    path = (
        os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
    )
    if not path:
        pytest.fail("Chromium is not on the path: install it, or name it in CHROMIUM.")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    yield from serve("lab", tmp_path_factory.mktemp("lab"))


@pytest.fixture(scope="session")
def notebook7(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    yield from serve("notebook", tmp_path_factory.mktemp("notebook"))


@pytest.fixture(scope="session")
def bare_lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """JupyterLab without our extension."""
    yield from serve("lab", tmp_path_factory.mktemp("bare"), extension=False)


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    context.set_default_timeout(60_000)
    yield context
    context.close()


@pytest.fixture
def open_notebook(
    context: BrowserContext, request: pytest.FixtureRequest
) -> Iterator[Callable[..., NotebookPage]]:
    """``open_notebook(server, cells)`` shows a new notebook (or the named one, without cells)."""
    pages: list[NotebookPage] = []
    taken = re.sub(r"\W+", "-", request.node.name).strip("-")

    def show(
        server: Server, cells: list[Any] | None = None, name: str | None = None
    ) -> NotebookPage:
        name = name or f"{taken}.ipynb"
        if cells is not None:
            (server.folder / name).write_text(json.dumps(notebook_of(cells)))
        page = NotebookPage(context.new_page(), server.kind, server.url, name)
        pages.append(page)
        page.open()
        return page

    yield show
    outcome = request.node.stash.get(reports, {}).get("call")
    for at, page in enumerate(pages):
        if outcome is not None and outcome.failed:
            folder = ROOT / "test-results"
            folder.mkdir(exist_ok=True)
            page.page.screenshot(path=folder / f"{taken}-{at}.png")
        page.shut_down()
