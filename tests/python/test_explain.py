"""A wrong result is explained: every known way of being wrong, made on purpose, is named."""

from __future__ import annotations

import math
import resource
import time
from collections.abc import Callable

import pytest
import torch
from verify_candidates import HEAD, TRITON, elementwise, model

from kernelllm_jupyter.values import Problem
from kernelllm_jupyter.verify.check import check
from kernelllm_jupyter.verify.explaining.explain import account, only_store
from kernelllm_jupyter.verify.tolerance import compare
from kernelllm_jupyter.verify.watching.audit import POISON_NUMBER, poison


def drawn(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def said(got: torch.Tensor, expected: torch.Tensor, *inputs: torch.Tensor) -> str:
    comparison = compare(got, expected, None, None)
    assert comparison.outcome == "different"
    return account("output", "seed 0", comparison, got, expected, list(inputs))


def changed(tensor: torch.Tensor, where: object, to: object) -> torch.Tensor:
    tensor = tensor.clone()
    tensor[where] = to
    return tensor


X = drawn(100, 70)
CUBE = drawn(5, 6, 7)
ROWS = torch.arange(100)[:, None]
COLUMNS = torch.arange(70)[None, :]
POSITIVE = X.abs() + 0.1
UNWRITTEN = poison(torch.empty(100, 70))
LARGE = torch.arange(9) * (1 << 30)
SOFTMAX = torch.softmax(X, dim=1)


@pytest.mark.parametrize(
    ("got", "words"),
    [
        (changed(X, slice(96, None), UNWRITTEN[96:]), "never written"),
        (UNWRITTEN, "All of it is NaN: never written"),
        (changed(X, (3, 4), POISON_NUMBER), "never written"),
        (torch.where(ROWS == 3, math.inf * torch.zeros(1) * -1, X), "Whole rows are NaN"),
        (changed(X, (slice(None), 3), -math.nan), "computed as NaN"),
        (changed(X, (3, 4), math.inf), "overflows to infinity"),
        (torch.zeros_like(X), "all zeros"),
        (torch.full_like(X, 3.5), "Every element is 3.5"),
        (torch.where(X > 1, X, 0.0), "Wherever it is wrong, the result is 0"),
        (X.roll(1, 1), "one place before it along the last axis"),
        (X.roll(-1, 0), "one place after it along axis 0"),
        (X.roll(2, 0), "2 places before it along axis 0"),
        (X.flip(0), "reversed along axis 0"),
        (X.T.reshape(100, 70), "The result is transposed."),
        (X.reshape(-1)[torch.randperm(7000)].reshape(100, 70), "in another order"),
        (X * 2.5, "2.5 times"),
        (X * -1, "wrong sign"),
        (X * 3, "added up more than once"),
        (torch.where(X < 0, X * 1.01, X), "Wherever it is wrong, it is 1.01 times"),
        (torch.where(X < 0, X + 1.0, X), "Wherever it is wrong, it is 1 too large"),
        (torch.where(X < 0, -X, X), "Wherever it is wrong, only the sign is"),
        (X * 1.4426950408889634, "log2 stands where log should"),
        (X + 0.75, "0.75 too large"),
        (X - 1e-3, "0.001 too small"),
        (X.half().float(), "float16 numbers"),
        (X.bfloat16().float(), "bfloat16 numbers"),
        (X + 3e-4 * drawn(100, 70, seed=1).clamp(-2, 2), "such as float16 or TF32?"),
        (X * (1 + 1e-2 * torch.sin(X)), "an approximation"),
        (X.relu(), "a relu too many"),
        (1 / X, "the reciprocal of what it should be"),
    ],
)
def test_what_the_values_are_instead_is_named(got: torch.Tensor, words: str) -> None:
    assert words in said(got, X)


@pytest.mark.parametrize(
    ("got", "expected", "inputs", "words"),
    [
        (X, X * 2, [X], "The result is the input, unchanged"),
        (X, X * 2, [CUBE, X], "The result is input 2, unchanged"),
        (torch.where(X > 1, X, X * 2), X * 2, [X], "Wherever it is wrong, the result is the input"),
        (X.sum(1), X.mean(1), [X], "70 is a size of the problem, so a sum stands"),
        (X.mean(0), X.sum(0), [X], "1 / 100, so a mean stands where a sum should"),
        (X.mean(0) * 70, X.mean(0) * 100, [X], "0.7 times"),
        (X.var(1), X.var(1, correction=0), [X], "n / (n - 1) for n = 70, so a variance is unb"),
        (X.var(1, correction=0), X.var(1), [X], "(n - 1) / n for n = 70, so a variance is biased"),
        (X.sum(1) / 128, X.mean(1), [X], "that is 70 / 128, so a mean is over a block and its"),
        (LARGE % 2**32, LARGE, [], "off by multiples of 2^32: an int32 ran over"),
        (CUBE * math.sqrt(7), CUBE, [CUBE], "the square root of 7"),
        (X, X.relu(), [X], "a relu is missing"),
        (POSITIVE.sqrt(), POSITIVE, [], "square root of what it should be"),
        (POSITIVE, POSITIVE.sqrt(), [], "What it should be is the square root of the result"),
        (torch.softmax(X, 0), SOFTMAX, [X], "Each row and each column has a factor"),
        (X.exp(), SOFTMAX, [X], "Each row has a factor of its own"),
        (X * drawn(70), X, [], "Each column has a factor of its own: is a weight left out"),
        (X + drawn(70), X, [], "Each column is off by an amount of its own: is a bias left out"),
        (CUBE * drawn(6, 1), CUBE, [], "Each index of axis 1 has a factor of its own"),
        (X.sum(), X.mean(), [X], "It is 7000 times what it should be: 7000 is a size"),
        (X * math.sqrt(128 / 70), X, [X], "that is sqrt(128 / 70), so a mean is over a block"),
        (torch.full((9,), -math.inf), drawn(9), [], "It is -infinity, as the logarithm of 0"),
        (X > 0, X > 1, [X], "Wherever it is wrong, it is True."),
        (drawn(9, 9).T, drawn(9, 9), [], "The result is transposed."),
        (CUBE.permute(0, 2, 1).reshape(5, 6, 7), CUBE, [], "axes 1 and 2 are swapped"),
        (CUBE.permute(2, 0, 1).reshape(5, 6, 7), CUBE, [], "in the order [2, 0, 1]"),
        (X.argmax(1), (X + 1).argmin(1), [X], "wrong in"),
        (torch.tensor([1, 0]), torch.tensor([0, 1]), [torch.ones(2, 3)], "there are ties"),
        (torch.tensor([2, 2]), torch.tensor([0, 0]), [torch.ones(2, 3)], "there are ties"),
        (X.argmax(1) + 1, X.argmax(1), [X], "Every element is 1 too large"),
        (torch.tensor([1, 2, 3, 9, 0]), torch.tensor([1, 1, 4, 9, 1]), [], "it is off by one"),
        (X.half() * 1e6, X.half(), [], "beyond float16's 65504"),
        (
            poison(torch.empty(9, dtype=torch.int32)),
            torch.arange(9).int(),
            [],
            "All of it is what fresh memory holds",
        ),
    ],
)
def test_what_the_values_are_of_the_inputs_is_named(
    got: torch.Tensor, expected: torch.Tensor, inputs: list[torch.Tensor], words: str
) -> None:
    assert words in said(got, expected, *inputs)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (ROWS * 70 + COLUMNS >= 6979, "Exactly the last 21 elements are wrong: is"),
        (ROWS * 70 + COLUMNS >= 6976, "last 24 elements are wrong, which is what blocks of 64 "),
        (ROWS * 70 + COLUMNS >= 128, "Only the first 128 elements are right: did only the first"),
        (ROWS * 70 + COLUMNS < 33, "Exactly the first 33 elements are wrong"),
        (ROWS >= 64, "the last 36 of 100 rows are wrong: is the grid too small?"),
        (ROWS == 7, "Exactly row 7 is wrong"),
        (ROWS >= 1, "Only the first of 100 rows is right."),
        (COLUMNS + 0 * ROWS >= 32, "Only the first 32 of 70 columns are right: is that one block?"),
        ((ROWS >= 8) & (ROWS < 16), "Exactly rows 8 to 15 are wrong"),
        (COLUMNS + 0 * ROWS == 3, "Exactly column 3 is wrong"),
        (
            COLUMNS + 0 * ROWS >= 64,
            "the last 6 of 70 columns are wrong, which is what blocks of 64",
        ),
        ((ROWS % 4 == 1) & (COLUMNS >= 0), "Exactly every 4th row from 1 on is wrong"),
        ((ROWS < 16) & (COLUMNS >= 32) & (COLUMNS < 48), "rows 0 to 15 and columns 32 to 47"),
        ((ROWS >= 96) | (COLUMNS >= 64), "row < 96 and column < 64 are right: the border tiles"),
        (ROWS == COLUMNS, "those on the diagonal"),
        (ROWS < COLUMNS, "those above the diagonal"),
        ((ROWS + COLUMNS) % 2 == 1, "like the squares of a chessboard"),
        ((ROWS // 16 + COLUMNS // 16) % 2 == 0, "Every other tile of 16 × 16"),
        ((ROWS * 70 + COLUMNS) % 3 == 1, "Exactly every third element is wrong, from element 1 on"),
        ((ROWS == 3) & (COLUMNS < 20) & (COLUMNS != 7), "All wrong elements are in row 3 and col"),
    ],
)
def test_where_it_is_wrong_is_named(wrong: torch.Tensor, words: str) -> None:
    noise = 100 + 10 * drawn(100, 70, seed=2).abs()
    assert words in said(torch.where(wrong, X + noise, X), X)


@pytest.mark.parametrize(
    ("condition", "words"),
    [
        (X < 0, "exactly where the input is negative"),
        (X > 1.5, "exactly where the input is larger than 1.5"),
        (X < -1.5, "exactly where the input is smaller than -1.49"),
    ],
)
def test_what_the_input_is_where_it_is_wrong_is_named(condition: torch.Tensor, words: str) -> None:
    expected = drawn(100, 70, seed=3)
    noise = 100 + 10 * drawn(100, 70, seed=2).abs()
    assert words in said(torch.where(condition, expected + noise, expected), expected, X)


def test_a_batch_of_three_axes_is_named_by_its_axis() -> None:
    noise = torch.where(torch.arange(5)[:, None, None] == 2, 100 + drawn(5, 6, 7, seed=4), 0.0)
    assert "Exactly index 2 of axis 0 is wrong." in said(CUBE + noise, CUBE)


def test_the_first_and_the_worst_element_are_given() -> None:
    got = changed(changed(X, (2, 5), 50.0), (60, 7), 500.0)
    text = said(got, X)
    assert (
        "wrong in 2 of 7000 elements (seed 0); first at [2, 5], worst at [60, 7]: got 500" in text
    )
    assert said(changed(X, (2, 5), 50.0), X).startswith(
        "output is wrong in 1 of 7000 elements (seed 0), at [2, 5]: got 50"
    )


def test_the_last_element_alone_is_named() -> None:
    assert said(changed(X, (99, 69), 9.0), X).endswith("the last element: is a mask off by one?")


def test_an_exp_that_overflows_is_named() -> None:
    large = 100 * X
    expected = torch.where(large > 20, large, large.exp().log1p())
    assert "a float32 exp overflows from 88.72 on" in said(large.exp().log1p(), expected, large)


def test_noise_is_not_explained() -> None:
    text = said(X + 5 * drawn(100, 70, seed=5), X, X)
    assert text.endswith(").")
    assert ". " not in text


def test_complex_results_are_looked_at_by_their_parts() -> None:
    expected = torch.view_as_complex(drawn(10, 4, 2))
    assert "2.5 times" in said(expected * 2.5, expected)


def test_a_scalar_has_no_place() -> None:
    text = said(torch.tensor(2.0), torch.tensor(3.0))
    assert "wrong in 1 of 1 elements (seed 0): got 2, expected 3" in text


@pytest.mark.parametrize(
    ("got", "expected", "words"),
    [
        (X.half(), X.half().float(), "The values are right: convert the result to float32."),
        (X[:, :, None], X, "The values are right: squeeze or unsqueeze the result."),
        (X.reshape(70, 100), X, "The values are right: reshape the result."),
        (X.T.contiguous(), X, "The values are right and transposed."),
        (X.reshape(-1).sort().values, X, "The number of elements is right."),
        (X.sum(1), X, "where the reference has (100, 70)."),
        (X.to(torch.complex64), X, "where the reference has torch.float32."),
    ],
)
def test_a_wrong_form_says_whether_the_values_are_right(
    got: torch.Tensor, expected: torch.Tensor, words: str
) -> None:
    assert words in said(got, expected)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda x: x * 2,
        lambda x: x.roll(1, 1),
        lambda x: torch.where(torch.arange(2048) >= 2000, x + 9, x),
        lambda x: changed(x, (1234, 567), 100.0),
    ],
)
def test_a_large_output_is_explained_in_bounded_time_and_memory(
    spoil: Callable[[torch.Tensor], torch.Tensor],
) -> None:
    expected = drawn(2048, 2048)
    got = spoil(expected)
    comparison = compare(got, expected, None, None)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    started = time.process_time()
    text = account("output", "seed 0", comparison, got, expected, [expected])
    assert time.process_time() - started < 20
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 64 << 10
    assert any(words in text for words in ("2 times", "one place before", "last 48", "[1234, 567]"))


def test_a_candidates_only_store_is_where_a_wrong_result_was_written() -> None:
    source = TRITON + elementwise("x * 4")
    problem = Problem(HEAD + model("x * 2", "torch.randn(6, 70)"), "Model")
    (reason,) = check(problem, source, device="cpu").reasons
    (line,) = (n for n, text in enumerate(source.splitlines(), 1) if "tl.store" in text)
    assert reason.line == line
    assert only_store(source + source) is None
    assert only_store("x = 1") is None
    assert only_store("def f(:") is None
