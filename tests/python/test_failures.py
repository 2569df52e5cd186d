"""What is said of code that fails: its own line, the message, a hint, and nothing of ours."""

from __future__ import annotations

import pytest
from verify_candidates import HEAD, TRITON, elementwise, model

from kernelllm_jupyter.errors import ProblemError
from kernelllm_jupyter.problem import parse_problem
from kernelllm_jupyter.values import Finding, Problem
from kernelllm_jupyter.verify.check import check

PROBLEM = Problem(HEAD + model("x * 2", "torch.randn(6, 70)"), "Model")
LINEAR = Problem(
    HEAD
    + """
class Model(nn.Module):
    def __init__(self, features, out=3):
        super().__init__()
        self.linear = nn.Linear(features, out)
    def forward(self, x):
        return self.linear(x)
def get_inputs():
    return [torch.randn(4, 8)]
def get_init_inputs():
    return [[8], {"out": 5}]
""",
    "Model",
)
RIGHT = TRITON + elementwise("x * 2")
INNER = """
@triton.jit
def inner(value):
    doubled = value * 2
    return doubled + missing

@triton.jit
def apply"""


def host(*lines: str) -> str:
    """The right candidate with lines put before its launch."""
    indented = "".join(f"        {line}\n" for line in lines)
    return RIGHT.replace("        n = out.numel()\n", f"{indented}        n = out.numel()\n")


def reason(source: str, problem: Problem = PROBLEM) -> Finding:
    (found,) = check(problem, source, device="cpu").reasons
    for name in ("kernelllm", "interpreter_", "site-packages", "/tmp", "InterpreterError"):
        assert name not in found.message
    return found


def line_of(source: str, text: str) -> int:
    (line,) = (n for n, line in enumerate(source.splitlines(), 1) if text in line)
    return line


@pytest.mark.parametrize(
    ("source", "text", "words"),
    [
        (RIGHT.replace("x * 2,", "tl.tanhh(x),"), "tl.tanhh", "Did you mean libdevice.tanh?"),
        (RIGHT.replace("x * 2,", "tl.atan2(x, x),"), "tl.atan2", "It is libdevice.atan2 (from tri"),
        (RIGHT.replace("x * 2,", "x + offset,"), "x + offset", "Did you mean offsets?"),
        (RIGHT.replace("x * 2,", "x + tl.arange(0, 64),"), "tl.arange(0, 64)", "128 and 64"),
        (RIGHT.replace("BLOCK: tl.constexpr", "BLOCK"), "offsets = tl.p", "tl.constexpr"),
        (
            RIGHT.replace("x * 2,", "inner(x),").replace("\n@triton.jit\ndef apply", INNER),
            "+ missing",
            "name 'missing' is not defined",
        ),
        (
            RIGHT.replace("@triton.jit", "@triton.autotune(cfgs=[], key=['n'])\n@triton.jit"),
            "@triton.autotune",
            "TypeError",
        ),
        (RIGHT.replace("import triton\n", "import triton\nX = 1 / 0\n"), "X = 1", "division"),
        (
            RIGHT.replace(
                "import triton\n",
                "import triton\nfrom torch._inductor.runtime.triton_heuristics import gridd\n",
            ),
            "import gridd",
            "There is no gridd in torch",
        ),
        (
            RIGHT.replace("import triton\n", "import triton.nothing\n"),
            "nothing",
            "There is no such",
        ),
        (RIGHT.replace("import triton\n", "import nowhere\n"), "nowhere", "is not installed here"),
        (
            RIGHT.replace("(triton.cdiv(n, 128),)", "lambda meta: (meta['SIZE'],)"),
            "meta['SIZE']",
            "KeyError: 'SIZE'",
        ),
        (host("exec('1 / 0')"), "exec(", "ZeroDivisionError"),
        (host("exec('def (:')"), "exec(", "SyntaxError"),
        (host("torch.mm(x, x)"), "torch.mm", "6x70 and 6x70"),
        (host("torch.emptty(3)"), "emptty", "Did you mean empty?"),
        (host("self.wieght"), "wieght", "'ModelNew' object has no attribute"),
        (host("x.reshap(-1)"), "reshap", "Did you mean reshape?"),
        (host("triton.next_pow2(3)"), "next_pow2", "Did you mean next_power_of_2?"),
        (host("open(__file__ + '.txt')"), "open(", "directory: 'candidate.py.txt'"),
        (host("raise RuntimeError(f'{__file__}:7 is wrong')"), "raise", "line 7 of the cell is"),
        (
            host(
                "try:", "    {}['key']", "except KeyError as e:", "    raise ValueError('v') from e"
            ),
            "raise ValueError",
            "ValueError: v (caused by KeyError: 'key')",
        ),
        (host("raise ValueError('a' * 50_000_000)"), "raise", "aaaa …"),
        (host("raise ValueError('\\x1b[31mred \\udc80')"), "raise", "ValueError: red ?"),
        (
            host("class E(Exception):", "    def __str__(self): return 1 / 0", "raise E"),
            "raise E",
            "E: (its text cannot be read)",
        ),
        (
            host(
                "a, b = ValueError('a'), ValueError('b')",
                "a.__cause__, b.__cause__ = b, a",
                "raise a",
            ),
            "raise a",
            "ValueError: a (caused by ValueError: b)",
        ),
    ],
)
def test_an_exception_names_the_codes_own_line_and_what_to_do(
    source: str, text: str, words: str
) -> None:
    found = reason(source)
    assert found.code == "exception"
    assert words in found.message
    assert found.line == line_of(source, text)


def test_a_constructor_that_takes_other_arguments_is_told_which() -> None:
    init = "class ModelNew(nn.Module):\n    def __init__(self, features):\n"
    source = RIGHT.replace("class ModelNew(nn.Module):\n", f"{init}        super().__init__()\n")
    found = reason(source, LINEAR)
    assert "unexpected keyword argument 'out'" in found.message
    assert "It is given 8, out=5, as the reference is." in found.message
    assert found.line == line_of(source, "def __init__")


def test_a_forward_that_takes_other_arguments_is_told_which() -> None:
    source = RIGHT.replace("def forward(self, x)", "def forward(self, x, y)")
    found = reason(source)
    assert "It is given a float32 tensor of shape [6, 70], as the reference is." in found.message
    assert found.line == line_of(source, "def forward")


def test_an_exception_that_cannot_be_looked_at_is_still_one() -> None:
    source = host(
        "class Meta(type):",
        "    def __getattribute__(cls, name): raise SystemExit",
        "class E(Exception, metaclass=Meta):",
        "    __cause__ = property(lambda self: E())",
        "raise E",
    )
    assert reason(source).code == "exception"


# --- references ----------------------------------------------------------------------------------

MODULE = """\
import torch.nn as nn

class Net(nn.Module):
    def forward(self, x):
        return x.reshape(7, -1)
"""


def failing(source: str, **options: str) -> ProblemError:
    with pytest.raises(ProblemError) as caught:
        check(parse_problem(source, **options), RIGHT, device="cpu")  # type: ignore[arg-type]
    return caught.value


def test_a_references_line_is_the_users_below_lines_that_were_put_there() -> None:
    error = failing(MODULE + "def get_inputs():\n    return [torch.randn(3, 5)]\n")
    assert "(line 5)" in str(error)
    assert error.line == 5


def test_a_bare_functions_line_is_the_users() -> None:
    source = "def scale(x):\n\n    # why\n    y = (x +\n         1)\n    return y.reshape(7, -1)\n"
    error = failing(source + "def get_inputs():\n    return [torch.randn(3, 5)]\n")
    assert "(line 6)" in str(error)
    assert error.line == 6


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"inputs": "torch.randn(3, 5).nope"}, "(in --inputs)"),
        ({"inputs": "torch.randn(7, 5)", "init": "1 / 0"}, "(in --init)"),
    ],
)
def test_an_expression_given_as_an_option_is_named(options: dict[str, str], words: str) -> None:
    error = failing(MODULE, **options)
    assert str(error).endswith(words)
    assert error.line is None


def test_a_reference_that_names_its_own_file_gets_its_own_line() -> None:
    body = "        raise ValueError(f'{__file__}:6')\n"
    source = MODULE + body + "def get_inputs():\n    return [torch.randn(7, 5)]\n"
    error = failing(source.replace("        return x.reshape(7, -1)\n", ""))
    assert "ValueError: line 5 of the cell" in str(error)
