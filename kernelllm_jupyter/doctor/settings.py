"""The settings in force, each with where it comes from.

In a notebook the caller knows them. In a terminal they are those that a notebook would have:
IPython's configuration is Python, so it is run as IPython runs it, in a process of its own, and
what JupyterLab's settings editor wrote is read from its file. Knows nothing of what
``%config`` or a running page have changed since.
"""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from kernelllm_jupyter.doctor.finding import Examined
from kernelllm_jupyter.doctor.probe import probe
from kernelllm_jupyter.errors import UsageError
from kernelllm_jupyter.settings import PLUGIN, SETTINGS, Said, Value, origins

__all__ = ["examine_environment", "examine_settings", "examine_settings_files"]

PROBE_WITHIN_S = 20.0
#: Reads IPython's files in its own order, the weakest word first.
PROGRAM = """
import json, os
from IPython.core.application import ENV_CONFIG_DIRS, SYSTEM_CONFIG_DIRS
from IPython.paths import get_ipython_dir
from traitlets.config.loader import JSONFileConfigLoader, PyFileConfigLoader
profile = os.path.join(get_ipython_dir(), "profile_default")
found = []
for name in ("ipython_config", "ipython_kernel_config"):
    for folder in (*reversed([*ENV_CONFIG_DIRS, *SYSTEM_CONFIG_DIRS]), profile):
        for ending, loader in ((".py", PyFileConfigLoader), (".json", JSONFileConfigLoader)):
            path = os.path.join(folder, name + ending)
            if not os.path.exists(path):
                continue
            try:
                said = dict(loader(name + ending, path=folder).load_config().get("KernelLLM", {}))
                found.append({"path": path, "values": said})
            except (Exception, SystemExit) as error:
                found.append({"path": path, "error": f"{type(error).__name__}: {error}"})
print("\\n" + json.dumps(found, default=repr))
"""
#: What counts from the environment; of a key it is only told that it is there.
VARIABLES = (
    *("KERNELLLM_API_KEY", "KERNELLLM_DATA", "KERNELLLM_PROFILES", "KERNELLLM_RECORDS"),
    *("CUDA_VISIBLE_DEVICES", "HF_HOME", "HF_HUB_OFFLINE", "HF_TOKEN", "XDG_RUNTIME_DIR"),
)
SECRET = ("KERNELLLM_API_KEY", "HF_TOKEN")


def examine_settings(layers: Sequence[Said], note: str = "") -> Iterator[Examined]:
    """The settings by ``layers``, the strongest first, and those that stand at their defaults."""
    at_default = []
    for setting, value, origin in origins(layers):
        if origin:
            yield Examined(f"setting {setting.name}", "ok", f"{_shown(value)} ({origin})")
        else:
            at_default.append(f"{setting.name} = {_shown(value)}")
    yield Examined("settings", "ok", f"at their defaults: {', '.join(at_default)}", note)


def _shown(value: Value) -> str:
    return "the profile's" if value is None else str(value)


def examine_environment() -> Iterator[Examined]:
    """The variables that are set and count."""
    found = ", ".join(
        f"{name} (set)" if name in SECRET else f"{name}={os.environ[name]}"
        for name in VARIABLES
        if os.environ.get(name)
    )
    yield Examined("environment", "ok", found or "none of our variables is set")


def examine_settings_files() -> Iterator[Examined]:
    """The settings of a notebook, from the files that a new one would go by."""
    layers: list[Said] = []
    for files in (_editor_files(), _ipython_files()):
        layer: dict[str, tuple[Value, str]] = {}
        for path, said in files:
            values, wrong = _checked(said, path)
            layer.update(values)
            yield from wrong
        layers.append(layer)
    note = "they are those of notebooks and IPython; the kernelllm command goes by its options"
    yield from examine_settings(layers, note)


def _checked(said: Any, path: str) -> tuple[Said, list[Examined]]:
    """What one file says, and a finding for each value in it that cannot be."""
    if isinstance(said, str):
        return {}, [Examined("settings", "missing", f"{path} cannot be read", said)]
    values: dict[str, tuple[Value, str]] = {}
    wrong = []
    for setting in SETTINGS:
        if isinstance(said, Mapping) and setting.name in said:
            try:
                values[setting.name] = (setting.checked(said[setting.name], path), path)
            except UsageError as error:
                found = f"{setting.name} has a value that cannot be"
                wrong.append(Examined("settings", "missing", found, str(error)))
    return values, wrong


# --- IPython's files -----------------------------------------------------------------------------


def _ipython_files() -> list[tuple[str, Any]]:
    """Each file with what it sets, or with what is wrong in it as text; the strongest last."""
    if importlib.util.find_spec("IPython") is None:
        return []
    found, trouble = probe(PROGRAM, "running it", PROBE_WITHIN_S)
    if trouble:
        return [("IPython's configuration", trouble)]
    return [(one["path"], one.get("error", one.get("values"))) for one in found]


# --- JupyterLab's files --------------------------------------------------------------------------


def _editor_files() -> Iterator[tuple[str, Any]]:
    """The same of JupyterLab's: the defaults that an installation overrides, then the user's."""
    try:
        from jupyter_core.paths import jupyter_config_dir, jupyter_config_path
    except ImportError:
        return
    lab = Path(os.environ.get("JUPYTERLAB_DIR") or Path(sys.prefix, "share", "jupyter", "lab"))
    overrides = [
        *sorted((lab / "settings" / "overrides.d").glob("*.json*")),
        lab / "settings" / "overrides.json",
        lab / "settings" / "overrides.json5",
        *(
            Path(folder, "labconfig", "default_setting_overrides.json")
            for folder in reversed(jupyter_config_path())
        ),
    ]
    for path in overrides:
        if path.is_file():
            said = _read(path)
            yield str(path), said.get(PLUGIN, {}) if isinstance(said, Mapping) else said
    named = os.environ.get("JUPYTERLAB_SETTINGS_DIR")
    folder = Path(named) if named else Path(jupyter_config_dir(), "lab", "user-settings")
    package, _, plugin = PLUGIN.partition(":")
    path = folder / package / f"{plugin}.jupyterlab-settings"
    if path.is_file():
        yield str(path), _read(path)


def _read(path: Path) -> Any:
    """What a file of JupyterLab's holds, or as text what keeps it from being read."""
    try:
        # These files have comments; what wrote them brings the package that reads them.
        from json5 import loads
    except ImportError:
        from json import loads
    try:
        found = loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        return f"{type(error).__name__}: {error}"
    return found if isinstance(found, Mapping) else "it holds no JSON object"
