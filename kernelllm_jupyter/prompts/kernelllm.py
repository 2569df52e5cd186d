"""How KernelLLM is addressed: raw completion in the form that it was trained on.

The exact prompt belongs to the checkpoint: where its folder carries a script with a
``PROMPT_TEMPLATE`` string, that is read, and the script is never run.
"""

from __future__ import annotations

import ast
import io
import re
import string
import tokenize
from pathlib import Path

from kernelllm_jupyter.extract import CodeReader
from kernelllm_jupyter.prompts.checkpoints import checkpoint_folder
from kernelllm_jupyter.prompts.protocol import Reader
from kernelllm_jupyter.syntax import parse
from kernelllm_jupyter.values import Candidate, Problem, Sampling, Verdict

__all__ = ["EXAMPLE", "KernelLLMProfile", "carries_template"]

#: The class that prompts of this form speak of, and what its translation is called.
ENTRY = "Model"
SCRIPT_MAX_BYTES = 200_000

#: A module and its translation, as a model is shown them.
EXAMPLE = """\
This example shows how a Triton kernel is embedded in PyTorch. The example architecture is:
```
import torch
import torch.nn as nn


class Model(nn.Module):
    def __init__(self) -> None:
        super().__init__()

    def forward(self, x, y):
        return x * y


def get_inputs():
    return [torch.randn(4, 256).cuda(), torch.randn(4, 256).cuda()]


def get_init_inputs():
    return []
```
The example architecture with custom Triton kernels:
```
import torch
import torch.nn as nn
import triton
import triton.language as tl


@triton.jit
def multiply_kernel(x_ptr, y_ptr, out_ptr, count, BLOCK: tl.constexpr):
    # One program multiplies BLOCK neighbouring elements.
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    inside = at < count
    x = tl.load(x_ptr + at, mask=inside)
    y = tl.load(y_ptr + at, mask=inside)
    tl.store(out_ptr + at, x * y, mask=inside)


def multiply(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    x, y = x.contiguous(), y.contiguous()
    out = torch.empty_like(x)
    count = out.numel()
    grid = (triton.cdiv(count, 1024),)
    multiply_kernel[grid](x, y, out, count, BLOCK=1024)
    return out


class ModelNew(nn.Module):
    def __init__(self) -> None:
        super().__init__()

    def forward(self, x, y):
        return multiply(x, y)
```"""

#: In the form that KernelLLM was trained on (instruction, one example, the architecture, then what
#: to name the answer), in words of our own: the exact text belongs to the checkpoint.
OWN_TEMPLATE = (
    """\
You write Triton kernels that take the place of the PyTorch operators in a given architecture, so \
that it runs faster on a GPU.

Choose freely which operators to replace and which to leave as they are. Several operators may be \
fused into one kernel, and an algorithm may be replaced by an equivalent one, as long as the \
results stay the same.

"""
    + EXAMPLE
    + """

You are given this architecture:
```
{}
```

Rewrite the architecture named Model with custom Triton kernels and name the result ModelNew. \
Answer with the complete new code in one code block: real code that compiles and runs, no \
pseudocode, no explanation, no tests.
"""
)


class KernelLLMProfile:
    """Raw completion after an instruction, one example and the module, as KernelLLM was trained.

    ``model`` is a folder or a Hugging Face id. Where its folder (or its snapshot in the cache)
    carries a script with a ``PROMPT_TEMPLATE`` string, that template is used: it is read, the
    script is never run.
    """

    name = "kernelllm"
    single = Sampling(temperature=0.0, top_p=1.0, top_k=0, max_new_tokens=2048)
    #: The settings of the model's reported pass@k.
    several = Sampling(temperature=1.0, top_p=0.97, top_k=0, max_new_tokens=2048)

    def __init__(self, model: str):
        self._model = model

    def prompt(self, problem: Problem) -> str:
        source = _rename_class(problem.source, problem.class_name).strip("\n")
        template = _checkpoint_template(self._model) or OWN_TEMPLATE
        before, after = _halves(template) or ("", "")
        # The engine adds the one BOS there is to be; templates spell it out, on a line of its own.
        return re.sub(r"\A\s*<\|begin_of_text\|>", "", before + source + after)

    def reader(self, problem: Problem) -> Reader:
        return CodeReader()

    def repair_prompt(
        self, problem: Problem, candidate: Candidate, verdict: Verdict | None
    ) -> str | None:
        return None  # It was trained on one instruction, and answers nothing else.


def carries_template(folder: Path) -> bool:
    """Whether a checkpoint's folder has the prompt that its model was trained with."""
    return _template_of(folder) is not None


def _checkpoint_template(model: str) -> str | None:
    folder = checkpoint_folder(model)
    return None if folder is None else _template_of(folder)


def _template_of(folder: Path) -> str | None:
    for script in sorted(folder.glob("*.py")):
        template = _template_in(script)
        if template is not None:
            return template
    return None


def _template_in(script: Path) -> str | None:
    """What a script assigns to ``PROMPT_TEMPLATE``, if that is a string with one place for code."""
    try:
        if script.stat().st_size > SCRIPT_MAX_BYTES:
            return None
        tree = parse(script.read_bytes())
    except (OSError, SyntaxError, ValueError):
        return None
    for node in tree.body:
        if not isinstance(node, ast.Assign) or not isinstance(node.value, ast.Constant):
            continue
        names = [target.id for target in node.targets if isinstance(target, ast.Name)]
        template = node.value.value
        if "PROMPT_TEMPLATE" in names and isinstance(template, str) and _halves(template):
            return template
    return None


def _halves(template: str) -> tuple[str, str] | None:
    """What ``template.format(code)`` puts before and after the code, if it has one field."""
    try:
        pieces = list(string.Formatter().parse(template))
    except ValueError:
        return None
    fields = [place for place, piece in enumerate(pieces) if piece[1] is not None]
    if len(fields) != 1:
        return None
    cut = fields[0] + 1
    return "".join(piece[0] for piece in pieces[:cut]), "".join(piece[0] for piece in pieces[cut:])


def _rename_class(source: str, class_name: str) -> str:
    """``source`` with its class called ``Model``; another ``Model`` in it makes way.

    By tokens, so that comments, strings and the layout stay, and attributes keep their names.
    """
    if class_name == ENTRY:
        return source
    names = _names(source)
    other = "ModelBase"
    while any(name == other for _, name in names):
        other += "_"
    renamed = {class_name: ENTRY, ENTRY: other}
    lines = re.split(r"(?<=\n)", source)  # As tokenize counts them.
    for (row, column), name in reversed(names):
        if name in renamed:
            line = lines[row - 1]
            lines[row - 1] = line[:column] + renamed[name] + line[column + len(name) :]
    return "".join(lines)


def _names(source: str) -> list[tuple[tuple[int, int], str]]:
    """Where names stand that are no attribute of something."""
    found = []
    after_dot = False
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.NAME and not after_dot:
            found.append((token.start, token.string))
        after_dot = token.type == tokenize.OP and token.string == "."
    return found
