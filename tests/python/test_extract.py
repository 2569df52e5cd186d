"""Code comes out of a reply whole, in whatever form and pieces the reply arrives."""

from __future__ import annotations

import random
from itertools import pairwise

import pytest

from kernelllm_jupyter.extract import CodeReader, extract_code

CODE = '''\
import torch
import triton
import triton.language as tl


@triton.jit
def scale_kernel(x_ptr, n, BLOCK: tl.constexpr):
    at = tl.arange(0, BLOCK)
    inside = at < n  # below the end
    tl.store(x_ptr + at, tl.load(x_ptr + at, mask=inside) * 2.5, mask=inside)


class ModelNew(torch.nn.Module):
    """Says `x` and ``y`` and <b>."""

    def forward(self, x):
        return x | 1
'''
REPLIES = {
    "bare": CODE,
    "fence with its language": f"```python\n{CODE}```\n",
    "fence without": f"```\n{CODE}```",
    "tildes": f"~~~py\n{CODE}~~~\nDone.\n",
    "longer fence": f"````python\n{CODE}````\n",
    "fence with attributes": f"```python title=x\n{CODE}```\n",
    "talk before": f"Sure! Here is the kernel, as of\nimport time:\n\n```python\n{CODE}```\n",
    "talk after": f"```python\n{CODE}```\nThis fuses `import x` and more.\n```python\nother()\n```",
    "talk before bare code": f"Here is the new code.\n\n{CODE}",
    "a heading before the fence": f"# Solution\n\n```python\n{CODE}```\n",
    "only the closing fence": f"{CODE}```\nExplanation: it is fast.\n",
    "commands first": f"```bash\npip install triton\n```\nthen\n```python\n{CODE}```",
    "blank lines first": f"\n\n```python\n\n{CODE}```",
    "special token at the end": f"{CODE}<|eot_id|><|start_header_id|>user",
    "special token after the fence's content": f"```python\n{CODE}<|end_of_text|>and so on",
    "indented fence": f"  ```python\n{CODE}  ```\n",
}


def in_pieces(text: str, cuts: list[int]) -> str:
    reader = CodeReader()
    pieces = [text[start:end] for start, end in pairwise([0, *cuts, len(text)])]
    return "".join(reader.feed(piece) for piece in pieces) + reader.flush()


@pytest.mark.parametrize("reply", REPLIES.values(), ids=REPLIES.keys())
def test_the_code_is_found_in_every_form_of_reply(reply: str) -> None:
    assert extract_code(reply) == CODE


@pytest.mark.parametrize("reply", REPLIES.values(), ids=REPLIES.keys())
def test_where_a_reply_is_cut_into_pieces_does_not_matter(reply: str) -> None:
    assert in_pieces(reply, list(range(1, len(reply)))) == CODE
    for cut in range(1, len(reply)):
        assert in_pieces(reply, [cut]) == CODE
    choose = random.Random(7)
    for _ in range(200):
        cuts = sorted(choose.sample(range(1, len(reply)), choose.randint(2, 12)))
        assert in_pieces(reply, cuts) == CODE


@pytest.mark.parametrize("reply", REPLIES.values(), ids=REPLIES.keys())
def test_a_reply_that_is_broken_off_gives_what_had_come(reply: str) -> None:
    whole = extract_code(reply)
    for end in range(len(reply)):
        cut = extract_code(reply[:end])
        assert whole.startswith(cut.rstrip()), (end, cut[-40:])
        assert "```" not in cut
        assert "~~~" not in cut
        assert "<|" not in cut


def test_the_reader_is_done_at_the_closing_fence_and_not_before() -> None:
    reader = CodeReader()
    assert reader.feed(f"```python\n{CODE}") == CODE
    assert not reader.done
    reader.feed("``")
    assert not reader.done
    reader.feed("`\n")
    assert reader.done
    assert reader.feed("import os\n") == ""
    assert reader.flush() == ""


def test_text_is_handed_on_as_soon_as_it_cannot_be_a_fence() -> None:
    reader = CodeReader()
    reader.feed("```python\n")
    given = [reader.feed(character) for character in "    x = 1\n"]
    # Indentation alone may belong to a fence; from the first letter on nothing is held back.
    assert given == ["", "", "", "", "    x", " ", "=", " ", "1", "\n"]
    assert reader.feed("y < 2") == "y < 2"
    assert reader.feed(" <") == " "
    assert reader.feed("= 3\n") == "<= 3\n"


def test_a_reply_without_its_closing_fence_is_never_done() -> None:
    reader = CodeReader()
    assert reader.feed("```python\nx = 1") + reader.flush() == "x = 1"
    assert reader.flush() == ""
    assert not reader.done


def test_backticks_inside_a_line_are_code() -> None:
    code = 'x = "```"\ny = `z`\n'
    assert extract_code(f"```python\n{code}```") == code


def test_comments_and_docstrings_before_bare_code_belong_to_it() -> None:
    code = "# A kernel.\n\nimport torch\n"
    assert extract_code(code) == code
    assert extract_code(f"Here it is:\n{code}") == code
    code = '"""A kernel."""\nimport torch\n'
    assert extract_code(code) == code


@pytest.mark.parametrize(
    "talk",
    [
        "",
        "\n\n",
        "I cannot translate this module.",
        "The class of such modules is large.\nfrom what I see, def is no word.\n# A heading\n",
        "import duties are not code, and classes = many are.",
    ],
)
def test_talk_alone_is_no_code(talk: str) -> None:
    assert extract_code(talk) == ""


def test_a_last_line_without_its_end_is_kept() -> None:
    assert extract_code("import torch") == "import torch"
    assert extract_code("```\nx = 1") == "x = 1"


def test_only_newlines_end_a_line() -> None:
    code = "x = '\x0c ```'\r\ny = 1\n"
    assert extract_code(f"```\r\n{code}```\r\n") == code
