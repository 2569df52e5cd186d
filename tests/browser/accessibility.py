"""What axe-core finds wrong with our panels in a page: https://github.com/dequelabs/axe-core."""

from __future__ import annotations

from typing import Any

from notebook_page import NotebookPage
from servers import ROOT

AXE = ROOT / "node_modules" / "axe-core" / "axe.min.js"
OURS = "[['.kllm-output'], [\"[data-command='kernelllm:translate']\"]]"


def violations(page: NotebookPage) -> list[Any]:
    """Serious and critical ones in our elements, with the elements."""
    page.page.evaluate(AXE.read_text())
    found: list[Any] = page.page.evaluate(
        f"""async () => (await axe.run({{include: {OURS}}}, {{resultTypes: ['violations']}}))
        .violations.filter(one => ['serious', 'critical'].includes(one.impact))
        .map(one => [one.id, one.help, ...one.nodes.map(node => node.html.slice(0, 200))])"""
    )
    return found
