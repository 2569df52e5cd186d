"""The families of models that are known here, and what of them a user's file may state too.

A family is data: whether its models take turns of a chat or text to go on with, the words, the
sampling, where a reply is cut. :mod:`~kernelllm_jupyter.prompts.files` reads the same from TOML.
"""

from __future__ import annotations

import string
from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import PurePath
from typing import Literal

from kernelllm_jupyter.values import Sampling

__all__ = ["FAMILIES", "FIELDS", "INSTRUCT", "Family", "filled"]

#: What a template may name, and what stands there then.
FIELDS: Mapping[str, str] = {
    "source": "the module's source",
    "class_name": "the name of its class",
    "hardware": "a line on the GPU that the Triton kernel is for; empty where none is known",
    "example": "a module and its translation, to show the form",
}

SYSTEM = """\
You are an expert in Triton and PyTorch. You translate PyTorch modules into modules that compute \
the same with Triton kernels of your own, and answer with code."""

USER = """\
Translate the class `{class_name}` below into a class `ModelNew` that takes the same constructor \
arguments, computes the same outputs for the same inputs, and does its arithmetic in Triton \
kernels.

- Keep the names of parameters, buffers and submodules: the weights are copied by these names.
- Use masks, so that other shapes work as well, and work in the dtype of the inputs.
- Import all that is used. Leave out tests, get_inputs() and get_init_inputs().
{hardware}
{example}
This is the module to translate:

```python
{source}
```

Answer with one complete Python module in one code block."""

GREEDY = Sampling(temperature=0.0, top_p=1.0, top_k=0, max_new_tokens=4096)
VARIED = Sampling(temperature=0.8, top_p=0.95, top_k=0, max_new_tokens=4096)
#: The makers of DeepSeek R1 advise against greedy decoding (endless repetition) and name these
#: values in the model's card; a thought takes thousands of tokens.
REASONED = Sampling(temperature=0.6, top_p=0.95, top_k=0, max_new_tokens=16_384)


@dataclass(frozen=True)
class Family:
    """How a family is addressed. ``match`` are patterns of model names, in lower case.

    ``user`` is the last turn of a chat, or with ``form`` ``raw`` the whole prompt. ``thought`` are
    the marks around reasoning; with ``reasons`` a reply may begin inside it, because the model's
    chat template opened it. ``stop`` cuts the answer, never the prompt and never the reasoning.
    """

    name: str
    match: tuple[str, ...]
    form: Literal["chat", "raw"] = "chat"
    system: str = SYSTEM
    user: str = USER
    single: Sampling = GREEDY
    several: Sampling = VARIED
    stop: tuple[str, ...] = ()
    thought: tuple[str, str] = ("<think>", "</think>")
    reasons: bool = False
    #: The file that describes it, for those that a user added.
    file: str = ""

    def covers(self, model: str) -> bool:
        """Whether ``model`` is one of the family by its name, or by the last part of its name."""
        names = {model.casefold(), PurePath(model).name.casefold()}
        return any(fnmatchcase(name, pattern) for name in names for pattern in self.match)


INSTRUCT = Family("instruct", ("*",))

#: Looked through in this order.
FAMILIES = (
    Family(
        "deepseek-r1",
        ("*deepseek-r1*", "*deepseek-reasoner*", "*r1-distill*"),
        # Its makers advise to leave the system turn out.
        system="",
        single=REASONED,
        several=REASONED,
        reasons=True,
    ),
    Family(
        "reasoning",
        ("*qwq*", "*qwen3*thinking*", "*reasoning*", "*-thinking*"),
        single=REASONED,
        several=REASONED,
        reasons=True,
    ),
    # For several candidates: what the generation_config.json of these models names.
    Family(
        "qwen2.5",
        ("*qwen2.5*", "*qwen-2.5*"),
        several=Sampling(temperature=0.7, top_p=0.8, top_k=20, max_new_tokens=4096),
    ),
    Family(
        "llama3",
        ("*llama-3*", "*llama3*"),
        several=Sampling(temperature=0.6, top_p=0.9, top_k=0, max_new_tokens=4096),
    ),
    Family(
        "deepseek-v3",
        ("*deepseek-v3*", "*deepseek-chat*"),
        several=Sampling(temperature=0.6, top_p=0.95, top_k=0, max_new_tokens=4096),
    ),
    # The default of its interface.
    Family(
        "gpt-4o",
        ("*gpt-4o*",),
        several=Sampling(temperature=1.0, top_p=1.0, top_k=0, max_new_tokens=4096),
    ),
    INSTRUCT,
)


def filled(template: str, values: Mapping[str, str]) -> str:
    """``template`` with its fields filled in; braces in the values stay as they are."""
    return string.Formatter().vformat(template, (), dict(values))
