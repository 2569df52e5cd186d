"""The problem that a run of ``%%kernelllm`` is about: of the cell's text, or of a live module.

Expressions of ``--inputs``, ``--init`` and ``--from`` are evaluated here, in the notebook's
namespace; what is made of their values is decided below.
"""

from __future__ import annotations

import ast
from typing import Any

from kernelllm_jupyter.errors import UsageError
from kernelllm_jupyter.options import Request
from kernelllm_jupyter.problem import needs_live_values, parse_problem
from kernelllm_jupyter.syntax import parse_expression
from kernelllm_jupyter.values import Problem

__all__ = ["problem_for"]

#: What a path to a module is made of; evaluating it calls nothing.
PARTS = (ast.Name, ast.Attribute, ast.Subscript, ast.Constant, ast.UnaryOp, ast.USub, ast.Load)


def problem_for(shell: Any, request: Request, source: str) -> Problem:
    """What is to be translated. Raises :class:`UsageError` where it is not to be had."""
    if request.live_module is not None:
        return _of_live_module(shell, request, request.live_module, source)
    inputs, has_live_inputs, live_inputs = _argument(shell, request.inputs, source, "--inputs")
    init, has_live_init, live_init = _argument(shell, request.init, source, "--init")
    live = None
    if has_live_inputs or has_live_init:
        from kernelllm_jupyter.live.packing import Call, live_values

        live = live_values(
            [Call(_listed(live_inputs))] if has_live_inputs else [],
            init=_arguments(live_init) if has_live_init else None,
            what=f"--inputs {request.inputs}",
        )
    return parse_problem(
        source,
        class_name=request.class_name,
        inputs=inputs,
        init=init,
        live=live,
        names=shell.user_ns,
        require_inputs=request.check or request.benchmark,
    )


def _of_live_module(shell: Any, request: Request, path: str, source: str) -> Problem:
    from kernelllm_jupyter.live.problem import LiveArguments, problem_of

    module = _value_at(shell, path)
    given: dict[str, Any] = {"text": source}
    inputs, has_live, value = _argument(shell, request.inputs, source or "pass", "--inputs")
    if has_live:
        given["inputs"] = _listed(value)
    else:
        given["inputs_expression"] = inputs
    init, has_live, value = _argument(shell, request.init, source or "pass", "--init")
    if has_live:
        given["init"] = _arguments(value)
    else:
        given["init_expression"] = init
    return problem_of(
        module,
        path,
        LiveArguments(**given),
        require_inputs=request.check or request.benchmark,
    )


def _value_at(shell: Any, path: str) -> Any:
    """What a name, or a path of attributes and indices, stands for in the notebook."""
    try:
        tree = parse_expression(path.strip())
    except SyntaxError:
        tree = ast.Constant(None)
    if isinstance(tree, ast.Constant) or not all(isinstance(n, PARTS) for n in ast.walk(tree)):
        raise UsageError(
            f"--from takes a module of the notebook, such as model or model.block[2], not {path!r}."
        )
    try:
        return shell.ev(path)
    except Exception as error:
        raise UsageError(f"--from {path}: {type(error).__name__}: {error}") from None


def _argument(
    shell: Any, expression: str | None, source: str, option: str
) -> tuple[str | None, bool, Any]:
    """An option's expression: as source where it can be, else that it is live, and its value."""
    if expression is None or not source.strip():
        return expression, False, None
    if not needs_live_values(expression, source, shell.user_ns):
        return expression, False, None
    try:
        return None, True, shell.ev(expression)
    except Exception as error:
        raise UsageError(f"{option} {expression}: {type(error).__name__}: {error}") from None


def _listed(value: Any) -> list[Any]:
    return list(value) if isinstance(value, list | tuple) else [value]


def _arguments(value: Any) -> Any:
    """``--init``'s value in the form of ``get_init_inputs()``."""
    return [[], value] if isinstance(value, dict) else _listed(value)
