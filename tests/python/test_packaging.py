"""What the wheel is made of, read from ``pyproject.toml``."""

from __future__ import annotations

import ast
import re
import sys
from pathlib import Path

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "kernelllm_jupyter"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
#: Distributions by what is imported of them, where the names differ.
DISTRIBUTIONS = {"IPython": "ipython"}
#: `tomllib` is newer than the oldest Python that is supported, and taken where it is.
STANDARD = {*sys.stdlib_module_names, "tomllib"}
#: Imported where they are, and done without where they are not.
OPTIONAL = {"gguf", "json5", "jupyter_core", "keyring", "pynvml"}


def test_no_file_comes_into_the_wheel_twice() -> None:
    wheel = PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]
    parts = {Path(target) for target in wheel["shared-data"].values()}
    assert not any(part in other.parents for part in parts for other in parts)
    built = PACKAGE / "labextension"
    if built.is_dir():
        assert {path.name for path in built.iterdir()} <= {part.name for part in parts}


def test_all_that_is_imported_is_asked_for() -> None:
    asked = {re.split(r"[^\w-]", each)[0].replace("-", "_") for each in dependencies()}
    for path in PACKAGE.rglob("*.py"):
        for name in imported(path) - STANDARD - OPTIONAL:
            assert DISTRIBUTIONS.get(name, name) in asked | {"kernelllm_jupyter"}, f"{path}: {name}"


def dependencies() -> list[str]:
    found: list[str] = PROJECT["project"]["dependencies"]
    return found


def imported(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add(str(node.module).split(".")[0])
    return names
