"""What goes into the exported files, from a problem, its code and the verdict on it."""

from __future__ import annotations

import ast
import re
import textwrap
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from importlib.resources import files
from pathlib import Path

from kernelllm_jupyter.errors import ProblemError, UsageError
from kernelllm_jupyter.export.sources import bindings, can_share, in_block, without_future
from kernelllm_jupyter.export.weights import is_ours, write_weights
from kernelllm_jupyter.problem import parse_problem
from kernelllm_jupyter.records import Record
from kernelllm_jupyter.values import Live, Problem, Translation, Verdict

__all__ = ["Export", "Exported", "choose", "drawn_note", "export_to", "exported"]

#: Without these words a file is not ours to overwrite.
MARK = "# --- the kernel: generated ---"
TEST_MARK = '"""Repeats the check of ``'
#: Warnings after which the kernel is not to stand in for the original.
NO_DROP_IN = {
    "input_not_updated": "the original overwrites an input, the kernel does not",
    "missing_names": "it uses names that this torch or triton no longer has",
}
EVAL_ONLY = frozenset({"eval_mode", "eval_mode_only", "state_not_updated"})
#: Verdicts that hold wherever the kernel runs; others may be for want of memory or time.
WRONG = frozenset({"incorrect", "rejected"})
#: What makes a module another one in training mode.
MODES = re.compile(
    r"\.training\b|[bB]atch_?[nN]orm|[dD]ropout|RReLU|rrelu|InstanceNorm|instance_norm"
)
#: Formats that numpy lacks: Triton's interpreter, without the check's additions, computes on their
#: bits as if they were integers.
RAW = re.compile(r"bfloat16|bf16|float8|fp8")
SPEC = re.compile(r"(\w+)\[([\d, ]*)\]")


@dataclass(frozen=True)
class Exported:
    """What is to be exported; ``verdict`` is on ``code``, and None where it was not checked.

    ``weights_dtype`` and ``training`` are those of a live module that the problem was made of.
    ``values`` are the session's, ``had_values`` says that there were some, known or not.
    ``elsewhere`` are the latest verdicts on the same code on other kinds of devices.
    """

    problem: Problem
    code: str
    verdict: Verdict | None
    model: str = ""
    record: str = ""
    made_at_s: float | None = None
    weights_dtype: str | None = None
    training: bool | None = None
    values: Live | None = None
    had_values: bool = False
    elsewhere: tuple[Verdict, ...] = ()

    @classmethod
    def of(cls, made: Translation) -> Exported:
        """What a translation has chosen, with the session's values."""
        live = made.problem.live
        return cls(
            made.problem,
            made.code,
            made.verdict,
            made.candidate.model,
            weights_dtype=live.dtype if live else None,
            training=live.training if live else None,
            values=live,
            had_values=live is not None,
        )


@dataclass(frozen=True)
class Export:
    """The texts of the two files."""

    module: str
    test: str


def choose(record: Record) -> Exported:
    """What of a record is exported: the latest code that was found correct, a person's edits
    included; without any the chosen candidate's."""
    code, code_hash = record.code, record.kept.code_hash if record.kept else ""
    correct = [
        kept
        for kept in record.verdicts
        if isinstance(kept.value, Verdict)
        and kept.value.correct
        and not _refuted(record, kept.code_hash)
    ]
    edited = [kept for kept in correct if kept.place is None]
    is_right = any(kept.code_hash == code_hash for kept in correct)
    if (edited and edited[-1] is correct[-1]) or (correct and not is_right):
        code, code_hash = correct[-1].code, correct[-1].code_hash
    by_device = _by_device(record, code_hash)
    verdict = _refuted(record, code_hash) or next(iter(by_device), None)
    if not code:
        raise UsageError(f"Record {record.id} holds no code.")
    return Exported(
        record.problem,
        code,
        verdict,
        record.model,
        record.id,
        record.started_at_s,
        record.weights_dtype,
        record.training,
        had_values=bool(record.left_out),
        elsewhere=tuple(found for found in by_device if found is not verdict),
    )


def _by_device(record: Record, code_hash: str) -> list[Verdict]:
    """What was found of a code last on each kind of device, the latest first."""
    found: dict[str, Verdict] = {}
    for kept in reversed(record.verdicts):
        if kept.code_hash == code_hash and isinstance(kept.value, Verdict):
            found.setdefault(_kind(kept.value), kept.value)
    return list(found.values())


def _refuted(record: Record, code_hash: str) -> Verdict | None:
    """The verdict of a device on which a code is wrong, whatever others say of it."""
    return next((v for v in _by_device(record, code_hash) if v.verdict in WRONG), None)


def _kind(verdict: Verdict) -> str:
    """The kind of device of a verdict, in PyTorch's word."""
    return (verdict.device or "cpu").partition("-")[0]


def export_to(
    path: Path, what: Exported, *, unverified: bool = False, with_weights: bool = False
) -> list[Path]:
    """Write the module and its test, and ``with_weights`` the live module's; returns their paths.

    Raises :class:`UsageError` where the code is not verified, unless ``unverified``, where it
    cannot be a drop-in, where there are no weights to write, and where a file is there already that
    no export made.
    """
    target = path if path.suffix == ".py" else path.with_name(path.name + ".py")
    name = target.stem
    if not name.isidentifier():
        raise UsageError(f"{target.name} is no name of a Python module.")
    live = _live_weights(what) if with_weights else None
    made = exported(what, name, unverified=unverified, with_weights=with_weights)
    test = target.with_name(f"test_{name}.py")
    weights = target.with_suffix(".safetensors")
    texts = {target: (made.module, MARK), test: (made.test, TEST_MARK)}
    try:
        for file, (_, mark) in texts.items():
            if file.exists() and mark not in file.read_text(encoding="utf-8", errors="replace"):
                raise UsageError(f"{file} is there already, and was not made by an export.")
        if live is not None and weights.exists() and not is_ours(weights):
            raise UsageError(f"{weights} is there already, and was not made by an export.")
        target.parent.mkdir(parents=True, exist_ok=True)
        if live is not None:
            write_weights(weights, live)
        for file, (text, _) in texts.items():
            file.write_text(text, encoding="utf-8")
    except OSError as error:
        raise UsageError(f"Cannot write there: {error}") from None
    return [*texts, *([weights] if live is not None else [])]


def _live_weights(what: Exported) -> Live:
    if what.values is None and what.had_values:
        why = "values of a session are in no record, so export in the session that translated it"
    elif what.values is None or what.values.state is None:
        why = "they are the constructor's (--from takes those of a live module)"
    elif not what.values.state["dict"]:
        why = "the module has no weights"
    else:
        return what.values
    raise UsageError(f"There are no live weights to export: {why}.")


def drawn_note(what: Exported) -> str:
    """What the test beside an export without weights does not repeat; empty where it does all."""
    if not what.had_values:
        return ""
    note = "The test draws its inputs and weights anew; the verdict was on values of the session."
    if what.values is not None and what.values.state and what.values.state["dict"]:
        note += " --with-weights saves the weights beside it."
    return note


def exported(
    what: Exported, name: str, *, unverified: bool = False, with_weights: bool = False
) -> Export:
    """The texts of ``NAME.py`` and ``test_NAME.py``; raises as :func:`export_to` does."""
    _require_exportable(what, unverified)
    problem = what.problem
    source = problem.source
    if not problem.has_inputs and what.verdict is not None:
        source += _inputs_like(what.verdict)
    code, future = without_future(what.code)
    class_name = _free_name(f"Triton{problem.class_name}", source, code)
    template = _template("dropin.txt")
    own = _names_of(template)
    _require_free(own, code)
    # A ``__future__`` import would have to stand at the file's beginning, and count for all of it.
    shared = (
        not (future or without_future(source)[1])
        and can_share(source, code)
        and not own & bindings(source).keys() - {"torch"}
    )
    prefix = "" if shared else "_original."
    base = f"{prefix}{problem.class_name}"
    known = _verified_on(what)
    init = f"list({prefix}get_init_inputs())" if problem.has_init_inputs else "[]"
    future_line = f"from __future__ import {', '.join(future)}" if future else ""
    module = _filled(
        template,
        {
            "CLASS": class_name,
            "ORIGINAL": problem.class_name,
            "BASE": base,
            "STORY": textwrap.fill(_for_docstring(_story(what)), 96),
            "FUTURE": f"{future_line}\n\n" if future else "",
            "REFERENCE": source.strip("\n") if shared else _embedded(source),
            "KERNEL": in_block(code),
            "GET_INIT_INPUTS": init,
            "WEIGHTS_DTYPE": repr(what.weights_dtype),
            **known,
        },
    )
    values = {
        "MODULE": name,
        "CLASS": class_name,
        "ORIGINAL": problem.class_name,
        "BASE": base,
        "NEEDS_GPU": str(_is_raw(what) or bool(what.verdict and _reduced(what.verdict))),
        "REFERENCE_TEXT": _literal(source),
        "FUTURE_TEXT": f"{future_line!r} + '\\n' + " if future else "",
        "TEST_INIT": _on(init, "module"),
        "TEST_INPUTS": f"exported.{prefix}get_inputs()",
        "WEIGHTS": repr(f"{name}.safetensors" if with_weights else None),
        "TIES": repr(what.values.ties if with_weights and what.values else {}),
        "TRAINING": repr(what.training),
        "LIVE_NOTE": _live_note(what, with_weights),
    }
    return Export(module, _filled(_template("test.txt"), values))


def _live_note(what: Exported, with_weights: bool) -> str:
    """A paragraph of the test's docstring on what the verdict was made with."""
    if not what.had_values:
        return ""
    words = (
        "The weights are those of the live module that the kernel was made for, saved beside this "
        "file; inputs are drawn."
        if with_weights
        else "The kernel was found correct with inputs or weights of the session in which it was "
        "made. They are not kept: here inputs and weights are drawn anew."
    )
    return "\n" + textwrap.fill(words, 96) + "\n"


# --- what may be exported ------------------------------------------------------------------------


def _require_exportable(what: Exported, unverified: bool) -> None:
    try:
        ast.parse(what.code)
    except SyntaxError as error:
        raise UsageError(
            f"The code is no valid Python, so there is nothing to export: {error}"
        ) from None
    if "ModelNew" not in bindings(what.code):
        raise UsageError("The code defines no ModelNew, so there is nothing to export.")
    try:
        parse_problem(what.problem.source, class_name=what.problem.class_name, require_inputs=False)
    except ProblemError as error:
        # Its constructor arguments were values of the session, most likely.
        raise UsageError(
            f"The module cannot be built from its source alone: {error} Give --init as an "
            "expression."
        ) from None
    if unverified:
        return
    if what.verdict is None or not what.verdict.correct:
        why = (
            "was not checked"
            if what.verdict is None
            else f"is not correct ({what.verdict.verdict})"
        )
        raise UsageError(
            f"This code {why}. Only verified code is exported; --unverified writes it all the "
            "same, marked as such, and never run unless it is asked for."
        )
    if any(finding.code == "weights" for finding in what.verdict.not_made):
        raise UsageError(
            "This code names its weights otherwise than the original, so it cannot take them over. "
            "--unverified writes it all the same."
        )
    for finding in what.verdict.warnings:
        if finding.code in NO_DROP_IN:
            raise UsageError(
                f"This code cannot stand in for the original: {NO_DROP_IN[finding.code]}. "
                "--unverified writes it all the same."
            )
    if not what.verdict.sizes or not _specs(what.verdict.sizes.inputs):
        raise UsageError("The verdict does not say on which inputs it was made: check it again.")


def _require_free(own: set[str], code: str) -> None:
    taken = sorted(
        name
        for name, what in bindings(code).items()
        if name in own and not (name in IMPORTED and what == {f"import {name}"})
    )
    if taken:
        raise UsageError(f"The code uses names that the exported module needs: {', '.join(taken)}.")


IMPORTED = frozenset({"inspect", "os", "warnings", "torch"})


def _names_of(template: str) -> set[str]:
    """Module-level names of the template itself."""
    return set(re.findall(r"^(?:def |class )?([A-Za-z_]\w*)(?=\(| = )", template, re.M)) | IMPORTED


def _free_name(name: str, *sources: str) -> str:
    taken = {found for source in sources for found in bindings(source)}
    while name in taken:
        name += "_"
    return name


# --- what is known of it -------------------------------------------------------------------------


def _verified_on(what: Exported) -> dict[str, str]:
    """The template's constants: where the kernel was verified.

    On a further kind of device where that verdict sets the same limits: there is one set of them.
    """
    limits = _limits(what, what.verdict)
    verified = [v for v in (what.verdict, *what.elsewhere) if v is not None and v.correct]
    kinds = [_kind(v) for v in verified if v.sizes is not None and _limits(what, v) == limits]
    devices = [kind for kind in dict.fromkeys(kinds) if not (kind == "cpu" and _is_raw(what))]
    return {**limits, "VERIFIED_DEVICES": repr(tuple(devices))}


def _limits(what: Exported, verdict: Verdict | None) -> dict[str, str]:
    """The template's constants that a verdict sets, but for the device."""
    if verdict is None or not verdict.correct or verdict.sizes is None:
        return {
            "IS_VERIFIED": "False",
            "VERIFIED_INPUTS": "()",
            "ONLY_THESE_SHAPES": "True",
            "ONLY_CONTIGUOUS": "True",
            "ONLY_IN_TRAINING_MODE": "None",
        }
    warnings = {finding.code for finding in verdict.warnings}
    not_made = {finding.code for finding in verdict.not_made}
    tied = bool(warnings & {"single_shape", "wrong_at_other_sizes"}) or "sizes" in not_made
    # Right at the reduced size, and bound to none: so it is at the problem's own.
    full = verdict.sizes.reduced_from
    inputs = verdict.sizes.inputs if tied or full is None else full
    only = None
    if what.training is False:
        only = False
    elif MODES.search(what.problem.source):
        only = not (warnings & EVAL_ONLY) and ".eval()" not in what.problem.source
    elif warnings & EVAL_ONLY:
        only = False
    return {
        "IS_VERIFIED": str("missing_names" not in warnings and "input_not_updated" not in warnings),
        "VERIFIED_INPUTS": repr(tuple(_specs(inputs))),
        "ONLY_THESE_SHAPES": str(tied),
        "ONLY_CONTIGUOUS": str("contiguous_only" in warnings),
        "ONLY_IN_TRAINING_MODE": repr(only),
    }


def _specs(inputs: tuple[str, ...]) -> list[tuple[str, tuple[int, ...]]]:
    """``float32[64, 128]`` as dtype and shape."""
    found = []
    for text in inputs:
        if match := SPEC.fullmatch(text):
            found.append(
                (match[1], tuple(int(size) for size in match[2].split(",") if size.strip()))
            )
    return found


def _is_raw(what: Exported) -> bool:
    """Whether the kernel meets a format that the plain interpreter computes wrongly."""
    inputs = what.verdict.sizes.inputs if what.verdict and what.verdict.sizes else ()
    return any(RAW.search(text) for text in (what.code, what.weights_dtype or "", *inputs))


def _reduced(verdict: Verdict) -> bool:
    return verdict.sizes is not None and verdict.sizes.reduced_from is not None


def _story(what: Exported) -> str:
    made = f"Made by {what.model}" if what.model else "Made"
    if what.made_at_s is not None:
        made += f" on {datetime.fromtimestamp(what.made_at_s):%Y-%m-%d}"
    if what.record:
        made += f" (record {what.record} of kernelllm-jupyter)"
    verdict = what.verdict
    if verdict is None:
        return f"{made}. NOT VERIFIED: it was not checked."
    if not verdict.correct:
        return f"{made}. NOT VERIFIED: the check found {verdict.verdict.replace('_', ' ')}."
    versions = ", ".join(f"{name} {number}" for name, number in verdict.versions.items())
    words = f"{made}. Found correct in {verdict.trials} trials on {verdict.device} ({versions})."
    for other in what.elsewhere:
        words += f" On {other.device}: {other.verdict.replace('_', ' ')}."
    noted = [finding.message for finding in verdict.warnings]
    return " ".join([words, *(f"Warning: {text}" for text in noted)])


def _for_docstring(text: str) -> str:
    """``text`` without what would end a docstring or escape a character in it.

    Names of models and messages of a check are text, whatever a model wrote into them.
    """
    shown = "".join(c if c.isprintable() else " " for c in text)
    return shown.replace("\\", "/").replace('"', "'")


# --- text ----------------------------------------------------------------------------------------


def _inputs_like(verdict: Verdict) -> str:
    """A ``get_inputs()`` for a problem that was given values: random ones of their shapes."""
    specs = _specs(verdict.sizes.inputs) if verdict.sizes else []
    if any("float" not in dtype for dtype, _ in specs):
        # Indices and masks have to fit one another: no draw of ours would.
        shapes = ", ".join(f"{dtype} {list(shape)}" for dtype, shape in specs)
        why = f"the arguments of forward() that it is used with; checked with {shapes}"
        return f"\n\ndef get_inputs():\n    raise NotImplementedError({'return ' + why!r})\n"
    made = ", ".join(f"torch.randn({list(shape)}, dtype=torch.{dtype})" for dtype, shape in specs)
    return f"\n\ndef get_inputs():\n    import torch\n\n    return [{made}]\n"


def _embedded(source: str) -> str:
    """The original in a module of its own, where its names would meet the kernel's."""
    return (
        f"import types as _types\n\nORIGINAL_SOURCE = {_literal(source)}\n"
        '_original = _types.ModuleType(f"{__name__}_original")\n'
        'exec(compile(ORIGINAL_SOURCE, "<original>", "exec", dont_inherit=True), vars(_original))'
    )


def _literal(text: str) -> str:
    """A literal of ``text``, over several lines where that shows it as it is."""
    raw = f"r'''\\\n{text}'''"
    plain = f"'''\\\n{text}'''"
    for literal in (plain, raw):
        try:
            if ast.literal_eval(literal) == text:
                return literal
        except (SyntaxError, ValueError):
            continue
    return repr(text)


def _on(call: str, module: str) -> str:
    return call.replace("list(", f"list({module}.", 1) if call.startswith("list(") else call


def _template(name: str) -> str:
    return files("kernelllm_jupyter.export").joinpath(name).read_text(encoding="utf-8")


def _filled(template: str, values: Mapping[str, str]) -> str:
    """The template with its places filled; what is filled in is not looked at again."""
    return re.sub(r"@@([A-Z_]+)@@", lambda match: values[match[1]], template)
