"""Problems made of live modules: source, arguments, weights and calls, checked by real workers."""

from __future__ import annotations

import copy
import dataclasses
import importlib
import sys
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import kernelllm_jupyter
from kernelllm_jupyter.errors import ProblemError, UsageError
from kernelllm_jupyter.live.arguments import arguments_of
from kernelllm_jupyter.live.problem import LiveArguments, problem_of
from kernelllm_jupyter.values import Problem, Verdict
from kernelllm_jupyter.verify.check import check

SCALE = 2.5
SETTINGS = {"shift": 0.5, "key": "sk-not-to-be-told"}


def rectified(x: Any) -> Any:
    return F.relu(x) * SCALE


class Net(nn.Module):
    """A linear layer and a scaled rectifier, by a helper and numbers of this module."""

    def __init__(self, dim: int, eps: float = 1e-5, act: Any = None):
        super().__init__()
        self.fc = nn.Linear(dim, 2 * dim)
        self.eps = eps
        self.act = act or rectified

    def forward(self, x: Any, *, shift: Any = None) -> Any:
        y = self.act(self.fc(x)) + self.eps + SETTINGS["shift"]
        return y if shift is None else y + shift


CANDIDATE = """
import torch, triton, triton.language as tl
import torch.nn as nn

@triton.jit
def k(x_ptr, s_ptr, o_ptr, n, cols, eps, BLOCK: tl.constexpr):
    i = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    m = i < n
    x = tl.load(x_ptr + i, mask=m, other=0.0)
    s = tl.load(s_ptr + i % cols, mask=m, other=0.0)
    tl.store(o_ptr + i, tl.maximum(x, 0.0) * 2.5 + eps + 0.5 + s, mask=m)

class ModelNew(nn.Module):
    def __init__(self, dim, eps=1e-5):
        super().__init__()
        self.fc = nn.Linear(dim, dim * 2)
        self.eps = eps

    def forward(self, x, *, shift):
        y, shift = self.fc(x).contiguous(), shift.contiguous()
        o = torch.empty_like(y)
        k[(triton.cdiv(y.numel(), 64),)](y, shift, o, y.numel(), y.shape[-1], self.eps, BLOCK=64)
        return o
"""


def made(problem: Problem, code: str, **options: Any) -> Verdict:
    return check(problem, code, device="cpu", **options)


def captured_net() -> tuple[Net, Problem]:
    net = Net(8, eps=0.1)
    with torch.no_grad():
        net.fc.weight.mul_(3)
    with kernelllm_jupyter.capture(net) as calls:
        net(torch.randn(4, 8, requires_grad=True), shift=torch.randn(16))
        net(torch.randn(7, 8), shift=torch.randn(16))
    assert len(calls) == 2
    return net, problem_of(net, "net")


def test_a_live_module_is_checked_with_its_weights_and_the_inputs_of_its_calls() -> None:
    net, problem = captured_net()
    before = copy.deepcopy(net.state_dict())
    verdict = made(problem, CANDIDATE, compile_for="auto")
    assert verdict.verdict == "correct", verdict.reasons
    assert verdict.compilation is not None
    assert verdict.sizes is not None
    assert verdict.sizes.inputs == ("float32[4, 8]", "float32[16]")
    assert "sizes" not in {found.code for found in verdict.not_made}
    # A weight that is right as the constructor makes it is wrong here.
    unloaded = CANDIDATE.replace("self.fc = nn.Linear", "self.mine = nn.Linear")
    unloaded = unloaded.replace("self.fc(x)", "self.mine(x)")
    assert made(problem, unloaded).verdict == "correct", "matched by the values of the seed"
    fixed = CANDIDATE.replace("self.fc(x)", "F.linear(x, self.w, self.fc.bias)")
    fixed = fixed.replace("self.eps = eps", "self.eps = eps; self.w = self.fc.weight.data.clone()")
    verdict = made(problem, "import torch.nn.functional as F\n" + fixed)
    assert verdict.verdict == "incorrect"
    assert not net._forward_hooks
    assert not net._forward_pre_hooks
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())


def test_the_source_is_complete_and_holds_nothing_else_of_the_session() -> None:
    _, problem = captured_net()
    for part in ("def rectified", "SCALE = 2.5", "'shift': 0.5", "return [8, 0.1]", "import torch"):
        assert part in problem.source
    assert "sk-not-to-be-told" not in problem.source
    assert "captured_net" not in problem.source


def test_what_was_read_off_wrongly_or_changed_since_is_told_before_any_verdict() -> None:
    net, _ = captured_net()
    net.fc.bias = None
    with pytest.raises(ProblemError, match=r"cannot be built anew.*fc\.bias.*--init"):
        made(problem_of(net, "net"), CANDIDATE)
    net, problem = captured_net()
    other = dataclasses.replace(problem, source=problem.source.replace("2.5", "2.0"))
    with pytest.raises(ProblemError, match="gives other results than when it was captured"):
        made(other, CANDIDATE)
    with torch.no_grad():
        net.fc.weight.add_(1)
    assert made(problem_of(net, "net"), CANDIDATE).verdict == "correct", "written since the call"


def test_half_precision_ties_and_eval_mode_are_the_live_ones() -> None:
    class Tied(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.one = nn.Linear(8, 8, bias=False)
            self.two = nn.Linear(8, 8, bias=False)
            self.drop = nn.Dropout(0.5)

        def forward(self, x: Any) -> Any:
            return self.drop(self.two(torch.relu(self.one(x))))

    tied = Tied()
    tied.two.weight = tied.one.weight
    tied = tied.half().eval()
    with kernelllm_jupyter.capture(tied):
        tied(torch.randn(4, 8).half())
    problem = problem_of(tied, "tied")
    assert problem.live is not None
    assert problem.live.dtype == "float16"
    assert problem.live.training is False
    assert problem.live.ties == {"two.weight": "one.weight"}
    candidate = (
        CANDIDATE.split("@triton.jit")[0]
        + """
@triton.jit
def k(x_ptr, o_ptr, n, BLOCK: tl.constexpr):
    i = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    tl.store(o_ptr + i, tl.maximum(tl.load(x_ptr + i, mask=i < n), 0.0), mask=i < n)

class ModelNew(nn.Module):
    def __init__(self):
        super().__init__()
        self.one = nn.Linear(8, 8, bias=False)
        self.two = nn.Linear(8, 8, bias=False)

    def forward(self, x):
        y = self.one(x)
        o = torch.empty_like(y)
        k[(triton.cdiv(y.numel(), 64),)](y, o, y.numel(), BLOCK=64)
        return self.two(o)
"""
    )
    verdict = made(problem, candidate)
    assert verdict.verdict == "correct", verdict.reasons
    assert "eval_mode" not in {found.code for found in verdict.warnings}


@pytest.mark.parametrize(
    ("module", "inputs", "said"),
    [
        (nn.LayerNorm(16, eps=1e-3), (3, 16), "nn.LayerNorm(normalized_shape, eps)"),
        (nn.Linear(4, 6, bias=False), (3, 4), "return [4, 6, False]"),
        (nn.Conv2d(3, 4, 3, padding=1), (1, 3, 5, 5), "nn.Conv2d("),
        (nn.LSTM(4, 6, batch_first=True), (2, 3, 4), "batch_first=batch_first"),
        (nn.Sequential(nn.Linear(4, 8), nn.GELU("tanh")), (3, 4), "nn.GELU('tanh')"),
        (nn.BatchNorm1d(5, affine=False), (4, 5), "affine=affine"),
        (nn.PReLU(), (4, 5), "nn.PReLU()"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, nn.Module) else "",
)
def test_pytorchs_own_layers_are_wrapped_and_rebuilt(
    module: nn.Module, inputs: tuple[int, ...], said: str
) -> None:
    with kernelllm_jupyter.capture(module):
        wanted = module(torch.rand(inputs))
    problem = problem_of(module, "layer")
    assert said in problem.source
    names: dict[str, Any] = {}
    exec(problem.source, names)
    rebuilt = names["Model"](*names.get("get_init_inputs", list)())
    assert set(rebuilt.state_dict()) == {f"layer.{name}" for name in module.state_dict()}
    returned = rebuilt(*names["get_inputs"]())
    assert type(returned) is type(wanted)


class Reassigned(nn.Module):
    """Parameters that the constructor assigns anew, always or under a condition."""

    def __init__(self, dim: Any = None, heads: Any = None, width: int = 1):
        super().__init__()
        self.early = nn.Linear(width, 1)
        dim = dim or 64
        if heads is None:
            heads = 4
        width = width * 2
        self.fc, self.head = nn.Linear(dim, heads), nn.Linear(width, 1)

    def forward(self, x: Any) -> Any:
        return self.fc(x)


class Anything(nn.Module):
    def __init__(*args: Any) -> None:
        nn.Module.__init__(args[0])

    def forward(self, x: Any) -> Any:
        return x


@pytest.mark.parametrize(
    ("module", "found"),
    [
        (Reassigned(), {"dim": 64, "heads": 4}),
        (Reassigned(8, 2, 3), {"dim": 8, "heads": 2, "width": 3}),
        (Anything(), {}),
    ],
    ids=["defaults", "given", "anything"],
)
def test_arguments_are_read_through_assignments_to_them(
    module: nn.Module, found: dict[str, Any]
) -> None:
    assert arguments_of(module).found == found


class ByName(nn.Module):
    def __init__(self, act: Any) -> None:
        super().__init__()
        self.act = act

    def forward(self, x: Any, scale: float = 2.0, *rest: Any, shift: Any, name: str = "") -> Any:
        return self.act(x) * scale + sum(rest) + shift


class ByPlace(ByName):
    def forward(self, x: Any, scale: float = 2.0, /) -> Any:
        return self.act(x) * scale


def test_a_wrapper_takes_and_passes_on_what_the_module_does() -> None:
    x = torch.randn(3)
    calls: list[tuple[nn.Module, tuple[Any, ...], dict[str, Any]]] = [
        (ByName(nn.ReLU()), (x, 3.0, 1.0, 2.0), {"shift": 1.0}),
        (ByPlace(nn.ReLU()), (x, 3.0), {}),
    ]
    for module, args, kwargs in calls:
        problem = problem_of(module, "module", require_inputs=False)
        names: dict[str, Any] = {}
        exec(problem.source, names)
        wrapper = names[problem.class_name](*names.get("get_init_inputs", list)())
        assert torch.equal(wrapper(*args, **kwargs), module(*args, **kwargs))


def test_modules_of_files_are_read_by_their_own_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "own_layers.py").write_text(
        "import torch\nfrom torch import nn\nimport own_numbers as numbers\n\n"
        "class Base(nn.Module):\n    def __init__(self, width):\n        super().__init__()\n"
        "        self.width = width\n\n"
        "class Deep(Base):\n    def __init__(self, width, depth, act):\n"
        "        super().__init__(width)\n"
        "        self.parts = nn.ModuleList([nn.Linear(width, width) for _ in range(depth)])\n"
        "        self.act = act()\n"
        "    def forward(self, x):\n        for part in self.parts:\n"
        "            x = self.act(part(x)) * numbers.FACTOR\n        return x\n"
    )
    (tmp_path / "own_numbers.py").write_text("FACTOR = 0.5\nOTHER = 'not told'\n")
    monkeypatch.syspath_prepend(tmp_path)
    layers = importlib.import_module("own_layers")
    deep = layers.Deep(6, 3, nn.Tanh)
    problem = problem_of(deep, "deep", LiveArguments(inputs=[torch.randn(2, 6)]))
    assert "types.SimpleNamespace(FACTOR=0.5)" in problem.source
    assert "not told" not in problem.source
    for name in ("own_layers", "own_numbers"):
        sys.modules.pop(name)
    monkeypatch.undo()
    names: dict[str, Any] = {}
    exec(problem.source, names)
    rebuilt = names[problem.class_name](*names.get("get_init_inputs", list)())
    assert [*rebuilt.state_dict()] == [f"layer.{name}" for name in deep.state_dict()]


def test_what_cannot_be_known_or_handed_over_is_one_clear_message() -> None:
    class Closed(nn.Module):
        def __init__(self, width: int, squared: int):
            super().__init__()
            self.fc = nn.Linear(width, squared**2)

        def forward(self, x: Any) -> Any:
            return self.fc(x)

    closed = Closed(3, 2)
    with pytest.raises(ProblemError, match=r"squared.*cannot be read off.*--init"):
        problem_of(closed, "closed")
    given = LiveArguments(inputs=[torch.randn(2, 3)], init_expression="3, 2")
    assert "return [3, 2]" in problem_of(closed, "closed", given).source
    names: dict[str, Any] = {"nn": nn}
    exec("class Made(nn.Module):\n    def forward(self, x): return x\n", names)
    with pytest.raises(ProblemError, match=r"source of Made is not available.*exec"):
        problem_of(names["Made"](), "made")
    net = Net(4)
    with pytest.raises(ProblemError, match=r"No call of net was captured.*capture\(net\)"):
        problem_of(net, "net")
    with pytest.raises(UsageError, match="is a class"):
        problem_of(Net, "Net")
    with pytest.raises(UsageError, match="device meta"):
        problem_of(Net(4).to("meta"), "net", LiveArguments(inputs=[torch.randn(2, 4)]))
    for value, said in ((object(), "is a object"), ({1: 2}, "keys that are no strings")):
        with pytest.raises(UsageError, match=said):
            problem_of(net, "net", LiveArguments(inputs=[torch.randn(2, 4), value]))
    net.forward = lambda x: x
    with pytest.raises(ProblemError, match="replaced on the instance"):
        problem_of(net, "net", LiveArguments(inputs=[torch.randn(2, 4)]))


def test_a_capture_is_bounded_and_says_what_it_left_out() -> None:
    net = Net(8)
    with kernelllm_jupyter.capture(net, keep=2) as calls:
        with pytest.raises(RuntimeError, match="shapes"):
            net(torch.randn(2, 3))
        for rows in (2, 2, 2, 5):
            net(torch.randn(rows, 8))
    assert [call.args[0].shape[0] for call in calls] == [2, 5], "one of each kind"
    assert "1 that raised was left out." in calls.notes
    assert any("keep=" in note for note in calls.notes)
    handle = kernelllm_jupyter.capture(net, memory_mb=0.001)
    with pytest.warns(UserWarning, match="memory_mb"):
        net(torch.randn(512, 8))
    net(torch.randn(2, 8))
    handle.remove()
    net(torch.randn(3, 8))
    assert [call.args[0].shape[0] for call in handle] == [2]
    with pytest.raises(UsageError, match=r"torch\.nn\.Module"):
        kernelllm_jupyter.capture(len)  # type: ignore[arg-type]


def test_a_capture_keeps_what_was_given_whatever_becomes_of_it() -> None:
    class InPlace(nn.Module):
        def forward(self, x: Any, more: Any) -> Any:
            return x.mul_(2), more["y"]

    module = InPlace()
    x, y = torch.ones(3), torch.ones(2, 1).expand(2, 1 << 20)
    with kernelllm_jupyter.capture(module) as calls, warnings.catch_warnings():
        warnings.simplefilter("error")
        module(x, {"y": y})
        copied = copy.deepcopy(module)
        copied(x, {"y": y})
    (call,) = calls
    assert call.args[0].tolist() == [1.0, 1.0, 1.0]
    assert call.args[1]["y"].untyped_storage().nbytes() == 8, "an expanded tensor stays one"
    problem = problem_of(module, "module")
    assert problem.live is not None
    assert problem.live.inputs


def test_integers_of_calls_keep_their_range_and_need_no_drawing() -> None:
    class Picked(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.table = nn.Embedding(10, 4)

        def forward(self, index: Any) -> Any:
            return self.table(index)

    picked = Picked()
    with kernelllm_jupyter.capture(picked):
        picked(torch.tensor([[1, 9, 3]]))
    problem = problem_of(picked, "picked")
    assert "torch.randint(1, 10, (1, 3))" in problem.source
    assert not problem.has_inputs, "for the model to read; the check has the call's own"
