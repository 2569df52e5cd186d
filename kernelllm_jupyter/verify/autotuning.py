"""``triton.autotune`` where there is nothing to time: every configuration gets its turn."""

from __future__ import annotations

from typing import Any

from kernelllm_jupyter.verify.audit import Launches

__all__ = ["take_turns"]


def take_turns(launches: Launches) -> None:
    """Run an autotuned Triton kernel with another configuration in every trial.

    Each of them may be the one that is chosen on a GPU, so each has to be right.
    """
    from triton.runtime.autotuner import Autotuner

    def run(self: Any, *args: Any, **kwargs: Any) -> Any:
        self.nargs = dict(zip(self.arg_names, args, strict=False))
        configurations = self.prune_configs(kwargs) if len(self.configs) > 1 else self.configs
        chosen = configurations[launches.turn % len(configurations)]
        self.best_config = chosen
        launches.configuration = str(chosen)
        if chosen.pre_hook is not None:
            chosen.pre_hook({**self.nargs, **kwargs, **chosen.all_kwargs()})
        try:
            return self.fn.run(*args, **kwargs, **chosen.all_kwargs())
        finally:
            self.nargs = None

    Autotuner.run = run
