"""From a cell's text to a Problem, by ``ast`` alone: nothing of the cell is run here.

Knows how people write modules in notebooks: a class among other classes, a bare function,
imports that stand in an earlier cell. Knows nothing of models, Triton or IPython; what lives in
the notebook's namespace reaches it only through the ``names`` mapping of :func:`parse_problem`.
"""

from __future__ import annotations

import ast
import re
import symtable
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from kernelllm_jupyter.errors import ProblemError, UsageError
from kernelllm_jupyter.prelude import defined_names, free_names, line_for, prelude
from kernelllm_jupyter.source_lines import own_lines
from kernelllm_jupyter.syntax import parse, parse_expression
from kernelllm_jupyter.values import Live, Problem

__all__ = ["needs_live_values", "parse_problem", "problem_of_file"]

INPUT_FUNCTIONS = ("get_inputs", "get_init_inputs")
ADD_INPUTS = (
    "add one that returns the list of forward()'s arguments, or pass "
    "--inputs 'torch.randn(16, 1024)'"
)

Definition = ast.ClassDef | ast.FunctionDef


def problem_of_file(source: str, name: str, **options: Any) -> Problem:
    """:func:`parse_problem` of the text of a file, which messages call by its name."""
    try:
        return replace(parse_problem(source, **options), called=name)
    except ProblemError as error:
        words = str(error).replace(" below the %%kernelllm line", " into it")
        words = re.sub("[Tt]he cell", lambda _: name, words)
        raise ProblemError(words, error.line, error.column) from None


def parse_problem(
    source: str,
    *,
    class_name: str | None = None,
    inputs: str | None = None,
    init: str | None = None,
    names: Mapping[str, Any] | None = None,
    live: Live | None = None,
    require_inputs: bool = True,
) -> Problem:
    """Read a cell or file as a problem.

    ``inputs`` and ``init`` are expressions that stand for ``get_inputs()`` and
    ``get_init_inputs()``; they become part of the problem's source, so that every trial of a
    check draws fresh values. What is given as values instead comes in ``live``. ``names``
    is the notebook's namespace: numbers, strings and modules that the cell takes from it are
    written into the problem's source.

    Raises :class:`~kernelllm_jupyter.errors.ProblemError` with a line where the text is no
    problem as it stands.
    """
    text = _without_ipython_lines(source)
    tree = _parse(text, source)
    entry, function = _entry(tree, class_name)
    wrapper = "" if function is None else _wrapper(entry, function)
    extra = _input_functions(tree, inputs, init)
    whole = "\n\n".join(part for part in (text.rstrip("\n"), wrapper, *extra) if part) + "\n"
    taken = prelude(whole, names or {})
    complete = "".join(line + "\n" for line in taken) + whole
    defined = defined_names(parse(complete))
    live_inputs = live is not None and bool(live.inputs)
    live_init = live is not None and live.init is not None
    if require_inputs and "get_inputs" not in defined and not live_inputs:
        raise ProblemError(f"The cell has no get_inputs(): {ADD_INPUTS}.")
    if "get_init_inputs" not in defined and not live_init:
        _require_no_arguments(tree, entry)
    return Problem(
        source=complete,
        class_name=entry,
        has_inputs="get_inputs" in defined and not live_inputs,
        has_init_inputs="get_init_inputs" in defined,
        live=live,
        first_line=len(taken) + 1,
        own_lines=own_lines(complete, len(taken), text, wrapper, function),
    )


def needs_live_values(expression: str, source: str, names: Mapping[str, Any]) -> bool:
    """Whether an ``--inputs`` or ``--init`` expression uses objects of the notebook, tensors say,
    that no line of source could stand for. Raises :class:`UsageError` where it is no expression.
    """
    tree = _expression(expression, "--inputs or --init")
    defined = defined_names(_parse(_without_ipython_lines(source), source))
    return any(
        name not in defined and name in names and line_for(name, names) is None
        for name in free_names(ast.unparse(tree))
    )


def _without_ipython_lines(source: str) -> str:
    """The text with IPython's ``%`` and ``!`` lines blanked, where it is no Python with them."""
    try:
        parse(source)
    except (SyntaxError, ValueError):
        return re.sub(r"(?m)^[%!][^\n]*$", "", source)
    return source


def _parse(text: str, source: str) -> ast.Module:
    try:
        tree = parse(text)
        # Finds what the parser leaves to the compiler: two parameters of one name, say.
        symtable.symtable(text, "<cell>", "exec")
    except SyntaxError as error:
        raise _syntax_problem(error, source) from None
    except ValueError as error:
        raise ProblemError(f"The cell cannot be read as Python: {error}.") from None
    if not tree.body:
        raise ProblemError(
            "The cell is empty: write a torch.nn.Module below the %%kernelllm line "
            "(and a get_inputs() that returns its inputs)."
        )
    return tree


def _syntax_problem(error: SyntaxError, source: str) -> ProblemError:
    line, column = error.lineno, error.offset
    message = f"The cell is not valid Python: {error.msg}"
    if line is None:
        return ProblemError(message + ".")
    lines = source.splitlines()
    shown = lines[line - 1] if line <= len(lines) else ""
    message += f" (line {line}).\n    {shown}"
    if column is not None:
        message += "\n    " + " " * max(0, column - 1) + "^"
    return ProblemError(message, line, column)


# --- which class -------------------------------------------------------------------------------


def _entry(tree: ast.Module, name: str | None) -> tuple[str, ast.FunctionDef | None]:
    """The entry class's name, and the function to wrap in a class of that name, if it is one."""
    modules = _module_classes(tree)
    functions = {
        node.name: node
        for node in tree.body
        if isinstance(node, ast.FunctionDef) and node.name not in INPUT_FUNCTIONS
    }
    if name is not None:
        return _named_entry(tree, name, modules, functions)
    if "Model" in modules:
        return _with_forward(modules, "Model"), None
    if modules:
        return _with_forward(modules, _only(modules, "torch.nn.Module classes")), None
    if functions:
        only = _only(functions, "functions and no torch.nn.Module")
        return _wrapped(functions[only], tree)
    classes = [node.name for node in tree.body if isinstance(node, ast.ClassDef)]
    if classes:
        raise ProblemError(
            f"No class of the cell is a torch.nn.Module (found: {', '.join(classes)}). "
            "Derive it from nn.Module, or say which one it is with --name."
        )
    raise ProblemError(
        "The cell has no torch.nn.Module: define a class that derives from nn.Module and has a "
        "forward(), or a function of tensors."
    )


def _named_entry(
    tree: ast.Module,
    name: str,
    modules: Mapping[str, ast.ClassDef],
    functions: Mapping[str, ast.FunctionDef],
) -> tuple[str, ast.FunctionDef | None]:
    if name in modules:
        return _with_forward(modules, name), None
    if name in functions:
        return _wrapped(functions[name], tree)
    if any(isinstance(node, ast.ClassDef) and node.name == name for node in tree.body):
        return name, None
    known = [*modules, *functions]
    there = f" It defines: {', '.join(known)}." if known else ""
    raise ProblemError(f"The cell has no class or function named {name!r}.{there}")


def _module_classes(tree: ast.Module) -> dict[str, ast.ClassDef]:
    """Top-level classes that derive from ``torch.nn.Module``, directly or through one another."""
    layers = {"Module"}
    aliases = {"nn", "torch.nn"}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("torch.nn"):
            layers.update(alias.asname or alias.name for alias in node.names)
        elif isinstance(node, ast.Import):
            aliases.update(
                alias.asname for alias in node.names if alias.name == "torch.nn" and alias.asname
            )
    found: dict[str, ast.ClassDef] = {}
    for node in tree.body:
        if not isinstance(node, ast.ClassDef):
            continue
        for base in map(ast.unparse, node.bases):
            owner, _, _ = base.rpartition(".")
            if base in layers or base in found or owner in aliases or base.endswith(".Module"):
                found[node.name] = node
    return found


def _only(definitions: Mapping[str, Definition], what: str) -> str:
    """The one definition that no other one uses; several of them are the user's to choose from."""
    used = {
        node.id
        for owner, definition in definitions.items()
        for node in ast.walk(definition)
        if isinstance(node, ast.Name) and node.id in definitions and node.id != owner
    }
    roots = [name for name in definitions if name not in used]
    if len(roots) == 1:
        return roots[0]
    choice = roots or list(definitions)
    raise ProblemError(
        f"The cell has several {what} ({', '.join(choice)}): say which one to translate, "
        f"for example --name {choice[-1]}."
    )


def _with_forward(modules: Mapping[str, ast.ClassDef], name: str) -> str:
    definition = modules[name]
    inherits = any(ast.unparse(base).split(".")[-1] != "Module" for base in definition.bases)
    if not inherits and not _methods(definition, "forward"):
        raise ProblemError(
            f"Class {name} has no forward() method (line {definition.lineno}): it is what gets "
            "translated.",
            definition.lineno,
        )
    return name


def _methods(definition: ast.ClassDef, name: str) -> list[ast.FunctionDef]:
    return [
        node for node in definition.body if isinstance(node, ast.FunctionDef) and node.name == name
    ]


def _wrapped(function: ast.FunctionDef, tree: ast.Module) -> tuple[str, ast.FunctionDef]:
    """A function that can be wrapped, with the name of the class to be made around it."""
    if any(isinstance(node, ast.Yield | ast.YieldFrom) for node in ast.walk(function)):
        raise ProblemError(
            f"Function {function.name} is a generator (line {function.lineno}): translate a "
            "function that returns tensors.",
            function.lineno,
        )
    taken = defined_names(tree)
    return "Model" if "Model" not in taken else f"{function.name.title()}Model", function


def _wrapper(name: str, function: ast.FunctionDef) -> str:
    """A module class around a function: its body becomes ``forward``."""
    arguments = function.args
    positional = [*arguments.posonlyargs, *arguments.args]
    forward = ast.FunctionDef(
        name="forward",
        args=ast.arguments(
            posonlyargs=[],
            args=[ast.arg("self"), *positional],
            vararg=arguments.vararg,
            kwonlyargs=arguments.kwonlyargs,
            kw_defaults=arguments.kw_defaults,
            kwarg=arguments.kwarg,
            defaults=arguments.defaults,
        ),
        body=function.body,
        decorator_list=[],
        returns=function.returns,
    )
    wrapper = ast.ClassDef(
        name=name,
        bases=[ast.Attribute(ast.Name("nn", ast.Load()), "Module", ast.Load())],
        keywords=[],
        body=[forward],
        decorator_list=[],
    )
    return ast.unparse(ast.fix_missing_locations(wrapper))


# --- inputs and constructor arguments ------------------------------------------------------------


def _input_functions(tree: ast.Module, inputs: str | None, init: str | None) -> list[str]:
    """Definitions of ``get_inputs`` and ``get_init_inputs`` for expressions given as options."""
    parts = []
    if inputs is not None:
        parts.append(f"def get_inputs():\n    return {_argument_list(inputs, '--inputs')}")
    if init is not None:
        value = _expression(init, "--init")
        keywords = isinstance(value, ast.Dict) or (
            isinstance(value, ast.Call) and ast.unparse(value.func) == "dict"
        )
        listed = f"[[], {init}]" if keywords else _argument_list(init, "--init")
        parts.append(f"def get_init_inputs():\n    return {listed}")
    return parts


def _expression(text: str, option: str) -> ast.expr:
    try:
        symtable.symtable(text.strip(), "<option>", "eval")
        return parse_expression(text.strip())
    except SyntaxError as error:
        raise UsageError(f"{option} is not a Python expression: {error.msg} in {text!r}.") from None


def _argument_list(text: str, option: str) -> str:
    value = _expression(text, option)
    if isinstance(value, ast.List | ast.Tuple):
        return "[" + ", ".join(map(ast.unparse, value.elts)) + "]"
    return "[" + ast.unparse(value) + "]"


def _require_no_arguments(tree: ast.Module, entry: str) -> None:
    """Refuse a class whose constructor needs arguments that nothing gives."""
    for node in tree.body:
        if not isinstance(node, ast.ClassDef) or node.name != entry:
            continue
        for init in _methods(node, "__init__"):
            arguments = init.args
            given = len(arguments.defaults)
            positional = [*arguments.posonlyargs, *arguments.args][1:]
            needed = [a.arg for a in positional[: len(positional) - given]]
            needed += [
                a.arg
                for a, default in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)
                if default is None
            ]
            if needed:
                raise ProblemError(
                    f"{entry}() needs arguments ({', '.join(needed)}) and the cell has no "
                    "get_init_inputs(): add one that returns them as a list, or pass --init "
                    f"'{', '.join(needed)}' with their values.",
                    init.lineno,
                )
