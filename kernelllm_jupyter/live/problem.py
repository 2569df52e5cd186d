"""A problem made of a live module: its class's source, its arguments, its weights, its calls.

What a model is to read, and a worker to execute, is text; values that no line could stand for go
beside it (:class:`~kernelllm_jupyter.values.Live`). Nothing of the session is run or changed.
"""

from __future__ import annotations

import ast
import inspect
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch

from kernelllm_jupyter.errors import ProblemError, UsageError
from kernelllm_jupyter.live.arguments import Arguments, arguments_of, is_of_torch
from kernelllm_jupyter.live.capture import Capture, captured, versions_of
from kernelllm_jupyter.live.drawing import drawing
from kernelllm_jupyter.live.packing import Call, live_values
from kernelllm_jupyter.live.sources import Collection
from kernelllm_jupyter.problem import parse_problem
from kernelllm_jupyter.syntax import parse
from kernelllm_jupyter.values import Problem

__all__ = ["LiveArguments", "problem_of"]

#: The attribute of a wrapper that holds the wrapped module.
WRAPPED = "layer"
GIVEN = ("get_inputs", "get_init_inputs")


@dataclass(frozen=True)
class LiveArguments:
    """Inputs and constructor arguments as they were asked for: expressions, or values.

    ``inputs`` is a list of positional arguments; ``text`` is source of the user's own with
    ``get_inputs()`` or ``get_init_inputs()``.
    """

    inputs: Sequence[Any] | None = None
    inputs_expression: str | None = None
    init: Any = None
    init_expression: str | None = None
    text: str = ""

    @property
    def gives_init(self) -> bool:
        return self.init is not None or self.init_expression is not None

    def defines(self, name: str) -> bool:
        """Whether the user's text has a function of this name."""
        return any(
            isinstance(node, ast.FunctionDef) and node.name == name
            for node in parse(self.text).body
        )


def problem_of(
    module: object,
    called: str,
    asked: LiveArguments | None = None,
    *,
    require_inputs: bool = True,
) -> Problem:
    """The problem that a module instance is; ``called`` is its name in messages.

    Its inputs are those asked for, else those of calls that were captured. Raises
    :class:`ProblemError` where its source, arguments or inputs are not to be had.
    """
    asked = asked or LiveArguments()
    model = _plain_module(module, called)
    _require_own_text(asked)
    collection = Collection(_module_expression)
    gives_init = asked.gives_init or asked.defines("get_init_inputs")
    entry, init_line, prefix = _entry(model, called, collection, gives_init)
    calls, keywords = _calls(model, called, asked)
    draws = ""
    if calls and not asked.defines("get_inputs"):
        found = drawing(calls[0].arguments)
        draws = "" if found is None else f"def get_inputs():\n    return {found.text}\n"
    parts = [collection.text(), asked.text.strip(), draws, init_line]
    live = live_values(
        calls,
        keywords=keywords,
        init=asked.init,
        module=model,
        prefix=prefix,
        what="--inputs" if asked.inputs is not None else f"A captured call of {called}",
    )
    try:
        problem = parse_problem(
            "\n\n\n".join(part.strip("\n") for part in parts if part) + "\n",
            class_name=entry,
            inputs=asked.inputs_expression,
            init=asked.init_expression,
            live=live,
            require_inputs=False,
        )
    except ProblemError as error:
        raise ProblemError(str(error).replace("The cell", f"The source of {called}")) from None
    has_own = asked.inputs_expression is not None or asked.defines("get_inputs")
    if require_inputs and not calls and not has_own:
        raise ProblemError(_no_inputs(called, captured(model)))
    problem = replace(problem, called=f"the source of {called}")
    has_inputs = has_own or bool(calls and draws and found is not None and found.faithful)
    return replace(problem, has_inputs=has_inputs)


# --- the module --------------------------------------------------------------------------------


def _plain_module(module: object, called: str) -> torch.nn.Module:
    if isinstance(module, type):
        raise UsageError(f"{called} is a class: --from takes an instance of it.")
    if not isinstance(module, torch.nn.Module):
        raise UsageError(f"{called} is a {type(module).__name__}: --from takes a torch.nn.Module.")
    if isinstance(module, torch.nn.DataParallel | torch.nn.parallel.DistributedDataParallel):
        return _plain_module(module.module, called)
    original = vars(module).get("_orig_mod") or module._modules.get("_orig_mod")
    if isinstance(original, torch.nn.Module):
        # What torch.compile made of it.
        return _plain_module(original, called)
    if isinstance(module, torch.jit.ScriptModule):
        raise ProblemError(f"{called} went through torch.jit: take the module as it was before.")
    if "forward" in vars(module):
        raise ProblemError(
            f"The forward() of {called} was replaced on the instance: its class's source does not "
            "say what it does. Define it in a class."
        )
    modes = {part.training for part in module.modules()}
    if len(modes) > 1:
        raise ProblemError(
            f"Some parts of {called} are in training mode and others in eval mode: call "
            f"{called}.eval() or {called}.train() first."
        )
    return module


def _entry(
    module: torch.nn.Module, called: str, collection: Collection, gives_init: bool
) -> tuple[str, str, str]:
    """The entry class's name, the text of ``get_init_inputs``, and where the module is in it.

    The module's own class, where its arguments are numbers and the like; else, and for PyTorch's
    own layers, a class around it, of which it is a submodule.
    """
    kind = type(module)
    if is_of_torch(module):
        return _wrapper(module, called, collection, gives_init)
    if gives_init:
        return collection.add(kind), "", ""
    reading = arguments_of(module)
    if reading.missing:
        raise ProblemError(_not_known(called, kind.__name__, reading))
    if not all(_crosses(value) or _is_weight(value, module) for value in reading.found.values()):
        return _wrapper(module, called, collection, gives_init)
    name = collection.add(kind)
    args, kwargs = _arranged(kind, reading.found)
    texts = [_argument(value, module, collection, called) for value in args]
    if kwargs:
        named = ", ".join(
            f"{key!r}: {_argument(value, module, collection, called)}"
            for key, value in kwargs.items()
        )
        listed = f"[[{', '.join(texts)}], {{{named}}}]"
    else:
        listed = f"[{', '.join(texts)}]"
    if not reading.found:
        return name, "", ""
    return name, f"def get_init_inputs():\n    return {listed}\n", ""


def _not_known(called: str, name: str, reading: Arguments) -> str:
    found = [f"{key}={value!r}" for key, value in reading.found.items() if _crosses(value)]
    example = ", ".join([*found, *(f"{key}=…" for key in reading.missing)])
    return (
        f"With which {', '.join(reading.missing)} {called} was made cannot be read off it: pass "
        f"--init with the arguments of {name}(), for example --init 'dict({example})'."
    )


def _crosses(value: Any) -> bool:
    """Whether a candidate in another process can be given it."""
    if isinstance(value, tuple | list):
        return all(map(_crosses, value))
    if type(value) is dict:
        return all(type(key) is str and _crosses(item) for key, item in value.items())
    return value is None or type(value) in (bool, int, float, str) or isinstance(value, torch.dtype)


def _is_weight(value: Any, module: torch.nn.Module) -> bool:
    own = (*module.parameters(), *module.buffers())
    return isinstance(value, torch.Tensor) and any(value is tensor for tensor in own)


def _argument(value: Any, module: torch.nn.Module, collection: Collection, what: str) -> str:
    if _is_weight(value, module):
        # Its values come with the weights.
        collection.need_torch()
        return f"torch.zeros({list(value.shape)})"
    return collection.expression(value, what)


def _arranged(kind: type, found: dict[str, Any]) -> tuple[list[Any], dict[str, Any]]:
    """Arguments by position for as long as none is left out, the others by name."""
    args: list[Any] = []
    left = dict(found)
    parameters = list(inspect.signature(kind.__init__).parameters.values())[1:]  # type: ignore[misc]
    for parameter in parameters:
        positional = parameter.kind in (
            parameter.POSITIONAL_ONLY,
            parameter.POSITIONAL_OR_KEYWORD,
        )
        if not positional or parameter.name not in left:
            break
        args.append(left.pop(parameter.name))
    return args, left


def _module_expression(module: torch.nn.Module, collection: Collection, what: str) -> str:
    """Source that makes a module like this one."""
    kind = type(module)
    if is_of_torch(module) and getattr(torch.nn, kind.__name__, None) is kind:
        collection.need_torch()
        name = f"nn.{kind.__name__}"
    else:
        name = collection.add(kind)
    if kind in (torch.nn.Sequential, torch.nn.ModuleList, torch.nn.ModuleDict):
        return f"{name}({_children(module, collection, what)})"
    reading = arguments_of(module)
    if reading.missing:
        raise ProblemError(_not_known(what, kind.__name__, reading))
    args, kwargs = _arranged(kind, reading.found)
    texts = [_argument(value, module, collection, what) for value in args]
    texts += [f"{key}={_argument(v, module, collection, what)}" for key, v in kwargs.items()]
    return f"{name}({', '.join(texts)})"


def _children(module: torch.nn.Module, collection: Collection, what: str) -> str:
    texts = {
        name: _module_expression(child, collection, f"{what}.{name}")
        for name, child in module.named_children()
    }
    if isinstance(module, torch.nn.ModuleDict):
        return "{" + ", ".join(f"{name!r}: {text}" for name, text in texts.items()) + "}"
    if list(texts) == [str(n) for n in range(len(texts))]:
        listed = ", ".join(texts.values())
        return f"[{listed}]" if isinstance(module, torch.nn.ModuleList) else listed
    collection.need("OrderedDict", "from collections import OrderedDict")
    return "OrderedDict([" + ", ".join(f"({n!r}, {text})" for n, text in texts.items()) + "])"


def _wrapper(
    module: torch.nn.Module, called: str, collection: Collection, gives_init: bool
) -> tuple[str, str, str]:
    """A class whose one submodule is made like the module."""
    collection.need_torch()
    parameters = init_line = ""
    if gives_init:
        made = f"{_class_name(module, collection)}(*args, **kwargs)"
        parameters = ", *args, **kwargs"
    elif isinstance(module, torch.nn.Sequential | torch.nn.ModuleList | torch.nn.ModuleDict):
        made = _module_expression(module, collection, called)
    else:
        reading = arguments_of(module)
        if reading.missing:
            raise ProblemError(_not_known(called, type(module).__name__, reading))
        args, kwargs = _arranged(type(module), reading.found)
        names = list(inspect.signature(type(module).__init__).parameters)[1:]
        given = [*zip(names, args, strict=False), *kwargs.items()]
        texts = [_own(key, value, module, collection, called) for key, value in given]
        for n in range(len(args), len(given)):
            texts[n] = f"{given[n][0]}={texts[n]}"
        free = [(key, value) for key, value in given if _crosses(value)]
        made = f"{_class_name(module, collection)}({', '.join(texts)})"
        if free:
            parameters = "".join(f", {key}" for key, _ in free)
            listed = ", ".join(collection.expression(value, called) for _, value in free)
            init_line = f"def get_init_inputs():\n    return [{listed}]\n"
    name = "Model" if not collection.has("Model") else "WrappedModel"
    signature, arguments = _forward(module)
    collection.write(
        f"class {name}(nn.Module):\n"
        f"    def __init__(self{parameters}):\n"
        "        super().__init__()\n"
        f"        self.{WRAPPED} = {made}\n\n"
        f"    def forward(self{signature}):\n"
        f"        return self.{WRAPPED}({arguments})"
    )
    return name, init_line, f"{WRAPPED}."


def _own(key: str, value: Any, module: torch.nn.Module, collection: Collection, called: str) -> str:
    """An argument in a wrapper's constructor: its own parameter, or the value written out."""
    return key if _crosses(value) else _argument(value, module, collection, f"{called}.{key}")


def _class_name(module: torch.nn.Module, collection: Collection) -> str:
    kind = type(module)
    if is_of_torch(module) and getattr(torch.nn, kind.__name__, None) is kind:
        return f"nn.{kind.__name__}"
    return collection.add(kind)


def _forward(module: torch.nn.Module) -> tuple[str, str]:
    """``forward``'s parameters, and how they are passed on."""
    parameters = list(inspect.signature(type(module).forward).parameters.values())[1:]
    declared: list[str] = []
    passed: list[str] = []
    takes_names = False
    for parameter in parameters:
        name, default = parameter.name, parameter.default
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            stars = "*" if parameter.kind is parameter.VAR_POSITIONAL else "**"
            declared.append(stars + name)
            passed.append(stars + name)
            takes_names |= stars == "*"
            continue
        by_name = parameter.kind is parameter.KEYWORD_ONLY
        if by_name and not takes_names:
            declared.append("*")
            takes_names = True
        text = repr(default) if _crosses(default) else "None"
        declared.append(name if default is parameter.empty else f"{name}={text}")
        passed.append(f"{name}={name}" if by_name else name)
    return "".join(f", {each}" for each in declared), ", ".join(passed)


# --- inputs ------------------------------------------------------------------------------------


def _require_own_text(asked: LiveArguments) -> None:
    """Raise where the user's text is more than functions that give inputs and arguments."""
    try:
        tree = parse(asked.text)
    except (SyntaxError, ValueError) as error:
        raise ProblemError(f"The cell is not valid Python: {error}.") from None
    named = {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
    if any(isinstance(node, ast.ClassDef) for node in tree.body) or (
        tree.body and not named.intersection(GIVEN)
    ):
        raise UsageError(
            "With --from the module comes from the notebook: the cell may be empty, or define "
            "get_inputs() and get_init_inputs()."
        )


def _calls(
    module: torch.nn.Module, called: str, asked: LiveArguments
) -> tuple[list[Call], tuple[str, ...]]:
    """The calls whose arguments are the inputs, and the names of those passed by keyword."""
    if asked.inputs is not None:
        return [Call(list(asked.inputs))], ()
    if asked.inputs_expression is not None or asked.defines("get_inputs"):
        return [], ()
    seen = captured(module)
    if seen is None or not len(seen):
        return [], ()
    versions = versions_of(module)
    bound = [_bound(module, call.args, call.kwargs, called) for call in seen]
    keywords = bound[0][1]
    calls = []
    for call, (arguments, named) in zip(seen, bound, strict=True):
        if named.keys() == keywords.keys():
            known = call.has_output and call.versions == versions
            known = known and call.training == module.training
            values = [*arguments, *(named[key] for key in keywords)]
            calls.append(Call(values, call.output, known))
    return calls, tuple(keywords)


def _bound(
    module: torch.nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], called: str
) -> tuple[list[Any], dict[str, Any]]:
    """A call's arguments: as many as can be by position, and those that only have a name."""
    signature = inspect.signature(module.forward)
    try:
        bound = signature.bind(*args, **kwargs)
    except TypeError as error:
        raise ProblemError(
            f"The captured call of {called} does not fit forward(): {error}."
        ) from None
    positional: list[Any] = []
    named: dict[str, Any] = {}
    gap: list[Any] = []
    for name, parameter in signature.parameters.items():
        if parameter.kind is parameter.VAR_POSITIONAL:
            rest = bound.arguments.get(name, ())
            if rest:
                positional += [*gap, *rest]
        elif parameter.kind is parameter.VAR_KEYWORD:
            named.update(bound.arguments.get(name, {}))
        elif parameter.kind is parameter.KEYWORD_ONLY:
            if name in bound.arguments:
                named[name] = bound.arguments[name]
        elif name in bound.arguments:
            positional += [*gap, bound.arguments[name]]
            gap = []
        else:
            gap.append(parameter.default)
    return positional, named


def _no_inputs(called: str, seen: Capture | None) -> str:
    if seen is not None:
        notes = " ".join(seen.notes)
        why = f"The capture of {called} has no call. {notes}".strip()
    else:
        why = f"No call of {called} was captured, so its inputs are not known."
    return (
        f"{why} Run it inside `with kernelllm_jupyter.capture({called}): …`, or pass --inputs "
        "'torch.randn(16, 1024)'."
    )
