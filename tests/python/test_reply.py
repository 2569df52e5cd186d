"""Reasoning is set apart from the answer, and an answer of several blocks gives one candidate."""

from __future__ import annotations

import ast
import random
from itertools import pairwise
from textwrap import indent

import pytest

from kernelllm_jupyter.extract import CodeReader, extract_code
from kernelllm_jupyter.reply import ReplyReader

KERNEL = '''\
import torch
import triton


@triton.jit
def scale_kernel(x_ptr, n):
    """Says </think> and <think>."""
'''
CLASS = """\
class ModelNew(torch.nn.Module):
    def forward(self, x):
        return scale_kernel[(1,)](x, 3)
"""
CODE = f"{KERNEL}\n\n{CLASS}"
DRAFT = f"Perhaps so:\n```python\n{CLASS}    jit = 1\n```\nNo, <think> again.\n"
FENCED = f"```python\n{CODE}```\n"

#: The reply, whether it may begin inside its reasoning, what was thought.
REPLIES = {
    "marks": (f"<think>\n{DRAFT}</think>\n\n{FENCED}", False, DRAFT),
    "marks, talk between": (f"\n<think>{DRAFT}</think>Here:\n{FENCED}", False, DRAFT),
    "opened by the template": (f"{DRAFT}</think>\n{FENCED}", True, DRAFT),
    "opened by both": (f"<think>\n{DRAFT}</think>\n{FENCED}", True, DRAFT),
    "no reasoning after all": (FENCED, True, ""),
    "bare code after all": (CODE, True, ""),
    "empty reasoning": (f"<think>\n\n</think>\n\n{FENCED}", False, ""),
    "none": (f"Sure.\n{FENCED}", False, ""),
    "twice": (f"<think>\n{DRAFT}</think>\nFirst:\n<think>b</think>\n{FENCED}", False, DRAFT + "b"),
    "a mark that nothing opened": (f"Well, relu.\n</think>\n{FENCED}", False, "Well, relu."),
    "a draft, and a mark that nothing opened": (
        f"So?\n```python\ny = 1\n```\nNo.\n</think>\n{FENCED}",
        False,
        "So?\n```python\ny = 1\n```\nNo.",
    ),
}


def read(reader: ReplyReader, text: str, cuts: list[int]) -> str:
    pieces = [text[start:end] for start, end in pairwise([0, *cuts, len(text)])]
    joined = "".join(reader.feed(piece) for piece in pieces) + reader.flush()
    return joined if reader.whole is None else reader.whole


@pytest.mark.parametrize(("reply", "inside", "thought"), REPLIES.values(), ids=REPLIES.keys())
def test_reasoning_is_kept_apart_wherever_the_reply_is_cut(
    reply: str, inside: bool, thought: str
) -> None:
    choose = random.Random(5)
    ways = [[], list(range(1, len(reply)))]
    ways += [sorted(choose.sample(range(1, len(reply)), choose.randint(1, 9))) for _ in range(60)]
    for cuts in ways:
        reader = ReplyReader(CodeReader, begins_inside=inside)
        assert read(reader, reply, cuts) == CODE, cuts
        assert "".join(reader.thoughts).strip() == thought.strip(), cuts
        assert not reader.thinking


@pytest.mark.parametrize("inside", [True, False])
def test_a_reply_that_ends_inside_its_reasoning_holds_no_code(inside: bool) -> None:
    reply = ("" if inside else "<think>") + DRAFT
    for end in range(40, len(reply)):
        reader = ReplyReader(CodeReader, begins_inside=inside)
        assert read(reader, reply[:end], [7, 20]) == ""
        assert reader.thinking
        assert not reader.done


def test_reasoning_is_handed_on_while_it_is_written() -> None:
    reader = ReplyReader(CodeReader)
    reader.feed("<think>\nFirst")
    assert "".join(reader.thoughts) == "\nFirst"
    reader.feed(" </th")
    assert "".join(reader.thoughts) == "\nFirst "
    reader.feed("is")
    assert "".join(reader.thoughts) == "\nFirst </this"


def test_marks_inside_code_are_code() -> None:
    code = f'x = """\n<think>\n{CODE}"""\n'
    reader = ReplyReader(CodeReader)
    assert read(reader, f"```python\n{code}```", []) == code
    assert not reader.thoughts


def test_other_marks_can_be_named() -> None:
    reader = ReplyReader(CodeReader, marks=("[THINK]", "[/THINK]"))
    assert read(reader, f"[THINK]{DRAFT}[/THINK]{FENCED}", [3, 9]) == CODE


# --- stop strings --------------------------------------------------------------------------------


@pytest.mark.parametrize("cuts", [[], [50], list(range(1, 200))], ids=["whole", "two", "letters"])
def test_a_stop_string_ends_the_answer_and_looks_at_nothing_else(cuts: list[int]) -> None:
    reply = f"<think>\n# END\n</think>\n{CODE}# END\nmore()\n"
    reader = ReplyReader(CodeReader, stop=("\n# END", "\n# STOP"))
    assert read(reader, reply, cuts).strip() == CODE.strip()
    assert reader.done
    assert "# END" in "".join(reader.thoughts)


def test_what_only_begins_like_a_stop_string_is_kept() -> None:
    reader = ReplyReader(CodeReader, stop=("# END OF FILE",))
    code = "import torch\n# END OF"
    assert read(reader, code, list(range(1, len(code)))) == code
    assert not reader.done


# --- which block ---------------------------------------------------------------------------------

SKETCH = "class ModelNew(torch.nn.Module):\n    ...\n"
SEVERAL = {
    "a kernel, then the module": (
        f"Kernel:\n```python\n{KERNEL}```\nModule:\n```\n{CLASS}```",
        CODE,
    ),
    "the original, then all": (f"```python\nclass Model: pass\n```\n{FENCED}", CODE),
    "a sketch, then all": (f"First:\n```python\n{SKETCH}```\nNow:\n{FENCED}", CODE),
    "pseudocode, then all": (f"```python\nfor each row: do\n```\n{FENCED}", CODE),
    "all, then how to call it": (f"{FENCED}Use:\n```python\nModelNew()(x)\n```", CODE),
    "how to call it first": (f"```python\nModelNew()(x)\n```\n{FENCED}", CODE),
    "commands between": (f"```bash\nls\n```\n{FENCED}", CODE),
    "in a list": (f"1. So:\n{indent(FENCED, '   ')}", CODE),
    "bare, then a sentence": (f"{CODE}\nThis module fuses both loops into one.\n", CODE),
    "bare, then a list": (f"{CODE}\n**Why it is fast**\n\n- It reads once only.\n", CODE),
}


@pytest.mark.parametrize(("reply", "code"), SEVERAL.values(), ids=SEVERAL.keys())
def test_the_whole_candidate_is_found_among_several_blocks(reply: str, code: str) -> None:
    found = extract_code(reply)
    assert ast.dump(ast.parse(found)) == ast.dump(ast.parse(code))
    for cuts in (list(range(1, len(reply))), [len(reply) // 3, len(reply) // 2]):
        assert read(ReplyReader(CodeReader), reply, cuts) == found


def test_a_class_of_another_name_is_still_the_code() -> None:
    other = CODE.replace("ModelNew", "TritonModel")
    reply = f"```python\nimport torch\n```\nThen:\n```python\n{other}```\nDone."
    assert extract_code(reply) == other


def test_a_block_that_is_broken_off_keeps_what_it_builds_on() -> None:
    reply = f"```python\n{KERNEL}```\nthen\n```python\n{CLASS[:-9]}"
    assert extract_code(reply) == f"{KERNEL}\n\n{CLASS[:-9]}"


def test_reading_goes_on_until_a_block_is_a_candidate() -> None:
    reader = CodeReader()
    reader.feed(f"```python\n{KERNEL}```\n")
    assert not reader.done
    reader.feed(f"```python\n{CLASS}```\n")
    assert reader.done
