"""Best of k and repair: real checks; the model is the bundled one, or a script at the very edge."""

from __future__ import annotations

import ast
import threading
import time
from collections.abc import Callable, Iterator

import pytest
from scripted_engine import ScriptedEngine, never

from kernelllm_jupyter.engines import get_engine
from kernelllm_jupyter.errors import EngineError, ProblemError
from kernelllm_jupyter.feedback import feedback
from kernelllm_jupyter.problem import parse_problem
from kernelllm_jupyter.prompts import KernelLLMProfile, Profile, profile_for
from kernelllm_jupyter.ranking import fastest, nearest
from kernelllm_jupyter.search import Began, Measured, SearchEvent, search
from kernelllm_jupyter.translate import Checked, Finished, Generated, Loading, Noted, Wrote
from kernelllm_jupyter.values import (
    Candidate,
    CheckOptions,
    Effort,
    Finding,
    Problem,
    Sampling,
    Timing,
    Translation,
    Verdict,
)

CHECK = CheckOptions(device="cpu")
GOOD = """\
import torch
import torch.nn as nn
import triton
import triton.language as tl


@triton.jit
def double_relu(x_ptr, out_ptr, n, BLOCK: tl.constexpr):
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    x = tl.load(x_ptr + at, mask=at < n)
    tl.store(out_ptr + at, tl.maximum(x, 0.0) * 2.5, mask=at < n)


class ModelNew(nn.Module):
    def forward(self, x):
        out = torch.empty_like(x)
        double_relu[(triton.cdiv(x.numel(), 256),)](x, out, x.numel(), BLOCK=256)
        return out
"""
WRONG = GOOD.replace("* 2.5", "* 2.4")
VERY_WRONG = GOOD.replace("* 2.5", "* 20")
FAILS = GOOD.replace("empty_like(x)", "empty_like(y)")
UNREADABLE = GOOD.replace("def forward(self, x):", "def forward(self, x:")


class InstructProfile(KernelLLMProfile):
    """One that can be told what was wrong."""

    name = "instruct"

    def __init__(self) -> None:
        super().__init__("no/such-model")

    def repair_prompt(
        self, problem: Problem, candidate: Candidate, verdict: Verdict | None
    ) -> str | None:
        return f"{candidate.code}\n{feedback(candidate, verdict)}\n"


@pytest.fixture
def problem(small_module: str) -> Problem:
    return parse_problem(small_module)


def fenced(code: str) -> list[str]:
    """A reply, in pieces of a few characters."""
    text = f"```python\n{code}```\n"
    return [text[at : at + 40] for at in range(0, len(text), 40)]


def run(
    problem: Problem,
    engine: ScriptedEngine,
    effort: Effort,
    profile: Profile | None = None,
    sampling: Sampling | None = None,
    check: CheckOptions | None = CHECK,
) -> tuple[Translation, list[SearchEvent]]:
    events = list(
        search(
            problem,
            engine,
            profile or KernelLLMProfile("no/such-model"),
            effort=effort,
            sampling=sampling,
            check=check,
        )
    )
    assert isinstance(events[-1], Finished)
    return events[-1].translation, events


def notes(events: list[SearchEvent]) -> str:
    return " ".join(event.message for event in events if isinstance(event, Noted))


# --- best of k -----------------------------------------------------------------------------------


def test_the_first_verified_candidate_ends_the_others(problem: Problem) -> None:
    engine = ScriptedEngine(
        ["```python\nimport torch\n", never(), "never said\n"],
        fenced(WRONG),
        fenced(GOOD),
        ["```python\n", never()],
    )
    made, _ = run(problem, engine, Effort(k=4))
    assert made.chosen == 2
    assert made.verdict is not None
    assert made.verdict.correct
    assert made.code == GOOD
    assert all(completion.closed.is_set() for completion in engine.completions)
    first, wrong, _, last = made.candidates
    assert (first.finish, first.code) == ("cancelled", "import torch\n"), "what had arrived is kept"
    assert "verified first" in first.note
    assert last.finish == "cancelled"
    assert made.verdicts[0] is None
    assert made.verdicts[3] is None
    assert wrong.code == WRONG


def test_a_candidate_is_checked_while_others_are_still_sampled(problem: Problem) -> None:
    checked = threading.Event()
    engine = ScriptedEngine(["```python\n", checked, *fenced(GOOD)[1:]], fenced(WRONG))
    order = []
    for event in search(
        problem, engine, KernelLLMProfile("no/such-model"), effort=Effort(k=2), check=CHECK
    ):
        if isinstance(event, Generated | Checked):
            order.append((type(event).__name__, event.index))
        if isinstance(event, Checked):
            checked.set()
    assert order == [("Generated", 1), ("Checked", 1), ("Generated", 0), ("Checked", 0)]


def test_the_same_code_is_checked_once(problem: Problem) -> None:
    relaid = WRONG.replace("    out = ", "    # Where the result goes.\n        out   = ")
    assert ast.dump(ast.parse(relaid)) == ast.dump(ast.parse(WRONG))
    engine = ScriptedEngine(fenced(WRONG), fenced(relaid), fenced(WRONG))
    made, events = run(problem, engine, Effort(k=3))
    duplicates = sorted(c.duplicate_of for c in made.candidates if c.duplicate_of is not None)
    assert len(duplicates) == 2
    assert len(set(duplicates)) == 1
    assert len({id(verdict) for verdict in made.verdicts}) == 1
    assert sum(isinstance(event, Checked) for event in events) == 3, "each one hears its verdict"


@pytest.mark.parametrize("k", [1, 2])
def test_a_reply_that_repeats_itself_is_stopped_and_says_so(problem: Problem, k: int) -> None:
    circling = ["```python\nimport torch\n", *["x = 1\ny = 2\nz = 3\n"] * 5000]
    engine = ScriptedEngine(circling, fenced(GOOD))
    made, _ = run(problem, engine, Effort(k=k))
    stopped = made.candidates[0]
    assert stopped.finish == "repetition"
    assert "3 lines come over and over" in stopped.note
    assert stopped.code == "import torch\nx = 1\ny = 2\nz = 3\n"
    assert engine.completions[0].tokens < 40
    assert engine.completions[0].closed.is_set()
    assert made.chosen == k - 1


def test_reasoning_may_go_over_its_drafts_and_is_stopped_only_where_it_never_ends(
    problem: Problem,
) -> None:
    draft = "Let me write it down again:\n" + GOOD[GOOD.index("@triton") :]
    thought = ["<think>\n", *[draft] * 8]
    engine = ScriptedEngine(
        [*thought, "Fine.\n</think>\n", *fenced(GOOD)], [*thought, *[draft] * 80]
    )
    profile = profile_for("deepseek-ai/DeepSeek-R1")
    made, _ = run(problem, engine, Effort(), profile)
    assert (made.candidate.finish, made.code) == ("stop", GOOD)
    assert made.candidate.thought.count("class ModelNew") == 8
    endless, _ = run(problem, engine, Effort(), profile)
    assert endless.candidate.finish == "repetition"
    assert "lines come over and over" in endless.candidate.note
    assert "inside the model's thinking" in endless.candidate.no_code
    assert engine.completions[1].tokens < 40


def test_what_stands_before_the_repetition_may_be_right(problem: Problem) -> None:
    again = GOOD[GOOD.index("class ModelNew") :]
    engine = ScriptedEngine([f"```python\n{GOOD}", *[f"\n\n{again}"] * 50])
    made, _ = run(problem, engine, Effort())
    assert made.verdict is not None
    assert made.verdict.correct
    assert made.code.strip() == GOOD.strip()
    assert made.candidate.finish == "repetition"


def test_where_none_passes_the_nearest_is_kept_as_failed(problem: Problem) -> None:
    replies = [UNREADABLE, FAILS, VERY_WRONG, WRONG, "x = 1\n"]
    engine = ScriptedEngine(*(fenced(code) for code in replies))
    made, _ = run(problem, engine, Effort(k=5))
    assert [verdict.verdict for verdict in made.verdicts if verdict] == [
        "compile_error",
        "runtime_error",
        "incorrect",
        "incorrect",
        "compile_error",
    ]
    assert made.code == WRONG
    assert made.verdict is not None
    assert not made.verdict.correct
    assert made.verdict.reasons


def test_without_a_check_all_are_sampled_and_the_first_whole_one_is_kept(
    problem: Problem,
) -> None:
    engine = ScriptedEngine(["I cannot.\n"], fenced(WRONG), fenced(GOOD))
    made, _ = run(problem, engine, Effort(k=3), check=None)
    assert made.code == WRONG
    assert made.verdicts == (None, None, None)


def test_seeds_differ_and_follow_from_the_one_given(problem: Problem) -> None:
    seeds = []
    for _ in range(2):
        engine = ScriptedEngine(fenced(WRONG))
        made, _ = run(problem, engine, Effort(k=4), sampling=Sampling(seed=7), check=None)
        seeds.append([sampling.seed for _, sampling in engine.asked])
        assert [candidate.seed for candidate in made.candidates] == seeds[-1]
    assert seeds[0] == seeds[1]
    assert seeds[0][0] == 7
    assert len(set(seeds[0])) == 4


def test_several_candidates_are_sampled_as_the_profile_says(problem: Problem) -> None:
    engine = ScriptedEngine(fenced(GOOD))
    run(problem, engine, Effort(k=2), check=None)
    assert {(s.temperature, s.top_p) for _, s in engine.asked} == {(1.0, 0.97)}


def test_many_candidates_are_sampled_a_batch_at_a_time(problem: Problem) -> None:
    engine = ScriptedEngine(fenced(GOOD))
    made, _ = run(problem, engine, Effort(k=40))
    assert made.verdict is not None
    assert made.verdict.correct
    assert len(engine.asked) == 16


def test_fastest_without_a_gpu_keeps_the_first_verified_and_says_why(problem: Problem) -> None:
    engine = ScriptedEngine(fenced(GOOD), ["```python\n", never()])
    made, events = run(problem, engine, Effort(k=2, best="fastest"))
    assert made.chosen == 0
    assert "Without a GPU" in notes(events)


def test_fastest_goes_on_and_times_what_is_verified_one_after_another(
    problem: Problem, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The GPU is the one thing that is played here; ``tests/gpu`` has the real one."""
    slower = GOOD.replace("256", "512")
    times_ms = {GOOD: 0.5, slower: 2.0}
    at_once: list[str] = []

    def timed(
        problem: Problem,
        code: str,
        options: object,
        *,
        progress: Callable[[str], None],
        **_: object,
    ) -> Timing:
        assert not at_once
        at_once.append(code)
        progress("Timing")
        at_once.remove(code)
        return Timing("faster", candidate_ms=times_ms[code])

    monkeypatch.setattr("kernelllm_jupyter.verify.gpu.gpu_present", lambda: True)
    monkeypatch.setattr("kernelllm_jupyter.verify.benchmark.benchmark", timed)
    engine = ScriptedEngine(fenced(slower), fenced(WRONG), fenced(GOOD), fenced(slower))
    made, events = run(
        problem, engine, Effort(k=4, best="fastest"), check=CheckOptions(device="auto")
    )
    assert made.code == GOOD
    assert made.timing is not None
    assert made.timing.candidate_ms == 0.5
    assert [candidate.finish for candidate in made.candidates] == ["stop"] * 4
    measured = [event.timing.candidate_ms for event in events if isinstance(event, Measured)]
    assert sorted(time_ms for time_ms in measured if time_ms) == [0.5, 2.0], "each code once"
    assert notes(events) == ""


# --- faults --------------------------------------------------------------------------------------


def test_a_stream_that_breaks_off_costs_one_candidate(problem: Problem) -> None:
    engine = ScriptedEngine(["```python\nimport torch\n", EngineError("gone")], fenced(GOOD))
    made, _ = run(problem, engine, Effort(k=2))
    assert made.chosen == 1
    broken = made.candidates[0]
    assert (broken.finish, broken.note, broken.code) == ("failed", "gone", "import torch\n")


def test_an_engine_that_fails_for_all_is_an_error(problem: Problem) -> None:
    engine = ScriptedEngine([EngineError("out of memory")])
    with pytest.raises(EngineError, match="out of memory"):
        run(problem, engine, Effort(k=3, repair=2))
    assert len(engine.asked) == 3


def test_a_module_that_does_not_run_itself_is_an_error(small_module: str) -> None:
    broken = parse_problem(small_module.replace("return [torch", "raise OSError('no')\n    [torch"))
    engine = ScriptedEngine(fenced(GOOD), ["```python\n", never()])
    with pytest.raises(ProblemError, match="no"):
        run(broken, engine, Effort(k=2))
    assert all(completion.closed.is_set() for completion in engine.completions)


HANGS = GOOD.replace("        out = torch.empty_like(x)\n", "        while True: pass\n", 1)


@pytest.mark.parametrize("interrupted", [False, True])
def test_closing_ends_streams_and_checks_at_once(problem: Problem, interrupted: bool) -> None:
    engine = ScriptedEngine(fenced(HANGS), ["```python\n", never()], ["```python\n", never()])
    events = search(
        problem, engine, KernelLLMProfile("no/such-model"), effort=Effort(k=3), check=CHECK
    )
    seen: set[tuple[str, int]] = set()
    while ("Checking", 0) not in seen:
        event = next(events)
        seen.add((type(event).__name__, getattr(event, "index", -1)))
    before = time.monotonic()
    if interrupted:
        with pytest.raises(KeyboardInterrupt):
            events.throw(KeyboardInterrupt())
    else:
        events.close()
    assert time.monotonic() - before < 30, "a check of a candidate that hangs runs for 60 s"
    assert all(completion.closed.is_set() for completion in engine.completions)
    names = {thread.name for thread in threading.enumerate() if thread.is_alive()}
    assert not any("stream" in name or "judge" in name for name in names), names


# --- repair --------------------------------------------------------------------------------------


def test_the_verdict_goes_back_to_the_model_with_the_failing_line(problem: Problem) -> None:
    engine = ScriptedEngine(fenced(FAILS), fenced(GOOD))
    made, events = run(problem, engine, Effort(repair=3), InstructProfile())
    assert [(began.index, began.round, began.repair_of) for began in events_of(events, Began)] == [
        (0, 0, None),
        (1, 1, 0),
    ]
    told = engine.asked[1][0]
    assert FAILS in told
    assert "fails when it runs" in told
    assert "empty_like(y)" in told.split("(marked with >)")[1]
    assert made.chosen == 1
    assert made.candidate.repair_of == 0
    assert made.verdict is not None
    assert made.verdict.correct


def events_of(events: list[SearchEvent], kind: type[Began]) -> list[Began]:
    return [event for event in events if isinstance(event, kind)]


def test_models_that_chat_get_the_failure_as_the_next_turn(problem: Problem) -> None:
    profile = profile_for("Qwen/Qwen2.5-Coder-7B-Instruct")
    engine = ScriptedEngine(fenced(FAILS), fenced(GOOD))
    made, _ = run(problem, engine, Effort(repair=1), profile)
    first, second = (prompt for prompt, _ in engine.asked)
    assert not isinstance(first, str)
    assert not isinstance(second, str)
    assert second[: len(first)] == first
    assistant, user = second[len(first) :]
    assert (assistant.role, user.role) == ("assistant", "user")
    assert FAILS.strip() in assistant.content
    assert "empty_like(y)" in user.content
    assert "complete Python module" in user.content
    assert made.verdict is not None
    assert made.verdict.correct


def test_repair_stops_when_nothing_changes(problem: Problem) -> None:
    engine = ScriptedEngine(fenced(WRONG), fenced(VERY_WRONG), fenced(WRONG))
    made, events = run(problem, engine, Effort(repair=9), InstructProfile())
    assert len(engine.asked) == 3
    assert "nothing new" in notes(events)
    assert made.code == WRONG
    assert made.candidates[2].duplicate_of == 0


def test_repair_stops_at_n(problem: Problem) -> None:
    wrong = [GOOD.replace("* 2.5", f"* 2.{n}") for n in range(5)]
    engine = ScriptedEngine(*(fenced(code) for code in wrong))
    made, _ = run(problem, engine, Effort(repair=2), InstructProfile())
    assert len(engine.asked) == 3
    assert [candidate.round for candidate in made.candidates] == [0, 1, 2]
    assert made.code == wrong[2], "the nearest of all"


def test_repair_works_with_k_the_nearest_first(problem: Problem) -> None:
    engine = ScriptedEngine(fenced(UNREADABLE), fenced(WRONG), fenced(VERY_WRONG), fenced(GOOD))
    made, events = run(problem, engine, Effort(k=3, repair=1), InstructProfile())
    parents = [began.repair_of for began in events_of(events, Began) if began.round == 1]
    assert parents == [1, 2, 0]
    assert made.verdict is not None
    assert made.verdict.correct


def test_a_model_that_takes_no_instructions_is_sampled_again(problem: Problem) -> None:
    engine = ScriptedEngine(fenced(WRONG), fenced(WRONG), fenced(GOOD))
    made, _ = run(problem, engine, Effort(k=1, repair=1))
    assert [prompt for prompt, _ in engine.asked] == [engine.asked[0][0]] * 2
    assert engine.asked[0][1].temperature == 0.0
    assert engine.asked[1][1].temperature == 1.0, "greedy decoding would say the same again"
    assert made.candidates[1].duplicate_of == 0, "what has failed is not checked again"


def test_slips_are_mended_and_listed_when_repair_is_asked_for(problem: Problem) -> None:
    slips = GOOD.replace("ModelNew", "ModelNEW").replace("import triton\n", "")
    made, _ = run(problem, ScriptedEngine(fenced(slips)), Effort(repair=1))
    assert made.verdict is not None
    assert made.verdict.correct
    assert made.candidate.mends == ("ModelNEW is now called ModelNew", "added: import triton")
    assert made.to_json()["candidates"][0]["mends"] == list(made.candidate.mends)
    plain, _ = run(problem, ScriptedEngine(fenced(slips)), Effort())
    assert plain.code == slips, "unasked, the model's code stays the model's"


def test_an_engine_that_fails_during_a_repair_leaves_what_there_was(problem: Problem) -> None:
    engine = ScriptedEngine(fenced(WRONG), [EngineError("gone")])
    made, events = run(problem, engine, Effort(repair=2), InstructProfile())
    assert made.code == WRONG
    assert "gone" in notes(events)


# --- the bundled model ---------------------------------------------------------------------------


def translated(problem: Problem, effort: Effort) -> Iterator[SearchEvent]:
    yield from search(
        problem,
        get_engine("starter"),
        profile_for("starter"),
        effort=effort,
        sampling=Sampling(seed=1),
        check=CHECK,
    )


def test_the_starter_s_best_of_five_is_proved(problem: Problem) -> None:
    events = list(translated(problem, Effort(k=5)))
    assert isinstance(events[-1], Finished)
    made = events[-1].translation
    assert made.verdict is not None
    assert made.verdict.correct
    assert len(made.candidates) == 5
    kinds = {type(event) for event in events}
    assert {Loading, Began, Wrote, Generated, Checked, Finished} <= kinds


def test_a_module_that_the_starter_fails_on_ends_as_failed() -> None:
    # Hot enough to write nonsense, so that this test outlives a better starter.
    source = (
        "import torch\nimport torch.nn as nn\n\n\nclass Model(nn.Module):\n"
        "    def forward(self, x, y):\n"
        "        return torch.tanh(x * 2.0 + y) / (1.0 + torch.abs(y))\n"
        "\n\ndef get_inputs():\n    return [torch.randn(4, 33), torch.randn(4, 33)]\n"
    )
    events = list(
        search(
            parse_problem(source),
            get_engine("starter"),
            profile_for("starter"),
            effort=Effort(k=5, repair=1),
            sampling=Sampling(temperature=50.0, max_new_tokens=120, seed=1),
            check=CHECK,
        )
    )
    assert isinstance(events[-1], Finished)
    made = events[-1].translation
    assert len(made.candidates) == 10
    assert made.verdict is not None
    assert not made.verdict.correct
    assert made.verdict.reasons


# --- which one is kept ---------------------------------------------------------------------------


def candidate(code: str = "x = 1", **changes: object) -> Candidate:
    return Candidate(code=code, text=code, model="m", finish="stop", **changes)  # type: ignore[arg-type]


def test_the_nearest_is_the_one_that_comes_closest_to_correct() -> None:
    verdicts = [
        None,
        Verdict("compile_error"),
        Verdict("crashed"),
        Verdict("runtime_error", (Finding("exception", "no"),)),
        Verdict("rejected"),
        Verdict("incorrect"),
        Verdict("incorrect", max_abs_error=2.0, error_budget=1.0),
        Verdict("incorrect", max_abs_error=1.5, error_budget=1.0),
        Verdict("correct"),
    ]
    while verdicts:
        assert nearest([candidate()] * len(verdicts), verdicts) == len(verdicts) - 1
        verdicts.pop()


def test_the_fastest_is_the_one_with_the_shortest_measured_time() -> None:
    slow, fast = Timing("faster", candidate_ms=2.0), Timing("slower", candidate_ms=1.0)
    assert fastest((None, slow, fast, Timing("not measured"))) == 2
    assert fastest((None, Timing("not measured"))) is None
