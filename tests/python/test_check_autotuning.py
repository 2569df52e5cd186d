"""Autotuned Triton kernels: every configuration is checked, and tuning does what it does."""

from __future__ import annotations

import pytest
from verify_candidates import HEAD, TRITON, model

from kernelllm_jupyter.values import Problem, Verdict
from kernelllm_jupyter.verify.check import check

VECTOR = "torch.rand(300) + 0.5"
DOUBLE = model("x * 2", VECTOR)
SUM = model("x.sum().reshape(1)", VECTOR)


def tuned(
    options: str,
    body: str = "tl.store(o_ptr + i, x * 2, mask=i < n)",
    out: str = "torch.empty_like(x)",
    *,
    above: str = "",
    below: str = "",
    meta: str = "",
) -> str:
    """A candidate whose Triton kernel is autotuned with ``options``."""
    lines = "\n".join(f"    {line}" for line in body.splitlines())
    return f"""{TRITON}
{above}
@triton.autotune({options})
{below}
@triton.jit
def work(x_ptr, o_ptr, n, BLOCK: tl.constexpr{meta}):
    i = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    x = tl.load(x_ptr + i, mask=i < n, other=0.0)
{lines}

class ModelNew(nn.Module):
    def forward(self, x):
        o = {out}
        n = x.numel()
        work[lambda meta: (triton.cdiv(n, meta["BLOCK"]),)](x, o, n)
        return o
"""


def blocks(*sizes: int) -> str:
    return "[" + ", ".join(f"triton.Config({{'BLOCK': {size}}})" for size in sizes) + "]"


def verdict_of(reference: str, source: str) -> Verdict:
    return check(Problem(HEAD + reference, "Model"), source, device="cpu")


@pytest.mark.parametrize("wrong", [1, 20])
def test_a_single_wrong_configuration_of_many_is_found(wrong: int) -> None:
    configs = "[triton.Config({'BLOCK': 64, 'NUMBER': k}) for k in range(1, 21)]"
    source = tuned(
        f"configs={configs}, key=['n']",
        f"tl.store(o_ptr + i, x * (3 if NUMBER == {wrong} else 2), mask=i < n)",
        meta=", NUMBER: tl.constexpr",
    )
    verdict = verdict_of(DOUBLE, source)
    assert verdict.verdict == "incorrect"
    assert f"NUMBER: {wrong}" in verdict.reasons[0].message


def test_more_configurations_than_trials_are_all_run_or_counted() -> None:
    source = tuned(
        "configs=[triton.Config({'BLOCK': 64, 'NUMBER': k}) for k in range(1, 61)], key=['n']",
        meta=", NUMBER: tl.constexpr",
    )
    verdict = verdict_of(DOUBLE, source)
    assert verdict.correct, verdict.reasons
    assert verdict.trials is not None
    left_out = [note.message for note in verdict.not_made if note.code == "configurations"]
    if left_out:
        # This machine was too busy for all of them.
        assert "of 60 of work" in left_out[0]
    else:
        assert verdict.trials >= 60


@pytest.mark.parametrize(
    ("options", "body", "out"),
    [
        ("reset_to_zero=['o_ptr']", "tl.atomic_add(o_ptr, tl.sum(x))", "torch.zeros(1)"),
        (
            "pre_hook=lambda kwargs, reset_only=False: kwargs['o_ptr'].zero_()",
            "tl.atomic_add(o_ptr, tl.sum(x))",
            "torch.zeros(1)",
        ),
    ],
)
def test_a_sum_by_atomics_needs_its_output_reset(options: str, body: str, out: str) -> None:
    right = tuned(f"configs={blocks(64, 128)}, key=['n'], {options}", body, out)
    assert verdict_of(SUM, right).correct
    wrong = verdict_of(SUM, right.replace(f", {options}", ""))
    assert wrong.verdict == "incorrect"
    assert "autotuning" in wrong.reasons[0].message


def test_a_hook_of_a_configuration_resets_the_output_too() -> None:
    configs = (
        "[triton.Config({'BLOCK': b}, pre_hook=lambda args: args['o_ptr'].zero_()) "
        "for b in (64, 128)]"
    )
    source = tuned(
        f"configs={configs}, key=['n']", "tl.atomic_add(o_ptr, tl.sum(x))", "torch.zeros(1)"
    )
    assert verdict_of(SUM, source).correct


def test_a_kernel_in_place_needs_its_values_restored() -> None:
    body = "tl.store(o_ptr + i, tl.load(o_ptr + i, mask=i < n) * 2, mask=i < n)"
    right = tuned(
        f"configs={blocks(64, 128)}, key=['n'], restore_value=['o_ptr']", body, "x.clone()"
    )
    assert verdict_of(DOUBLE, right).correct
    assert verdict_of(DOUBLE, right.replace(", restore_value=['o_ptr']", "")).verdict == "incorrect"


def test_configurations_that_are_pruned_are_not_run() -> None:
    prune = "lambda configs, args, **kw: [c for c in configs if c.kwargs['BLOCK'] < 100]"
    body = "tl.store(o_ptr + i, x * (3 if BLOCK == 128 else 2), mask=i < n)"
    options = f"configs={blocks(32, 64, 128)}, key=['n'], prune_configs_by="
    source = tuned(options + f"{{'early_config_prune': {prune}}}", body)
    assert verdict_of(DOUBLE, source).correct
    model_of_time = "{'perf_model': lambda BLOCK, **kw: BLOCK, 'top_k': 2}"
    source = tuned(
        f"configs={blocks(32, 64, 128)}, key=['n'], prune_configs_by={model_of_time}", body
    )
    assert verdict_of(DOUBLE, source).correct


def test_a_configuration_that_a_static_assertion_refuses_is_left_out() -> None:
    body = "tl.static_assert(BLOCK < 100)\ntl.store(o_ptr + i, x * 2, mask=i < n)"
    assert verdict_of(DOUBLE, tuned(f"configs={blocks(32, 64, 128)}, key=['n']", body)).correct
    verdict = verdict_of(DOUBLE, tuned(f"configs={blocks(128, 256)}, key=['n']", body))
    assert not verdict.correct


def test_heuristics_compute_constants_from_arguments() -> None:
    heuristics = "@triton.heuristics({'EVEN': lambda args: args['n'] % args['BLOCK'] == 0})"
    body = "tl.store(o_ptr + i, x * (3 if EVEN else 2), mask=i < n)"
    options = f"configs={blocks(64, 128)}, key=['n']"
    source = tuned(options, body, below=heuristics, meta=", EVEN: tl.constexpr")
    assert verdict_of(DOUBLE, source).correct
    wrong = source.replace("3 if EVEN else 2", "2 if EVEN else 3")
    assert verdict_of(DOUBLE, wrong).verdict == "incorrect"


@pytest.mark.parametrize(
    "options", ["use_cuda_graph=True", "warmup=2, rep=3", "do_bench=lambda call, quantiles: [1.0]"]
)
def test_how_it_is_timed_makes_no_difference(options: str) -> None:
    assert verdict_of(DOUBLE, tuned(f"configs={blocks(64, 128)}, key=['n'], {options}")).correct


def test_what_was_chosen_can_be_asked_for() -> None:
    source = tuned(f"configs={blocks(64, 128)}, key=['n']").replace(
        "        return o\n",
        "        assert work.best_config.kwargs['BLOCK'] in (64, 128)\n        return o\n",
    )
    assert verdict_of(DOUBLE, source).correct
