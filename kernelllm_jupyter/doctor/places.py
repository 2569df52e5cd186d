"""What lies on the disk: the front end's extension, and where records go."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from kernelllm_jupyter.doctor.finding import Examined

__all__ = ["examine_extension_in", "examine_folder", "examine_labextension", "examine_records"]

NAME = "kernelllm-jupyter"
INSTALL = f"pip install --force-reinstall --no-deps {NAME}"
WITHOUT = (
    "without it the code arrives in a new cell at the end instead of streaming into it, and there "
    "is no button"
)


def examine_labextension(in_use: bool | None) -> Examined:
    """Whether JupyterLab finds our extension, whole, enabled and of this version.

    ``in_use`` is what the running notebook shows of it; None where nothing runs in a notebook.
    """
    try:
        from jupyter_core.paths import jupyter_config_path, jupyter_path
    except ImportError:
        return Examined("labextension", "note", "no Jupyter here", "pip install jupyterlab")
    folders = [Path(place) / NAME for place in jupyter_path("labextensions")]
    folder = next((one for one in folders if (one / "package.json").is_file()), None)
    if folder is None:
        if in_use:
            found = "in use in this notebook, from JupyterLab's own environment"
            return Examined("labextension", "ok", found)
        remedy = f"pip install {NAME} in JupyterLab's environment, then reload the page; {WITHOUT}"
        return Examined("labextension", "note", "not installed for JupyterLab", remedy)
    return examine_extension_in(folder, [Path(one) for one in jupyter_config_path()], in_use)


def examine_extension_in(folder: Path, configurations: list[Path], in_use: bool | None) -> Examined:
    """The same for an extension in ``folder`` and Jupyter's folders of configuration."""
    package = _read(folder / "package.json")
    build = package.get("jupyterlab", {}).get("_build", {}).get("load", "")
    if not build or not (folder / build).is_file():
        return Examined("labextension", "missing", f"not whole in {folder}", INSTALL)
    found = f"{package.get('version')} in {folder}"
    if not in_use and _is_disabled(configurations):
        remedy = f"jupyter labextension enable {NAME}, then reload the page; {WITHOUT}"
        return Examined("labextension", "note", f"disabled ({found})", remedy)
    ours = _our_version()
    if ours and package.get("version") != ours:
        return Examined(
            "labextension",
            "missing",
            f"{found}, but the Python package here is {ours}",
            f"{INSTALL} in both environments, then reload the page",
        )
    if in_use is False:
        remedy = f"reload the page; in VS Code, Colab and consoles it does not work: {WITHOUT}"
        return Examined("labextension", "note", f"not in use in this notebook ({found})", remedy)
    return Examined("labextension", "ok", f"{found}{', in use here' if in_use else ''}")


def _is_disabled(configurations: list[Path]) -> bool:
    """Whether JupyterLab's page configuration switches the extension off.

    ``configurations`` are Jupyter's folders, the strongest word first.
    """
    for place in configurations:
        folder = place / "labconfig"
        # Among the files of one folder the last one decides, and page_config.json comes first.
        files = [folder / "page_config.json", *sorted(folder.glob("page_config.d/*.json"))]
        for file in reversed(files):
            said = _word(_read(file).get("disabledExtensions"))
            if said is not None:
                return said
    return False


def _word(disabled: Any) -> bool | None:
    """What one file says: nothing, disabled, or expressly not."""
    if isinstance(disabled, Mapping):
        said = [
            bool(value)
            for name, value in disabled.items()
            if name == NAME or name.startswith(f"{NAME}:")
        ]
        return any(said) if said else None
    if isinstance(disabled, list):
        return True if NAME in disabled else None
    return None


def _read(file: Path) -> dict[str, Any]:
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _our_version() -> str | None:
    try:
        return version(NAME)
    except PackageNotFoundError:
        return None


def examine_records() -> Examined:
    """Where translations are kept."""
    from kernelllm_jupyter.records.place import data_folder, is_switched_off

    if is_switched_off():
        return Examined("records", "note", "switched off", "unset KERNELLLM_RECORDS to keep them")
    remedy = "set KERNELLLM_DATA to a folder that you can write to; nothing else needs records"
    return examine_folder("records", data_folder(), remedy)


def examine_folder(name: str, folder: Path, remedy: str) -> Examined:
    """Whether something can be written to a folder, which need not be there yet."""
    place = folder
    while not place.exists() and place != place.parent:
        place = place.parent
    if place.is_dir() and os.access(place, os.W_OK | os.X_OK):
        free = shutil.disk_usage(place).free
        return Examined(name, "ok", f"{folder} ({free / 1e9:.0f} GB free)")
    return Examined(name, "missing", f"{place} cannot be written to", remedy)
