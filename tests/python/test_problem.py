"""A cell is read as a problem without being run, and what is wrong with it is said clearly."""

from __future__ import annotations

from collections.abc import Callable

import numpy
import pytest

from kernelllm_jupyter.errors import ProblemError, UsageError
from kernelllm_jupyter.prelude import free_names, line_for
from kernelllm_jupyter.problem import parse_problem

MODEL = """\
import torch
import torch.nn as nn

class Model(nn.Module):
    def __init__(self, scale):
        super().__init__()
        self.scale = scale

    def forward(self, x):
        return torch.relu(x) * self.scale

def get_inputs():
    return [torch.randn(8, 16)]

def get_init_inputs():
    return [2.0]
"""


def test_a_complete_cell_is_taken_as_it_is() -> None:
    problem = parse_problem(MODEL)
    assert problem.source == MODEL
    assert (problem.class_name, problem.has_inputs, problem.has_init_inputs) == (
        "Model",
        True,
        True,
    )
    assert problem.first_line == 1


def test_reading_a_cell_runs_nothing_of_it(tmp_path) -> None:
    marker = tmp_path / "ran"
    parse_problem(MODEL + f"\nopen({str(marker)!r}, 'w').close()\n")
    assert not marker.exists()


@pytest.mark.parametrize("source", ["", "   \n\n", "# only a comment\n", "%matplotlib inline\n"])
def test_an_empty_cell_says_what_to_write(source: str) -> None:
    with pytest.raises(ProblemError, match="empty: write a torch.nn.Module"):
        parse_problem(source)


def test_a_syntax_error_is_shown_with_line_and_caret() -> None:
    broken = "import torch\nclass Model(torch.nn.Module:\n    pass\n"
    with pytest.raises(ProblemError) as caught:
        parse_problem(broken)
    shown = str(caught.value).splitlines()
    assert caught.value.line == 2
    assert "line 2" in shown[0]
    assert shown[1].strip() == "class Model(torch.nn.Module:"
    assert shown[2].index("^") == 4 + caught.value.column - 1


@pytest.mark.parametrize(
    "source",
    [
        "a\0b",
        "# coding: nonsense\nx = (",
        "これは\n  Python ではない",
        "def f(x, x):\n    return x",
        "def f(x):\n    global x\n    return x",
        "x: int = 1\nglobal x",
    ],
)
def test_what_is_no_python_is_refused_as_a_problem(source: str) -> None:
    with pytest.raises(ProblemError):
        parse_problem(source)


def test_text_without_a_module_says_what_is_missing() -> None:
    with pytest.raises(ProblemError, match=r"no torch\.nn\.Module"):
        parse_problem("x = 1\n")
    with pytest.raises(ProblemError, match=r"found: Config.*--name"):
        parse_problem("class Config:\n    pass\n")


TWO = """\
import torch
from torch import nn
class First(nn.Module):
    def forward(self, x): return x + 1
class Second(nn.Module):
    def forward(self, x): return x + 2
def get_inputs(): return [torch.ones(3)]
"""


def test_two_modules_are_the_users_to_choose_from() -> None:
    with pytest.raises(ProblemError, match=r"First, Second.*--name"):
        parse_problem(TWO)
    assert parse_problem(TWO, class_name="First").class_name == "First"
    with pytest.raises(ProblemError, match="no class or function named 'Third'"):
        parse_problem(TWO, class_name="Third")


def test_a_module_named_model_goes_first_and_a_part_of_another_goes_last() -> None:
    assert parse_problem(TWO.replace("First", "Model")).class_name == "Model"
    nested = TWO.replace("return x + 2", "return First()(x) + 2")
    assert parse_problem(nested).class_name == "Second"


@pytest.mark.parametrize(
    "head",
    [
        "from torch.nn import Module\nimport torch\nclass Net(Module):",
        "import torch\nclass Net(torch.nn.Module):",
        "import torch, torch.nn as layers\nclass Net(layers.Module):",
        "import torch\nfrom torch import nn\nclass Base(nn.Module):\n    pass\nclass Net(Base):",
        "import torch\nfrom torch import nn\nclass Net(nn.ReLU):",
    ],
)
def test_a_module_is_known_by_its_base_however_it_is_spelled(head: str) -> None:
    source = f"{head}\n    def forward(self, x): return x\ndef get_inputs(): return []\n"
    assert parse_problem(source).class_name == "Net"


def test_a_function_is_wrapped_in_a_module() -> None:
    source = (
        "import torch\ndef swish(x: torch.Tensor, beta=2.0):\n    'Swish.'\n"
        "    return x * torch.sigmoid(beta * x)\ndef get_inputs(): return [torch.randn(4)]\n"
    )
    problem = parse_problem(source)
    assert problem.class_name == "Model"
    names: dict = {}
    exec(problem.source, names)
    import torch

    x = torch.randn(5)
    assert torch.equal(names["Model"]()(x), x * torch.sigmoid(2.0 * x))


def test_a_generator_and_a_class_without_forward_are_refused() -> None:
    with pytest.raises(ProblemError, match="generator"):
        parse_problem("def f(x):\n    yield x\n")
    with pytest.raises(ProblemError, match=r"no forward\(\)"):
        parse_problem("from torch import nn\nclass A(nn.Module):\n    def run(self, x): return x\n")


def test_missing_inputs_are_asked_for_and_given_by_an_expression() -> None:
    source = MODEL.replace("def get_inputs():\n    return [torch.randn(8, 16)]\n", "")
    with pytest.raises(ProblemError, match=r"no get_inputs\(\).*--inputs"):
        parse_problem(source)
    assert parse_problem(source, require_inputs=False).has_inputs is False
    for expression in ("torch.randn(2, 3)", "[torch.randn(2, 3)]", "(torch.randn(2, 3),)"):
        problem = parse_problem(source, inputs=expression)
        assert "return [torch.randn(2, 3)]" in problem.source
    with pytest.raises(UsageError, match="--inputs is not a Python expression"):
        parse_problem(source, inputs="torch.randn(2")


def test_constructor_arguments_are_asked_for_only_where_they_are_needed() -> None:
    source = MODEL.replace("def get_init_inputs():\n    return [2.0]\n", "")
    with pytest.raises(ProblemError, match=r"needs arguments \(scale\).*--init"):
        parse_problem(source)
    assert parse_problem(source.replace("scale):", "scale=1.0):")).has_init_inputs is False
    assert "return [3.0]" in parse_problem(source, init="3.0").source
    assert "return [[], {'scale': 3.0}]" in parse_problem(source, init="{'scale': 3.0}").source
    assert "return [[], dict(scale=3.0)]" in parse_problem(source, init="dict(scale=3.0)").source


def test_names_of_earlier_cells_are_written_into_the_problem() -> None:
    source = (
        "class Model(nn.Module):\n    def forward(self, x):\n"
        "        return F.relu(x) * scale + xp.pi\n"
        "def get_inputs(): return [torch.randn(rows)]\n"
    )
    problem = parse_problem(source, names={"scale": 2.5, "rows": 7, "xp": numpy})
    prelude = problem.source.splitlines()[: problem.first_line - 1]
    assert prelude == [
        "import torch",
        "import torch.nn as nn",
        "import torch.nn.functional as F",
        "rows = 7",
        "scale = 2.5",
        "import numpy as xp",
    ]
    assert problem.source.splitlines()[problem.first_line - 1] == source.splitlines()[0]


def test_names_that_nothing_defines_are_named() -> None:
    with pytest.raises(ProblemError, match=r"uses Block, which it does not define"):
        parse_problem(
            "class Model(nn.Module):\n    def forward(self, x): return Block()(x)\n"
            "def get_inputs(): return []\n",
            names={"Block": object()},
        )


def test_only_what_can_be_imported_is_taken_from_the_notebook() -> None:
    import math
    from collections import namedtuple
    from types import ModuleType

    import torch

    lines: dict[str, tuple[object, str | None]] = {
        "root": (math.sqrt, "from math import sqrt as root"),
        "made": (ModuleType("no module's name"), None),
        "method": (fractional(), None),
        "kind": (torch.bfloat16, "import torch; kind = torch.bfloat16"),
        "shape": (torch.ones(2, 3).shape, "import torch; shape = torch.Size([2, 3])"),
        "pair": (namedtuple("Pair", "a b")(1, 2), None),
        "pool": (
            torch.nn.functional.max_pool2d,
            "from torch.nn.functional import max_pool2d as pool",
        ),
    }
    for name, (value, line) in lines.items():
        assert line_for(name, {name: value}) == line


def fractional() -> Callable[[float], float]:
    """What says that it is ``math``'s and is not, as a module's bound method does."""

    def forward(x: float) -> float:
        return x

    forward.__module__ = "math"
    return forward


def test_free_names_know_scopes() -> None:
    assert free_names("def f(a):\n    b = a\n    return b + c + len(a)\n") == {"c"}
    assert free_names("import math\nx = [math.pi * i for i in range(n)]\n") == {"n"}


def test_ipython_lines_do_not_hide_the_module() -> None:
    problem = parse_problem("%load_ext autoreload\n!pip list\n" + MODEL)
    assert problem.class_name == "Model"
    assert problem.source.splitlines()[2:] == MODEL.splitlines()
