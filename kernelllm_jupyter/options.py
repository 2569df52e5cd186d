"""The options of a translation, stated once for the magic, the command line and the docs."""

from __future__ import annotations

import argparse
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from kernelllm_jupyter.errors import UsageError
from kernelllm_jupyter.timings import BenchmarkOptions
from kernelllm_jupyter.values import TARGET_PATTERN, CheckOptions, Effort, Sampling

__all__ = [
    "OPTIONS",
    "SWEEP_OVER_HELP",
    "Default",
    "Option",
    "Request",
    "add_options",
    "request_from",
    "sizes_named",
    "unquoted",
]

STARTER_HINT = (
    "Using the bundled starter model: small, for a CPU, and only for the modules its card names. "
    "For everything else load KernelLLM: -m facebook/KernelLLM (8B, 16 GB in bf16)."
)


SWEEP_OVER_HELP = (
    "the sizes that are varied, by their names in the module's source or as the numbers that stand "
    "there: BATCH,4096 (implies --sweep)"
)


def sizes_named(text: str | None) -> tuple[str, ...]:
    """What ``--sweep-over`` names."""
    names = (name.strip() for name in (text or "").split(","))
    return tuple(dict.fromkeys(name for name in names if name))


@dataclass(frozen=True)
class Default:
    """What stands in for an option that is not given, where a user can set that once.

    :mod:`kernelllm_jupyter.settings` makes the setting of it. A ``value`` of None leaves the choice
    to the model's profile. ``least`` and ``most`` are bounds that belong to the range, ``above``
    is one that does not. ``text`` says what it is where the option's help does not read well.
    """

    title: str
    value: bool | int | float | str | None
    text: str = ""
    least: float | None = None
    above: float | None = None
    most: float | None = None


@dataclass(frozen=True)
class Option:
    """One option as ``argparse`` takes it; ``default`` where it is a setting, too."""

    flags: tuple[str, ...]
    keywords: Mapping[str, Any] = field(default_factory=dict)
    notebook_only: bool = False
    default: Default | None = None

    @property
    def name(self) -> str:
        """Under which ``argparse`` keeps it, and the name of its setting."""
        long = next((flag for flag in self.flags if flag.startswith("--")), self.flags[0])
        return str(self.keywords.get("dest") or long.lstrip("-").replace("-", "_"))


def _option(
    *flags: str, notebook_only: bool = False, setting: Default | None = None, **keywords: Any
) -> Option:
    return Option(flags, keywords, notebook_only, setting)


OPTIONS: tuple[Option, ...] = (
    _option(
        "-m",
        "--model",
        metavar="NAME",
        help="Hugging Face id, local folder, 'starter', or URL#NAME of a model server "
        "(default: as configured, else starter)",
        setting=Default("Model", "starter"),
    ),
    _option(
        "-k",
        dest="k",
        type=int,
        metavar="N",
        help="sample up to N candidates side by side and keep the best verified one (default: 1)",
        setting=Default(
            "Candidates",
            1,
            "how many candidates are sampled at most; the best verified one is kept",
            least=1,
        ),
    ),
    _option(
        "--best",
        choices=("first", "fastest"),
        help="stop at the first verified candidate (the default), or time all that are verified "
        "and keep the fastest, where a GPU is",
        setting=Default(
            "Which candidate",
            "first",
            "the first verified candidate, or the fastest of all that are verified, where a GPU is",
        ),
    ),
    _option(
        "--repair",
        type=int,
        metavar="N",
        help="up to N rounds of repair from the verdict where none is correct, and slips such as "
        "a missing import mended (default: 0)",
        setting=Default(
            "Rounds of repair",
            0,
            "how many rounds of repair follow at most where no candidate is correct",
            least=0,
        ),
    ),
    _option(
        "--check",
        dest="check",
        action="store_true",
        default=None,
        help="check the candidate against the module as soon as it is there (the default)",
        setting=Default("Check", True),
    ),
    _option("--no-check", dest="check", action="store_false", help="leave the check out"),
    _option(
        "--benchmark",
        action="store_true",
        default=None,
        help="time a correct candidate too, where a GPU is",
        setting=Default("Benchmark", False),
    ),
    _option(
        "--no-benchmark", dest="benchmark", action="store_false", help="leave the benchmark out"
    ),
    _option(
        "--sweep",
        action="store_true",
        default=None,
        help="with --benchmark: time it at other sizes too, each size of the problem in turn, up "
        "to what memory allows",
    ),
    _option("--sweep-over", metavar="SIZES", help=SWEEP_OVER_HELP),
    _option(
        "--temperature",
        type=float,
        metavar="T",
        help="sampling temperature; 0 is greedy (default: the model's profile)",
        setting=Default("Temperature", None, least=0),
    ),
    _option(
        "--top-p",
        type=float,
        metavar="P",
        help="nucleus sampling: probability mass kept (default: the model's profile)",
        setting=Default("Top p", None, above=0, most=1),
    ),
    _option(
        "--max-new-tokens",
        type=int,
        metavar="N",
        help="longest reply, in tokens of the model (default: the model's profile)",
        setting=Default("Longest reply", None, least=1),
    ),
    _option("--seed", type=int, metavar="N", help="makes sampling repeatable"),
    _option(
        "--quantization",
        choices=("none", "8bit", "4bit"),
        help="load the model's weights in fewer bits, to fit on a smaller GPU (default: none)",
        setting=Default("Quantization", "none"),
    ),
    _option(
        "--inputs",
        metavar="EXPR",
        help="forward()'s arguments: an expression, or names of live tensors "
        "(default: the cell's get_inputs())",
    ),
    _option(
        "--init",
        metavar="EXPR",
        help="the constructor's arguments (default: the cell's get_init_inputs())",
    ),
    _option(
        "--from",
        dest="live_module",
        metavar="NAME",
        notebook_only=True,
        help="translate a live module of the notebook, such as model or model.block[2]: its "
        "class's source, its weights, and the inputs of calls that kernelllm_jupyter.capture() "
        "kept; the cell may be empty",
    ),
    _option("--name", metavar="CLASS", help="which class of the cell to translate"),
    _option(
        "--device",
        choices=("auto", "cpu", "cuda"),
        help="where the check runs (default: the best device there is)",
        setting=Default("Device", "auto"),
    ),
    _option(
        "--target",
        metavar="NAME",
        help="compile every Triton kernel for this GPU: sm_90, gfx942, … "
        "(default: the GPU that is there, else sm_90)",
    ),
    _option(
        "--allow-tf32",
        action="store_true",
        default=None,
        help="let float32 products be made in TF32 (default: as PyTorch computes them)",
    ),
    _option(
        "--timeout",
        type=float,
        metavar="S",
        help="seconds that a check may take (default: 60)",
        setting=Default("Time limit of a check", 60.0, above=0),
    ),
    _option(
        "--strict",
        action="store_true",
        default=None,
        help="raise where the verdict is anything but correct",
    ),
    _option(
        "--into",
        metavar="NAME",
        notebook_only=True,
        help="name to which the result is bound in the notebook (default: _kernelllm)",
    ),
)


def add_options(command: argparse.ArgumentParser, *flags: str) -> None:
    """Give another command of the terminal options as a translation has them."""
    for flag in flags:
        option = next(each for each in OPTIONS if flag in each.flags)
        command.add_argument(*option.flags, **option.keywords)


@dataclass(frozen=True)
class Request:
    """What the user asked for, with defaults filled in and everything checked."""

    model: str = "starter"
    check: bool = True
    benchmark: bool = False
    sweep: bool = False
    sweep_over: tuple[str, ...] = ()
    sampling: Sampling = field(default_factory=Sampling)
    effort: Effort = field(default_factory=Effort)
    inputs: str | None = None
    init: str | None = None
    class_name: str | None = None
    #: A live module of the notebook that is translated, by its name or path there.
    live_module: str | None = None
    device: str = "auto"
    timeout_s: float = 60.0
    target: str = "auto"
    allow_tf32: bool = False
    strict: bool = False
    into: str = "_kernelllm"
    #: After how many seconds without use the model's process ends; None leaves it as it is.
    idle_s: float | None = None
    quantization: str = "none"

    @property
    def check_options(self) -> CheckOptions | None:
        if not self.check:
            return None
        return CheckOptions(
            self.device, self.timeout_s, allow_tf32=self.allow_tf32, target=self.target
        )

    @property
    def benchmark_options(self) -> BenchmarkOptions:
        return BenchmarkOptions(
            sweep=self.sweep,
            sweep_over=self.sweep_over,
            allow_tf32=self.allow_tf32,
            model=self.model,
        )


def request_from(
    arguments: argparse.Namespace, defaults: Mapping[str, Any] | None = None
) -> Request:
    """Parsed options as a request; ``defaults`` stand in for what was not given.

    Raises :class:`UsageError` for values outside their range.
    """
    given = {name: value for name, value in vars(arguments).items() if value is not None}
    chosen = {**{k: v for k, v in (defaults or {}).items() if v is not None}, **given}
    sampling = Sampling(
        temperature=chosen.get("temperature"),
        top_p=chosen.get("top_p"),
        max_new_tokens=chosen.get("max_new_tokens"),
        seed=chosen.get("seed"),
    )
    _check_sampling(sampling)
    is_checked = chosen.get("check", True)
    effort = _effort(chosen, given, is_checked)
    if effort.k > 1 and sampling.temperature == 0:
        raise UsageError(
            "With --temperature 0 all candidates would be the same: with -k leave it out, or set "
            "it above 0."
        )
    request = Request(
        model=unquoted(chosen.get("model") or "starter"),
        check=is_checked,
        benchmark=chosen.get("benchmark", False),
        sweep=chosen.get("sweep", False),
        sweep_over=sizes_named(unquoted(chosen.get("sweep_over"))),
        sampling=sampling,
        effort=effort,
        inputs=unquoted(chosen.get("inputs")),
        init=unquoted(chosen.get("init")),
        class_name=chosen.get("name"),
        live_module=unquoted(chosen.get("live_module")),
        device=chosen.get("device") or "auto",
        timeout_s=chosen.get("timeout", 60.0),
        target=unquoted(chosen.get("target") or "auto"),
        allow_tf32=chosen.get("allow_tf32", False),
        strict=chosen.get("strict", False),
        into=chosen.get("into") or "_kernelllm",
        idle_s=chosen.get("idle_s"),
        quantization=chosen.get("quantization") or "none",
    )
    if request.benchmark_options.sweeps and not request.benchmark:
        raise UsageError("--sweep is a benchmark over sizes: give --benchmark with it.")
    if not request.timeout_s > 0:  # NaN is no number of seconds, either.
        raise UsageError("--timeout takes a number of seconds greater than 0.")
    if request.target != "auto" and not re.fullmatch(TARGET_PATTERN, request.target):
        raise UsageError(f"--target takes a GPU such as sm_90 or gfx942, not {request.target!r}.")
    if not request.into.isidentifier():
        raise UsageError(f"--into takes a Python name, not {request.into!r}.")
    return request


def _effort(chosen: Mapping[str, Any], given: Mapping[str, Any], is_checked: bool) -> Effort:
    effort = Effort(chosen.get("k", 1), chosen.get("repair", 0), chosen.get("best") or "first")
    if effort.k < 1:
        raise UsageError("-k takes a number of candidates of at least 1.")
    if effort.repair < 0:
        raise UsageError("--repair takes a number of rounds of at least 0.")
    if is_checked:
        return effort
    for name in ("repair", "best"):
        if given.get(name) not in (None, 0, "first"):
            raise UsageError(f"--{name} goes by verdicts, and --no-check leaves them out.")
    return Effort(effort.k)


def _check_sampling(sampling: Sampling) -> None:
    if sampling.temperature is not None and not 0 <= sampling.temperature < float("inf"):
        raise UsageError("--temperature takes 0 (greedy) or a positive number.")
    if sampling.top_p is not None and not 0 < sampling.top_p <= 1:
        raise UsageError("--top-p takes a number above 0 and up to 1.")
    if sampling.max_new_tokens is not None and sampling.max_new_tokens < 1:
        raise UsageError("--max-new-tokens takes a number of at least 1.")


def unquoted(text: Any) -> Any:
    """Without the quotes around the whole: IPython's option parser leaves them in place."""
    if isinstance(text, str) and len(text) >= 2 and text[0] == text[-1] and text[0] in "\"'":
        return text[1:-1]
    return text
