"""Which profile a model is addressed with, by its name and by what its folder says."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from kernelllm_jupyter.address import model_name, server_address
from kernelllm_jupyter.errors import UsageError
from kernelllm_jupyter.prompts.checkpoints import (
    checkpoint_folder,
    declared_profile,
    has_chat_template,
)
from kernelllm_jupyter.prompts.described import DescribedProfile
from kernelllm_jupyter.prompts.families import FAMILIES, Family
from kernelllm_jupyter.prompts.files import user_families
from kernelllm_jupyter.prompts.hardware import hardware_line
from kernelllm_jupyter.prompts.kernelllm import KernelLLMProfile, carries_template
from kernelllm_jupyter.prompts.protocol import Profile

__all__ = ["profile_for", "resolve_model"]

STARTER = "starter"
KERNELLLM = "kernelllm"


def profile_for(model: str, *, target: str = "auto") -> Profile:
    """The profile of a model; ``target`` is the GPU that is written for, where prompts tell it.

    In this order: the starter, what the folder's ``profile.json`` names, a profile file of the
    user's, the template that a checkpoint carries or KernelLLM's name, a family that the name
    belongs to. A checkpoint without a chat template gets text to go on with.

    A model that a server runs (``URL#name``) is addressed by its name like one that runs here.
    Raises ``UsageError`` where a profile file that is asked for is no good.
    """
    served = server_address(model) is not None
    model = _named(model_name(model), model)
    if model == STARTER:
        return _starter()
    folder = checkpoint_folder(model)
    declared = declared_profile(folder)
    if declared == STARTER:
        return _starter()
    family = _declared(declared) or next(
        (family for family in user_families(model) if family.covers(model)), None
    )
    if family is None:
        if declared == KERNELLLM or _is_kernelllm(model, folder):
            return KernelLLMProfile(model)
        family = next(family for family in FAMILIES if family.covers(model))
        if not served and folder is not None and not has_chat_template(folder):
            return KernelLLMProfile(model)
    return DescribedProfile(family, hardware=partial(hardware_line, target), served=served)


def _starter() -> Profile:
    from kernelllm_jupyter.starter import StarterProfile

    profile: Profile = StarterProfile()
    return profile


def _declared(name: str | None) -> Family | None:
    if name is None:
        return None
    known = (*user_families(None), *FAMILIES)
    return next((family for family in known if family.name == name), None)


def _is_kernelllm(model: str, folder: Path | None) -> bool:
    named = KERNELLLM in Path(model).name.casefold()
    return named or (folder is not None and carries_template(folder))


def resolve_model(name: str) -> str:
    """What an engine can load: ``starter`` becomes the folder of the bundled checkpoint."""
    if _named(name) == STARTER:
        from kernelllm_jupyter.starter import CHECKPOINT

        return str(CHECKPOINT)
    return name


def _named(name: str, given: str = "") -> str:
    """``name``, if it is one at all."""
    if not name.strip():
        server = f" `%kernelllm status -m {given}` says what that server has." if given else ""
        raise UsageError(
            "No model is named: give a Hugging Face id, a local folder, 'starter', or a server's "
            f"model as http://HOST:PORT#NAME.{server}"
        )
    return name
