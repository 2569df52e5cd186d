"""The Python API: the calls that users of the model's own script know, and the check.

``generate_triton``, ``generate_raw``, ``stream_raw`` and ``repl`` keep that script's names and do
what their names say: raw prompts go to the model verbatim, every call takes its sampling, and the
reply is what the model wrote after the prompt. ``translate`` does what the magic does: k
candidates, each checked, and rounds of repair.
"""

from __future__ import annotations

import argparse
import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from typing import TYPE_CHECKING, Any, Literal

from kernelllm_jupyter.grid import Grid, told
from kernelllm_jupyter.options import Request, request_from
from kernelllm_jupyter.problem import parse_problem
from kernelllm_jupyter.recording import Recorded, keep_result
from kernelllm_jupyter.records import Records
from kernelllm_jupyter.search import search
from kernelllm_jupyter.translate import Finished, translate
from kernelllm_jupyter.values import CheckOptions, Problem, Sampling, Timing, Translation, Verdict

if TYPE_CHECKING:
    from torch.nn import Module

__all__ = ["KernelLLM", "benchmark", "check"]


class KernelLLM:
    """A model that writes Triton.

    ``model`` is a Hugging Face id, a local folder or GGUF file, ``starter`` (bundled, for a CPU),
    or a server's model as ``URL#NAME``. It is loaded on first use, in a process of its own that all
    of the user's sessions share; ``quantization`` (``8bit``, ``4bit``) fits it on a smaller GPU.

    Translations are kept in the user's records (``kernelllm history``) unless ``records`` is False.

    Every method raises :class:`~kernelllm_jupyter.errors.EngineError` where the model cannot be
    loaded or fails.
    """

    def __init__(
        self,
        model: str = "starter",
        *,
        device: str | None = None,
        quantization: str | None = None,
        records: bool = True,
    ):
        from kernelllm_jupyter.engines import get_engine
        from kernelllm_jupyter.prompts import profile_for

        self.model = model
        self._engine = get_engine(model, device=device, quantization=quantization)
        self._profile = profile_for(model)
        self._records = Records(on=records)

    def generate_triton(
        self,
        source: str | Module,
        *,
        max_new_tokens: int | None = None,
        temperature: float | None = None,
        top_p: float | None = None,
        seed: int | None = None,
    ) -> str:
        """The Triton module that the model writes for the PyTorch module in ``source``.

        ``source`` may be a live module instead, as for :func:`check`.

        Not checked: see :func:`check`. Raises ``ProblemError`` where ``source`` is no problem and
        ``UnsupportedModule`` where the model does not cover it.
        """
        problem = _problem(source, require_inputs=False)
        sampling = Sampling(
            temperature=temperature, top_p=top_p, max_new_tokens=max_new_tokens, seed=seed
        )
        request = Request(self.model, check=False, sampling=sampling)
        made = translate(problem, self._engine, self._profile, sampling=sampling)
        with closing(Recorded(made, self._records, problem, request, origin="python")) as events:
            for event in events:
                if isinstance(event, Finished):
                    return event.translation.code
        raise AssertionError("a translation ends with Finished")

    def translate(
        self,
        source: str | Module,
        *,
        inputs: Sequence[Any] | None = None,
        init: Any = None,
        k: int = 1,
        repair: int = 0,
        best: Literal["first", "fastest"] = "first",
        check: bool | CheckOptions = True,
        name: str | None = None,
        max_new_tokens: int | None = None,
        temperature: float | None = None,
        top_p: float | None = None,
        seed: int | None = None,
        progress: Callable[[str], None] | None = None,
    ) -> Translation:
        """Translate the PyTorch module in ``source`` as the magic does, and return all of it.

        ``source`` may be a live module instead, with ``inputs`` and ``init`` as for :func:`check`.

        Up to ``k`` candidates are sampled side by side and checked as they become complete, with
        up to ``repair`` rounds more where none is correct; ``best`` is ``first`` or ``fastest``.
        ``check`` is False to leave the check out, or says where and how long it may run; ``name``
        which class is meant. The result's ``code`` is the verified candidate's or, where its
        ``verdict`` is not correct, the nearest one's; each of ``candidates`` has its place in
        ``verdicts``, and its ``mends``. ``progress`` is told in words what happens.

        Raises ``UsageError`` for values out of range, ``ProblemError`` where ``source`` is no
        problem or does not run itself, ``UnsupportedModule`` where the model does not cover it.
        """
        wanted = {"k": k, "repair": repair, "best": best, "check": bool(check)}
        drawn = {"max_new_tokens": max_new_tokens, "temperature": temperature}
        request = request_from(
            argparse.Namespace(model=self.model, **wanted, **drawn, top_p=top_p, seed=seed)
        )
        problem = _problem(
            source, inputs=inputs, init=init, class_name=name, require_inputs=request.check
        )
        made = search(
            problem,
            self._engine,
            self._profile,
            effort=request.effort,
            sampling=request.sampling,
            check=check if isinstance(check, CheckOptions) else request.check_options,
        )
        grid = Grid()
        with closing(Recorded(made, self._records, problem, request, origin="python")) as events:
            for event in events:
                grid.take(event)
                words = told(event, grid)
                if words and progress is not None:
                    progress(words)
                if isinstance(event, Finished):
                    return event.translation
        raise AssertionError("a translation ends with Finished")

    def generate_raw(self, prompt: str, **sampling: Any) -> str:
        """The model's whole reply to ``prompt``, verbatim; keywords as for :meth:`stream_raw`."""
        return "".join(self.stream_raw(prompt, **sampling))

    def stream_raw(
        self,
        prompt: str,
        *,
        max_new_tokens: int | None = None,
        temperature: float | None = None,
        top_p: float | None = None,
        seed: int | None = None,
    ) -> Iterator[str]:
        """The model's reply to ``prompt``, in pieces as they are decoded.

        The prompt is sent as it is, after one BOS. Closing the iterator cancels the generation.
        """
        sampling = Sampling(
            temperature=temperature, top_p=top_p, max_new_tokens=max_new_tokens, seed=seed
        )
        self._engine.load()
        completion = self._engine.generate(prompt, sampling.over(self._profile.single))
        try:
            yield from completion
        finally:
            completion.close()

    def repl(self) -> None:
        """An interactive session in the terminal: paste a module, get its Triton module."""
        from kernelllm_jupyter.repl import Repl

        Repl(self._engine, self._profile, records=self._records).run()

    def unload(self) -> None:
        """Free the model's memory."""
        self._engine.unload()


def check(
    source: str | Module,
    candidate: str,
    *,
    inputs: Sequence[Any] | None = None,
    init: Any = None,
    records: bool = True,
    **options: Any,
) -> Verdict:
    """Check a candidate against a PyTorch module, in a worker process.

    ``source`` is the module's source, or a live instance: then the check has its weights, and the
    inputs of calls that ``kernelllm_jupyter.capture`` kept, or ``inputs``, the list of the
    arguments of ``forward``; ``init`` is a list or dict of the constructor's, where they cannot be
    read off it.

    ``options`` are those of :func:`kernelllm_jupyter.verify.check.check`: ``device``,
    ``timeout_s``, ``seed``, …; the Triton kernels are compiled for the present GPU, and without
    one for an sm_90, unless ``compile_for`` names another. The verdict is kept in the user's
    records (``kernelllm history``) unless ``records`` is False. Raises ``ProblemError`` where
    ``source`` is no problem or does not run itself.
    """
    from kernelllm_jupyter.verify.check import check as check_problem

    problem = _problem(source, inputs=inputs, init=init)
    wanted = {"compile_for": CheckOptions.target, **options}
    verdict = check_problem(problem, candidate, **wanted)
    if records:
        _keep("check", problem, candidate, verdict, wanted)
    return verdict


def benchmark(
    source: str | Module,
    candidate: str,
    *,
    inputs: Sequence[Any] | None = None,
    init: Any = None,
    records: bool = True,
    **options: Any,
) -> Timing:
    """Time a candidate against a PyTorch module; needs a GPU.

    ``source``, ``inputs``, ``init`` and ``records`` are those of :func:`check`. Without a GPU the
    result's ``conclusion`` is ``not measured`` and its message says why.
    """
    from kernelllm_jupyter.verify.benchmark import BenchmarkOptions
    from kernelllm_jupyter.verify.benchmark import benchmark as benchmark_problem

    problem = _problem(source, inputs=inputs, init=init)
    timing = benchmark_problem(problem, candidate, BenchmarkOptions(**options))
    if records:
        _keep("benchmark", problem, candidate, timing, options)
    return timing


#: Of the module's functions; one of them, so that trouble is said once in a session.
_RECORDS = Records()


def _keep(
    kind: Literal["check", "benchmark"],
    problem: Problem,
    code: str,
    result: Verdict | Timing,
    options: dict[str, Any],
) -> None:
    """Keep a record; what keeps it from being kept is logged, which standard error shows."""
    # Not what only this process can use: a callback, an event.
    given = {
        name: value
        for name, value in options.items()
        if value is None or isinstance(value, bool | int | float | str)
    }
    trouble = keep_result(_RECORDS, kind, problem, code, result, given, origin="python")
    if trouble:
        logging.getLogger(__name__).warning("%s", trouble)


def _problem(
    source: str | Module,
    *,
    inputs: Sequence[Any] | None = None,
    init: Any = None,
    class_name: str | None = None,
    require_inputs: bool = True,
) -> Problem:
    """The problem that a source is, or a live module; values stand beside either."""
    arguments = [[], init] if isinstance(init, dict) else init
    if not isinstance(source, str):
        from kernelllm_jupyter.live.problem import LiveArguments, problem_of

        asked = LiveArguments(inputs=inputs, init=arguments)
        return problem_of(source, "module", asked, require_inputs=require_inputs)
    live = None
    if inputs is not None or init is not None:
        from kernelllm_jupyter.live.packing import Call, live_values

        calls = [] if inputs is None else [Call(list(inputs))]
        live = live_values(calls, init=arguments, what="inputs")
    return parse_problem(source, class_name=class_name, live=live, require_inputs=require_inputs)
