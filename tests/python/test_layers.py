"""Imports go downward only, and importing the package stays light."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[2] / "kernelllm_jupyter"
#: The layer of each module or subpackage; a module may import from its own layer or below.
LAYERS = {
    "carried": 0,
    "values": 0,
    "timings": 0,
    "errors": 0,
    "syntax": 0,
    "address": 1,
    "blocks": 1,
    "extract": 1,
    "reply": 1,
    "problem": 1,
    "source_lines": 1,
    "prelude": 1,
    "starter": 1,
    "prompts": 1,
    "feedback": 1,
    "fingerprint": 1,
    "heading": 1,
    "mending": 1,
    "repetition": 1,
    "records": 2,
    "live": 2,
    "engines": 2,
    "verify": 2,
    "translate": 3,
    "search": 3,
    "asking": 3,
    "attempts": 3,
    "checking": 3,
    "ranking": 1,
    "scores": 1,
    "ledger": 1,
    "evaluate": 3,
    "grid": 3,
    "recording": 3,
    "export": 3,
    "history": 3,
    "charts": 1,
    "drawing": 1,
    "vega": 1,
    "markup": 3,
    "report": 3,
    "timing_report": 3,
    "options": 3,
    "settings": 3,
    "doctor": 3,
    "api": 4,
    "repl": 4,
    "commands": 4,
    "cli": 4,
    "notebook": 4,
    "__main__": 4,
}
JUPYTER = {"IPython", "ipykernel", "ipywidgets", "jupyterlab", "notebook", "comm", "traitlets"}


def modules() -> list[Path]:
    return [path for path in PACKAGE.rglob("*.py") if path != PACKAGE / "__init__.py"]


def part_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imported(path: Path) -> Iterator[tuple[int, str]]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: relative import"
            module = node.module or ""
            if module == "kernelllm_jupyter":
                yield from ((node.lineno, f"{module}.{alias.name}") for alias in node.names)
            else:
                yield node.lineno, module


def test_every_module_has_a_layer() -> None:
    assert {part_of(path) for path in modules()} == set(LAYERS)


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_go_downward(path: Path) -> None:
    own = LAYERS[part_of(path)]
    for line, name in imported(path):
        package, _, rest = name.partition(".")
        if package == "kernelllm_jupyter" and rest:
            other = rest.split(".")[0]
            assert LAYERS.get(other, 0) <= own, f"{path.name}:{line} imports upward: {name}"


@pytest.mark.parametrize("part", ["engines", "verify", "records"])
def test_a_bare_gpu_machine_needs_no_jupyter_package(part: str) -> None:
    for path in (PACKAGE / part).rglob("*.py"):
        for line, name in imported(path):
            assert name.split(".")[0] not in JUPYTER, f"{path}:{line} imports {name}"


@pytest.mark.parametrize(
    "statement",
    [
        "import kernelllm_jupyter",
        "import kernelllm_jupyter.cli",
        "from IPython.core.interactiveshell import InteractiveShell as S\n"
        "S.instance().extension_manager.load_extension('kernelllm_jupyter')",
        "from kernelllm_jupyter import KernelLLM, check, benchmark",
    ],
)
def test_nothing_heavy_is_imported_before_it_is_used(statement: str) -> None:
    code = (
        f"{statement}\nimport sys\n"
        "print([n for n in ('torch', 'transformers', 'triton', 'ipywidgets') if n in sys.modules])"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip().splitlines()[-1] == "[]"
