"""Profiles: how one family of models is addressed, and how code is read from its reply.

A profile turns a :class:`~kernelllm_jupyter.values.Problem` into a prompt, names the sampling
that the family was trained or evaluated with, and gives a reader that takes the code out of the
reply while it streams. It knows nothing of the engine that runs the model.

``choice`` picks the profile of a model, ``kernelllm`` and ``described`` are the two kinds beside
the starter's own, ``families`` describes those known, ``files`` reads those that users add.
"""

from __future__ import annotations

from kernelllm_jupyter.prompts.choice import profile_for, resolve_model
from kernelllm_jupyter.prompts.kernelllm import KernelLLMProfile
from kernelllm_jupyter.prompts.protocol import Profile, Reader

__all__ = [
    "KernelLLMProfile",
    "Profile",
    "Reader",
    "profile_for",
    "resolve_model",
]
