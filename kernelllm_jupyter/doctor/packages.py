"""Which packages are there, in which versions. Reads their metadata and imports none of them."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version

from kernelllm_jupyter.doctor.finding import Examined

__all__ = ["examine_packages"]


@dataclass(frozen=True)
class Wanted:
    """A package and the oldest version that will do; ``why`` where it can be done without."""

    name: str
    least: str
    why: str = ""
    #: How it is called to ``pip``, where that says more than the name.
    install: str = ""

    @property
    def remedy(self) -> str:
        return f"pip install '{self.install or f'{self.name}>={self.least}'}'"


PACKAGES = (
    Wanted("torch", "2.6"),
    Wanted("triton", "3.2"),
    Wanted("transformers", "4.56"),
    Wanted("safetensors", "0.4"),
    Wanted("ipykernel", "6.29"),
    Wanted("ipywidgets", "8.1"),
    Wanted("jupyterlab", "4.2", "for JupyterLab", "jupyterlab>=4.2,<5"),
    Wanted("notebook", "7.2", "for Notebook 7", "notebook>=7.2,<8"),
)


def examine_packages() -> Iterator[Examined]:
    yield Examined("python", "ok", f"{sys.version.split()[0]} ({sys.executable})")
    try:
        yield Examined("kernelllm-jupyter", "ok", version("kernelllm-jupyter"))
    except PackageNotFoundError:
        yield Examined(
            "kernelllm-jupyter",
            "note",
            "imported from a folder, not installed",
            "pip install kernelllm-jupyter",
        )
    for wanted in PACKAGES:
        if wanted.name == "triton" and sys.platform != "linux":
            yield Examined(
                "triton", "missing", f"not made for {sys.platform}", "check on a Linux machine"
            )
        else:
            yield _examined(wanted)


def _examined(wanted: Wanted) -> Examined:
    try:
        found = version(wanted.name)
    except PackageNotFoundError:
        if wanted.why:
            return Examined(wanted.name, "note", "not installed", f"{wanted.why}: {wanted.remedy}")
        return Examined(wanted.name, "missing", "not installed", wanted.remedy)
    # Metadata that is broken may have no version at all.
    if not found or _numbers(found) < _numbers(wanted.least):
        words = f"{found or 'a broken installation'}, but {wanted.least} or later is needed"
        return Examined(wanted.name, "missing", words, wanted.remedy)
    return Examined(wanted.name, "ok", found)


def _numbers(text: str) -> tuple[int, ...]:
    """The release of a version: ``2.13.0+cpu`` is ``(2, 13, 0)``."""
    found = re.match(r"\d+(\.\d+)*", text)
    return tuple(int(part) for part in found[0].split(".")) if found else ()
