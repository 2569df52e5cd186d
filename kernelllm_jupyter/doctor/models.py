"""Models: which are on this machine, which run, and how they are addressed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from kernelllm_jupyter.address import server_address
from kernelllm_jupyter.doctor.finding import Examined
from kernelllm_jupyter.doctor.places import examine_folder
from kernelllm_jupyter.errors import EngineError, UsageError

__all__ = ["examine_models", "examine_profiles", "examine_server"]

KERNELLLM = "facebook/KernelLLM"


def examine_models(model: str) -> Iterator[Examined]:
    """The bundled model, the one that is configured, KernelLLM, and the processes that run one."""
    yield _starter()
    names = [KERNELLLM] if server_address(model) else [model, KERNELLLM]
    for name in dict.fromkeys(names):
        if name and name != "starter":
            yield _checkpoint(name)
    yield _cache()
    yield _processes()


def _starter() -> Examined:
    from kernelllm_jupyter.starter import CHECKPOINT

    weights = Path(CHECKPOINT) / "model.safetensors"
    if weights.is_file():
        return Examined("starter model", "ok", f"{_size(weights.parent)}, bundled")
    return Examined(
        "starter model",
        "missing",
        "not in this installation",
        "pip install --force-reinstall --no-deps kernelllm-jupyter",
    )


def _checkpoint(name: str) -> Examined:
    """A model by its folder or Hugging Face id: here, here in part, or not here."""
    from kernelllm_jupyter.engines.checkpoint import check_folder, is_folder_name, on_this_machine

    label = "KernelLLM" if name == KERNELLLM else f"model {name}"
    if is_folder_name(name):
        folder = Path(name).expanduser().resolve()
        try:
            check_folder(folder)
        except EngineError as error:
            return Examined(label, "missing", "cannot be used", str(error))
        return Examined(label, "ok", f"{_size(folder)} in {folder}")
    try:
        cached, is_whole = on_this_machine(name)
    except EngineError as error:
        return Examined(label, "missing", "cannot be used", str(error))
    if cached is None:
        size = " (16 GB)" if name == KERNELLLM else ""
        remedy = f"%kernelllm load -m {name} fetches it{size}; or give -m a local folder"
        return Examined(label, "note", "not on this machine yet", remedy)
    if not is_whole:
        found, remedy = "in part: ", f"%kernelllm load -m {name} fetches what is missing"
        return Examined(label, "note", f"{found}{_size(cached)} in {cached}", remedy)
    return Examined(label, "ok", f"{_size(cached)} in {cached}")


def _cache() -> Examined:
    from huggingface_hub.constants import HF_HUB_CACHE

    remedy = "set HF_HOME to a folder that you can write to, and start again"
    return examine_folder("model cache", Path(HF_HUB_CACHE), remedy)


def _size(place: Path) -> str:
    """Bytes of a file or of a folder's files, links followed."""
    files = [place] if place.is_file() else [path for path in place.rglob("*") if path.is_file()]
    count = sum(path.stat().st_size for path in files)
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.1f} MB"


def _processes() -> Examined:
    from kernelllm_jupyter.engines.local import running

    engines = running()
    if not engines:
        return Examined("model processes", "ok", "none running; a translation starts one")
    names = ", ".join(
        f"{engine.get('model')} ({engine.get('state')}, pid {engine.get('pid')})"
        for engine in engines
    )
    return Examined("model processes", "ok", names)


def examine_server(model: str) -> Iterator[Examined]:
    """The server that ``model`` names, if it names one; this asks it for something."""
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
        yield Examined("privacy", "note", address.destination, "name a model of this machine")


def examine_profiles() -> Iterator[Examined]:
    """The profile files that the user added, each with its models or with what is wrong in it."""
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
