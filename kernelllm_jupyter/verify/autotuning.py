"""``triton.autotune`` where there is nothing to time: every configuration gets its turn.

Each of them may be the one that is chosen on a GPU, so each has to be right. As there, the first
call runs the Triton kernel before the run that counts, with what ``reset_to_zero``,
``restore_value`` and hooks do around it: a kernel that adds to its output comes out wrong then.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from kernelllm_jupyter.verify.watching.audit import Launches

__all__ = ["StaticAssertion", "Tuning", "take_turns"]


#: More configurations than this are not told of, and so not asked for.
MOST_REPORTED = 500


class StaticAssertion(AssertionError):
    """``tl.static_assert`` failed: a real autotuner leaves such a configuration out."""


@dataclass
class Tuning:
    """Which configurations there are, by Triton function, and which of them were tried."""

    known: dict[str, set[str]] = field(default_factory=dict)
    tried: dict[str, set[str]] = field(default_factory=dict)
    #: What this run uses: all launches of a function in one run use the same.
    chosen: dict[str, str] = field(default_factory=dict)
    turn: int = -1

    def choose(self, name: str, configurations: list[Any], turn: int) -> Any:
        """The configuration that this run uses: one that was not tried yet, where there is one."""
        if turn != self.turn:
            self.turn = turn
            self.chosen.clear()
        by_text = {str(configuration): configuration for configuration in configurations}
        self.known[name] = set(by_text)
        tried = self.tried.setdefault(name, set())
        text = self.chosen.get(name)
        if text not in by_text:
            fresh = [text for text in by_text if text not in tried]
            text = fresh[0] if fresh else list(by_text)[turn % len(by_text)]
            self.chosen[name] = text
        tried.add(text)
        return by_text[text]

    def report(self, turn: int) -> dict[str, list[str]]:
        """By function: what this run used, and then all that there are."""
        if turn != self.turn:
            return {}
        return {
            name: [text, *sorted(self.known[name])[:MOST_REPORTED]]
            for name, text in self.chosen.items()
        }


def take_turns(launches: Launches) -> None:
    """Run an autotuned Triton kernel with another configuration in every trial."""
    from triton.runtime.autotuner import Autotuner

    tuning = launches.tuning = Tuning()

    def run(self: Any, *args: Any, **kwargs: Any) -> Any:
        self.nargs = dict(zip(self.arg_names, args, strict=False))
        configurations = self.prune_configs(kwargs) if len(self.configs) > 1 else self.configs
        name = self.base_fn.__name__

        def launch(configuration: Any) -> Any:
            everything = {**self.nargs, **kwargs, **configuration.all_kwargs()}
            if configuration.pre_hook is not None:
                configuration.pre_hook(everything)
            return self.fn.run(*args, **kwargs, **configuration.all_kwargs())

        try:
            if launches.disabled:
                return launch(configurations[0])
            left = list(configurations)
            while True:
                chosen = tuning.choose(name, left, launches.turn)
                try:
                    return _run_chosen(self, launches, launch, chosen, kwargs, len(configurations))
                except Exception as error:
                    left.remove(chosen)
                    if not left or not _left_out(error):
                        raise
        finally:
            self.nargs = None

    Autotuner.run = run


def _run_chosen(
    tuner: Any,
    launches: Launches,
    launch: Callable[[Any], Any],
    chosen: Any,
    kwargs: dict[str, Any],
    count: int,
) -> Any:
    tuner.best_config = chosen
    launches.configuration = str(chosen)
    key = _key(tuner, kwargs)
    if count > 1 and key not in tuner.cache:
        everything = {**tuner.nargs, **kwargs, **chosen.all_kwargs()}
        tuner.pre_hook(everything)
        launch(chosen)
        tuner.post_hook(everything, exception=None)
        tuner.pre_hook(everything, reset_only=True)
        tuner.cache[key] = chosen
        launches.configuration += ", after the runs that autotuning makes in a first call"
    return launch(chosen)


def _key(tuner: Any, kwargs: dict[str, Any]) -> tuple[Any, ...]:
    """What a change of makes Triton tune again."""
    given = {**tuner.nargs, **kwargs}
    kinds = [str(value.dtype) for value in given.values() if hasattr(value, "dtype")]
    return (*(given[name] for name in tuner.keys if name in given), *kinds)


def _left_out(error: BaseException | None) -> bool:
    """Whether a real autotuner goes on with the next configuration."""
    while error is not None:
        if isinstance(error, StaticAssertion) or type(error).__name__ == "OutOfResources":
            return True
        error = error.__cause__
    return False
