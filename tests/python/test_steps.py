"""How far a check is: numbers that never go back, whatever turns out on the way."""

from __future__ import annotations

from kernelllm_jupyter.verify.steps import Step, Steps


def begun(steps: Steps) -> tuple[int, int, float]:
    steps.begin()
    told = steps.to_json()
    return told["number"], told["total"], told["part"]


def test_nothing_is_told_before_the_first_step() -> None:
    steps = Steps()
    with steps.planned(3):
        assert steps.to_json() == {}


def test_steps_that_are_not_made_are_not_counted() -> None:
    steps = Steps()
    with steps.planned(2):
        with steps.planned(4):
            assert begun(steps) == (1, 6, 0.0)
            steps.drop()
            assert begun(steps) == (2, 5, 0.2)
        # The other two were not made, for want of time, say.
        assert begun(steps) == (3, 4, 0.5)
        steps.drop()
    assert steps.total == 3


def test_the_part_that_is_over_stays_where_more_has_to_be_done() -> None:
    steps = Steps()
    with steps.planned(2):
        begun(steps)
        assert begun(steps) == (2, 2, 0.5)
    with steps.planned(8):
        assert begun(steps) == (3, 10, 0.5)


def test_a_step_that_nobody_planned_never_passes_the_total() -> None:
    steps = Steps()
    assert begun(steps) == (1, 1, 0.0)
    assert begun(steps) == (2, 2, 0.5)
    steps.drop()
    steps.expect(1)
    assert begun(steps) == (3, 3, 2 / 3)


def test_a_step_is_its_words_and_crosses_as_json() -> None:
    steps = Steps()
    with steps.planned(24):
        steps.begin()
        told = Step.told({"doing": "all inputs negative", **steps.to_json()})
    assert told == "Checking 1 of 24: all inputs negative"
    assert (told.number, told.total, told.part) == (1, 24, 0.0)
    plain = Step.told({"doing": "running the reference"})
    assert plain == "Running the reference"
    assert (plain.number, plain.total, plain.part) == (None, None, None)
