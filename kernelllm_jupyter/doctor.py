"""What is installed, what is missing, and the remedy for each thing missing.

Looks only: it loads no model, and reads versions from package metadata instead of importing the
packages. The GPU is looked for in a process of its own.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Literal

from kernelllm_jupyter.address import server_address

__all__ = ["Examined", "examine", "examine_profiles", "findings_text"]

MARKS = {"ok": "✓", "note": "·", "missing": "✗"}


@dataclass(frozen=True)
class Examined:
    """One thing looked at: ``note`` is worth knowing, ``missing`` keeps something from working."""

    name: str
    state: Literal["ok", "note", "missing"]
    found: str
    remedy: str = ""

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def examine(model: str = "") -> list[Examined]:
    """Everything, in the order in which a newcomer needs it.

    A server is asked for something only where ``model`` names it.
    """
    return [
        *_packages(),
        _gpu(),
        _starter(),
        _kernelllm(),
        _engines(),
        *examine_profiles(),
        *_server(model),
        _labextension(),
        _sandbox(),
    ]


def findings_text(findings: Sequence[Examined]) -> str:
    """The findings, one a line, each remedy under its own."""
    lines = []
    for finding in findings:
        lines.append(f"{MARKS[finding.state]} {finding.name:18} {finding.found}")
        if finding.remedy:
            lines.append(f"  {'':18} → {finding.remedy}")
    return "\n".join(lines)


def _packages() -> Iterator[Examined]:
    yield Examined("python", "ok", sys.version.split()[0])
    remedies = {
        "torch": "pip install torch",
        "triton": "pip install triton (Linux only)",
        "transformers": "pip install transformers",
        "ipywidgets": "pip install ipywidgets",
        "jupyterlab": "pip install jupyterlab",
    }
    for name, remedy in remedies.items():
        try:
            yield Examined(name, "ok", version(name))
        except PackageNotFoundError:
            optional = name == "jupyterlab"
            yield Examined(name, "note" if optional else "missing", "not installed", remedy)


def _gpu() -> Examined:
    code = (
        "import torch\n"
        "print(torch.cuda.get_device_name() if torch.cuda.is_available() else '')\n"
        "print(torch.version.cuda or torch.version.hip or '')"
    )
    try:
        ran = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True
        )
    except (subprocess.SubprocessError, OSError):
        return Examined("GPU", "missing", "torch does not import", "pip install torch")
    name, toolkit = [*ran.stdout.splitlines(), "", ""][:2]
    if name:
        return Examined("GPU", "ok", name)
    remedy = "checks run in Triton's interpreter; timing needs a GPU"
    if not toolkit and shutil.which("nvidia-smi"):
        remedy = "this torch is a CPU build: install one for CUDA (see pytorch.org)"
    return Examined("GPU", "note", "none that torch can use", remedy)


def _starter() -> Examined:
    from kernelllm_jupyter.starter import CHECKPOINT

    weights = Path(CHECKPOINT) / "model.safetensors"
    if weights.is_file():
        return Examined("starter model", "ok", f"{weights.stat().st_size / 1e6:.1f} MB, bundled")
    return Examined(
        "starter model", "missing", "not in this installation", "reinstall kernelllm-jupyter"
    )


def _kernelllm() -> Examined:
    name = "facebook/KernelLLM"
    try:
        from huggingface_hub import try_to_load_from_cache

        cached = isinstance(try_to_load_from_cache(name, "config.json"), str)
    except ImportError:
        cached = False
    if cached:
        return Examined("KernelLLM", "ok", "in the Hugging Face cache")
    remedy = f"%kernelllm load -m {name} fetches it (16 GB), or -m takes a local folder"
    return Examined("KernelLLM", "note", "not on this machine", remedy)


def _engines() -> Examined:
    from kernelllm_jupyter.engines.local import running

    engines = running()
    if not engines:
        return Examined("model processes", "ok", "none running")
    names = ", ".join(f"{engine.get('model')} (pid {engine.get('pid')})" for engine in engines)
    return Examined("model processes", "ok", names)


def _server(model: str) -> Iterator[Examined]:
    address = server_address(model)
    if address is None:
        return
    from kernelllm_jupyter.engines import get_engine

    found = get_engine(model).status()
    if found["state"] == "ready":
        context = f", {found['context']} tokens of context" if found["context"] else ""
        key = f"key: {found['key']}"
        yield Examined("model server", "ok", f"{address.base_url} ({key}{context})")
    else:
        yield Examined("model server", "missing", address.base_url, found["reason"])
    if address.destination:
        yield Examined("privacy", "note", address.destination)


def examine_profiles() -> Iterator[Examined]:
    """The profile files that the user added, each with its models or with what is wrong in it."""
    from kernelllm_jupyter.errors import UsageError
    from kernelllm_jupyter.prompts.files import profile_files, profiles_folder, read_family

    files = profile_files()
    if not files:
        where = f"see docs/profiles.md; yours go into {profiles_folder()}"
        yield Examined("profiles", "ok", "those that are built in", where)
    for path in files:
        try:
            family = read_family(path)
        except UsageError as error:
            yield Examined("profile", "missing", str(path), str(error))
        else:
            models = ", ".join(family.match)
            yield Examined("profile", "ok", f"{family.name} for {models} ({path})")


def _labextension() -> Examined:
    try:
        from jupyter_core.paths import jupyter_path
    except ImportError:
        return Examined("labextension", "note", "no Jupyter here", "pip install jupyterlab")
    for folder in jupyter_path("labextensions"):
        package = Path(folder) / "kernelllm-jupyter" / "package.json"
        if package.is_file():
            return Examined("labextension", "ok", str(package.parent))
    return Examined(
        "labextension",
        "note",
        "not installed for JupyterLab",
        "pip install kernelllm-jupyter in JupyterLab's environment; without it the code arrives "
        "in a new cell at the end instead of streaming into it",
    )


def _sandbox() -> Examined:
    from kernelllm_jupyter.verify.isolation.layers import active_layers, how_to_get

    active = active_layers()
    missing = how_to_get(active)
    found = ", ".join(active) or "process limits only"
    return Examined("sandbox", "note" if missing else "ok", found, "; ".join(missing))
