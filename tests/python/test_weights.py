"""Weights are the reference's, by name or by value, and are varied like inputs."""

from __future__ import annotations

from verify_candidates import HEAD, TRITON

from kernelllm_jupyter.values import Problem, Verdict
from kernelllm_jupyter.verify.check import check

TWO_SCALES = """
class Model(nn.Module):
    def __init__(self, features):
        super().__init__()
        self.first = nn.Parameter(torch.ones(features))
        self.second = nn.Parameter(torch.ones(features))
        self.register_buffer("steps", torch.tensor(0))

    def forward(self, x):
        return torch.relu(x * self.first) * self.second

def get_inputs():
    return [torch.randn(5, 33)]

def get_init_inputs():
    return [33]
"""
SCALED = """
@triton.jit
def scale_kernel(x_ptr, first_ptr, second_ptr, out_ptr, n, features, BLOCK: tl.constexpr):
    offsets = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    mask = offsets < n
    x = tl.load(x_ptr + offsets, mask=mask)
    first = tl.load(first_ptr + offsets % features, mask=mask)
    second = tl.load(second_ptr + offsets % features, mask=mask)
    tl.store(out_ptr + offsets, tl.maximum(x * first, 0.0) * second, mask=mask)

class ModelNew(nn.Module):
    def __init__(self, features):
        super().__init__()
        self.after = nn.Parameter(torch.ones(features))
        self.before = nn.Parameter(torch.ones(features))

    def forward(self, x):
        x = x.contiguous()
        out = torch.empty_like(x)
        n = x.numel()
        scale_kernel[(triton.cdiv(n, 64),)](
            x, self.before, self.after, out, n, x.shape[-1], BLOCK=64
        )
        return out
"""


def run(candidate: str) -> Verdict:
    return check(Problem(HEAD + TWO_SCALES, "Model"), TRITON + candidate, device="cpu")


def test_weights_of_other_names_and_equal_values_may_stand_in_any_order() -> None:
    verdict = run(SCALED)
    assert verdict.verdict == "correct", verdict.reasons
    assert "weights" not in {finding.code for finding in verdict.not_made}


def test_a_weight_that_is_not_used_shows_where_it_starts_as_ones() -> None:
    for ignored in ("x * first", "* second"):
        wrong = SCALED.replace(ignored, ignored.replace("* first", "").replace("* second", ""))
        assert run(wrong).verdict == "incorrect", ignored


def test_a_weight_of_which_nothing_is_known_is_not_varied() -> None:
    for kept in ("after", "before"):
        folded = SCALED.replace(
            f"self.{kept} = nn.Parameter(torch.ones(features))",
            f"self.{kept} = torch.ones(features)",
        )
        verdict = run(folded)
        assert verdict.verdict == "correct", (kept, verdict.reasons)
        assert "weights" in {finding.code for finding in verdict.not_made}


def test_weights_that_are_known_are_varied_beside_others_that_are_not() -> None:
    known = SCALED.replace("self.before", "self.first").replace(
        "self.after = nn.Parameter(torch.ones(features))", "self.after = torch.ones(features)"
    )
    verdict = run(known)
    assert verdict.verdict == "correct", verdict.reasons
    assert "weights" in {finding.code for finding in verdict.not_made}
    assert run(known.replace("x * first", "x")).verdict == "incorrect"
