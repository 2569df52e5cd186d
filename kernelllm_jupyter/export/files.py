"""The two exported files: what may be exported, and what goes into them."""

from __future__ import annotations

import ast
import re
import textwrap
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from kernelllm_jupyter.errors import ProblemError, UsageError
from kernelllm_jupyter.export.chosen import Exported
from kernelllm_jupyter.export.known import is_raw, is_reduced, specs, story, verified_on
from kernelllm_jupyter.export.sources import bindings, can_share, in_block, without_future
from kernelllm_jupyter.export.weights import is_ours, write_weights
from kernelllm_jupyter.problem import parse_problem
from kernelllm_jupyter.values import Live, Verdict

__all__ = ["Export", "drawn_note", "export_to", "exported"]

#: Without these words a file is not ours to overwrite.
MARK = "# --- the kernel: generated ---"
TEST_MARK = '"""Repeats the check of ``'
#: Warnings after which the kernel is not to stand in for the original.
NO_DROP_IN = {
    "input_not_updated": "the original overwrites an input, the kernel does not",
    "missing_names": "it uses names that this torch or triton no longer has",
}


@dataclass(frozen=True)
class Export:
    """The texts of the two files."""

    module: str
    test: str


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
    known = verified_on(what)
    init = f"list({prefix}get_init_inputs())" if problem.has_init_inputs else "[]"
    future_line = f"from __future__ import {', '.join(future)}" if future else ""
    module = _filled(
        template,
        {
            "CLASS": class_name,
            "ORIGINAL": problem.class_name,
            "BASE": base,
            "STORY": textwrap.fill(_for_docstring(story(what)), 96),
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
        "NEEDS_GPU": str(is_raw(what) or bool(what.verdict and is_reduced(what.verdict))),
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
    if not what.verdict.sizes or not specs(what.verdict.sizes.inputs):
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


# --- text ----------------------------------------------------------------------------------------


def _for_docstring(text: str) -> str:
    """``text`` without what would end a docstring or escape a character in it.

    Names of models and messages of a check are text, whatever a model wrote into them.
    """
    shown = "".join(c if c.isprintable() else " " for c in text)
    return shown.replace("\\", "/").replace('"', "'")


def _inputs_like(verdict: Verdict) -> str:
    """A ``get_inputs()`` for a problem that was given values: random ones of their shapes."""
    drawn = specs(verdict.sizes.inputs) if verdict.sizes else []
    if any("float" not in dtype for dtype, _ in drawn):
        # Indices and masks have to fit one another: no draw of ours would.
        shapes = ", ".join(f"{dtype} {list(shape)}" for dtype, shape in drawn)
        why = f"the arguments of forward() that it is used with; checked with {shapes}"
        return f"\n\ndef get_inputs():\n    raise NotImplementedError({'return ' + why!r})\n"
    made = ", ".join(f"torch.randn({list(shape)}, dtype=torch.{dtype})" for dtype, shape in drawn)
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
