"""The grid of candidates: true to the events, and text whatever the candidates say."""

from __future__ import annotations

from dataclasses import replace

from kernelllm_jupyter.grid import Grid, Row, grid_html, grid_rows
from kernelllm_jupyter.markup import report_html
from kernelllm_jupyter.report import Report, report_text
from kernelllm_jupyter.search import Began, SearchEvent
from kernelllm_jupyter.translate import Checked, Checking, Finished, Generated, Thought, Wrote
from kernelllm_jupyter.values import Candidate, Finding, Problem, Timing, Translation, Verdict

HOSTILE = "</pre><script>alert('x')</script><img src=x onerror=alert(1)>"
PLAIN = Candidate(code="a = 1\nb = 2\n", text="", model="m", finish="stop", tokens=9, seconds=1.5)
WRONG = Verdict("incorrect", (Finding("wrong_values", "3 of 9 elements"),), elapsed_ms=800.0)
RIGHT = Verdict("correct", elapsed_ms=1200.0)


def shown(*events: SearchEvent) -> tuple[Row, ...]:
    grid = Grid()
    for event in events:
        grid.take(event)
    return grid.rows


def test_a_row_says_what_its_candidate_is_doing() -> None:
    steps = [
        (Began(0), "Sampling"),
        (Thought("Let me see.", 2, 0.1), "Thinking"),
        (Wrote("a", 4, 0.2), "Sampling"),
        (Generated(PLAIN), "Waiting for its check"),
        (Checking("Trial 3 of 9"), "Trial 3 of 9"),
        (Checked(WRONG), "Not correct: 3 of 9 elements"),
    ]
    grid = Grid()
    for event, state in steps:
        grid.take(event)
        assert grid.rows[0].state == state
    row = grid.rows[0]
    assert (row.tokens, row.sampled_s, row.checked_s) == (9, 1.5, 0.8)
    assert grid_rows([row])[1] == ("1", "9", "1.5 s", "0.8 s", "✗ Not correct: 3 of 9 elements")


def finished() -> tuple[Row, ...]:
    candidates = (
        PLAIN,
        replace(PLAIN, duplicate_of=0),
        replace(PLAIN, code="a = 1\nb = 3\n", mends=("added: import math",), repair_of=0, round=1),
        replace(PLAIN, code="a", finish="cancelled", note="Stopped: another was first."),
        replace(PLAIN, code="", finish="failed", note="gone"),
    )
    made = Translation(
        Problem("", "Model"),
        candidates,
        2,
        (WRONG, WRONG, RIGHT, None, None),
        timings=(None, None, Timing("faster", candidate_ms=0.25), None, None),
    )
    begun = [Began(at, int(at == 2), 0 if at == 2 else None) for at in range(5)]
    return shown(*begun, Finished(made))


def test_the_end_tells_what_became_of_each() -> None:
    cells = [(row[0], row[-1]) for row in grid_rows(finished())[1:]]
    assert cells == [
        ("1", "✗ Not correct: 3 of 9 elements"),
        ("2", "✗ Same code as 1"),
        ("3 (repair of 1)", "✓ Correct; added: import math (kept)"),
        ("4", "– Stopped: another was first."),
        ("5", "✗ gone"),
    ]
    assert grid_rows(finished())[3][4] == "0.25 ms"


def test_the_others_are_differences_from_the_one_kept() -> None:
    page = grid_html(finished())
    assert page.count("<details>") == 3, "not for the kept one, nor where there is no code"
    removed, added = '<span class="kllm-removed">-b = 3', '<span class="kllm-added">+b = 2'
    assert f"{removed}</span>\n{added}</span>" in page
    assert '<th scope="col">Candidate</th>' in page
    assert "<caption>5 candidates, 1 correct, 3 failed</caption>" in page


def test_nothing_in_the_grid_is_ever_html() -> None:
    verdict = Verdict("runtime_error", (Finding("exception", HOSTILE),))
    candidate = Candidate(
        code=HOSTILE, text=HOSTILE, model="m", finish="failed", mends=(HOSTILE,), note=HOSTILE
    )
    made = Translation(
        Problem("", "Model"), (PLAIN, candidate, candidate), 0, (RIGHT, verdict, None)
    )
    rows = shown(Began(0), Began(1), Began(2), Checking(HOSTILE), Finished(made))
    page = report_html(Report("done", "m", rows=rows))
    assert "<script" not in page
    assert "<img" not in page
    assert "(kept)" in report_text(Report("done", "m", rows=rows))
    assert "<img" not in grid_html(shown(Began(0), Checking(HOSTILE)))
