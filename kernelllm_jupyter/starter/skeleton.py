"""What can be taken from the user's source and stands around the model's answer.

Imports, the signature of the Triton kernel, ``class ModelNew`` with the constructor as it was
written, and the checks with which ``forward`` refuses what the Triton kernel was not written for.
"""

from __future__ import annotations

import ast
import re
import textwrap
from collections.abc import Iterable, Sequence

from kernelllm_jupyter.starter.graph import Graph
from kernelllm_jupyter.starter.naming import Names
from kernelllm_jupyter.starter.trace import Trace

__all__ = ["Skeleton"]

_OWN_IMPORTS = {
    "torch": "import torch",
    "nn": "import torch.nn as nn",
    "math": "import math",
    "triton": "import triton",
    "tl": "import triton.language as tl",
}


class Skeleton:
    """Implements :class:`~.reader.Parts` for one trace."""

    def __init__(self, trace: Trace, names: Sequence[Names], source: str):
        self.trace, self.names, self.source = trace, names, source
        self._firsts = trace.plan.firsts()

    def place(self, label: int, stage: int) -> int:
        return label - self._firsts[stage]

    def head(self) -> str:
        """Everything before the first Triton kernel."""
        trace = self.trace
        needed = _names_in(_kept_nodes(trace))
        definitions = _definitions(trace, needed)
        for node in definitions:
            needed |= _names_in([node])
        needed |= {"torch", "triton", "tl"} | _names_in_text(_class_line(trace))
        needed |= _names_in(
            [trace.forward.args, *([trace.forward.returns] if trace.forward.returns else [])]
        )
        needed |= _names_in_text(_used_texts(trace))
        parts = ["\n".join(_imports(trace.tree, needed))]
        parts += [_source_of(node, self.source) for node in definitions]
        return "\n\n\n".join(parts) + "\n"

    def kernel_head(self, stage: int) -> str:
        """Decorator and signature of a stage's Triton kernel."""
        names, layout = self.names[stage], self.trace.plan.graphs[stage].layout
        signature = (*names.signature, *_blocks(layout))
        line = f"def {names.kernel_name}({', '.join(signature)}):"
        if len(line) > 96:
            joined = ", ".join(item.replace(" ", "\0") for item in signature) + ","
            body = textwrap.fill(joined, 92).replace("\0", " ")
            line = f"def {names.kernel_name}(\n{textwrap.indent(body, '    ')}\n):"
        return f"\n\n@triton.jit\n{line}\n"

    def class_head(self) -> str:
        """From after the Triton kernels to the body of ``forward``."""
        trace = self.trace
        members = [_source_of(node, self.source) for node in _kept_nodes(trace)]
        forward = trace.forward
        returns = f" -> {ast.unparse(forward.returns)}" if forward.returns is not None else ""
        head = f"def forward({ast.unparse(forward.args)}){returns}:\n"
        checks = "".join(f"    {line}\n" for line in _checks(trace))
        text = "\n\n".join([*(member.rstrip("\n") for member in members), head + checks])
        count = len(self.names)
        what = "one Triton kernel" if count == 1 else f"{count} Triton kernels"
        doc = f'"""{trace.cls.name}, its forward pass in {what}."""\n\n'
        return f"\n\n{_class_line(trace)}\n{textwrap.indent(doc + text, '    ')}"

    def before(self, stage: int) -> str:
        """The lines of ``forward`` between the stage before and this one's own."""
        stages = self.trace.plan.stages
        lines = [*(stages[stage - 1].after if stage else ()), *stages[stage].before]
        lines += _weight_checks(stages[stage].graph)
        return "".join(f"        {line}\n" for line in lines)

    def tail(self) -> str:
        """The end of ``forward``."""
        plan = self.trace.plan
        lines = [*plan.stages[-1].after, f"return {plan.result}"]
        return "".join(f"        {line}\n" for line in lines)


def _blocks(layout: str) -> tuple[str, ...]:
    """The sizes of a tile that the Triton kernel is compiled for."""
    if layout in ("matmul", "bmm", "conv", "convt"):
        names: tuple[str, ...] = ("BLOCK_M", "BLOCK_N", "BLOCK_K")
    else:
        names = ("BLOCK", "LANES") if layout.endswith("lines") else ("BLOCK",)
    return tuple(f"{name}: tl.constexpr" for name in names)


def _used_texts(trace: Trace) -> str:
    """Everything that ``forward`` takes from the user's module, as text."""
    found = [trace.plan.result, *(text for text, _ in trace.assumptions)]
    for stage in trace.plan.stages:
        graph = stage.graph
        found += [*stage.before, *stage.after, *(number.text for number in graph.numbers)]
        found += [*(text for _, text in graph.texts), *(weight.text for weight in graph.weights)]
    return "\n".join(line for line in found if not line.lstrip().startswith("raise"))


def _class_line(trace: Trace) -> str:
    bases = ", ".join(ast.unparse(base) for base in trace.cls.bases)
    return f"class ModelNew({bases or 'nn.Module'}):"


def _checks(trace: Trace) -> Iterable[str]:
    """Lines that make ``forward`` fail loudly where its Triton kernels would be wrong."""
    for text, value in trace.assumptions:
        yield f"{_unless(text, value)}:"
        message = f"this Triton kernel was written for {_condition(text, value)}"
        yield f"    raise ValueError({message!r})"
    if not trace.tensors:
        return
    first, *others = trace.tensors
    mixed = "".join(f" or {other}.dtype != {first}.dtype" for other in others)
    yield f"if {first}.dtype not in (torch.float32, torch.float16, torch.bfloat16){mixed}:"
    yield '    raise TypeError("this Triton kernel takes inputs of one dtype: float32 or a half")'


def _weight_checks(graph: Graph) -> Iterable[str]:
    if graph.layout.removeprefix("long_") not in ("flat", "total", "rows", "lines"):
        return
    for weight in graph.weights:
        if weight.load == "vec":
            yield f"if {weight.text}.numel() != {weight.inner}:"
            yield f'    raise ValueError("{weight.text} must have one element per column")'


def _condition(text: str, value: str) -> str:
    if value in ("True", "False"):
        return text if value == "True" else f"not {text}"
    return f"{text} == {value}"


def _unless(text: str, value: str) -> str:
    if value in ("True", "False"):
        return f"if not {text}" if value == "True" else f"if {text}"
    if value == "None":
        return f"if {text} is not None"
    return f"if {text} != {value}"


def _kept_nodes(trace: Trace) -> list[ast.stmt]:
    """Members of the class that its constructor needs, in the order of the source."""
    methods = {node.name: node for node in trace.cls.body if isinstance(node, ast.FunctionDef)}
    wanted = {"__init__"} & set(methods)
    frontier = list(wanted)
    while frontier:
        node = methods[frontier.pop()]
        used = {
            item.attr
            for item in ast.walk(node)
            if isinstance(item, ast.Attribute) and isinstance(item.value, ast.Name)
        }
        fresh = (used & set(methods)) - wanted - {"forward"}
        wanted |= fresh
        frontier += fresh
    texts = _used_texts(trace)
    kept: list[ast.stmt] = []
    for member in trace.cls.body:
        if isinstance(member, (ast.Assign, ast.AnnAssign)):
            kept.append(member)
        elif isinstance(member, ast.FunctionDef):
            is_read = re.search(rf"\bself\.{member.name}\b", texts) is not None
            if member.name in wanted or (is_read and member.decorator_list):
                kept.append(member)
    return kept


def _definitions(trace: Trace, needed: set[str]) -> list[ast.stmt]:
    """Statements of the cell that ``needed`` names, and what they need in turn."""
    wanted = set(needed) | _names_in(list(trace.cls.bases)) | _names_in([trace.forward.args])
    if trace.forward.returns is not None:
        wanted |= _names_in([trace.forward.returns])
    wanted |= _names_in_text(_used_texts(trace))
    chosen: dict[int, ast.stmt] = {}
    for statement in reversed(trace.tree.body):
        if statement is trace.cls or isinstance(statement, (ast.Import, ast.ImportFrom)):
            continue
        if _bound(statement) & wanted:
            chosen[statement.lineno] = statement
            wanted |= _names_in([statement])
    return [chosen[line] for line in sorted(chosen)]


def _bound(statement: ast.stmt) -> set[str]:
    if isinstance(statement, (ast.ClassDef, ast.FunctionDef)):
        return {statement.name}
    targets: list[ast.expr] = []
    if isinstance(statement, ast.Assign):
        targets = statement.targets
    elif isinstance(statement, ast.AnnAssign):
        targets = [statement.target]
    return {
        node.id for target in targets for node in ast.walk(target) if isinstance(node, ast.Name)
    }


def _imports(tree: ast.Module, needed: set[str]) -> list[str]:
    """The source's imports that are still used, then those of our own that it lacks."""
    lines: list[str] = []
    bound: set[str] = set()
    for node in tree.body:
        if not isinstance(node, (ast.Import, ast.ImportFrom)):
            continue
        aliases = [a for a in node.names if (a.asname or a.name.partition(".")[0]) in needed]
        aliases = [a for a in aliases if (a.asname or a.name.partition(".")[0]) not in bound]
        if isinstance(node, ast.ImportFrom) and node.module == "__future__":
            aliases = node.names
        if aliases:
            bound |= {a.asname or a.name.partition(".")[0] for a in aliases}
            kept = (
                ast.Import(aliases)
                if isinstance(node, ast.Import)
                else ast.ImportFrom(node.module, aliases, node.level)
            )
            lines.append(ast.unparse(kept))
    missing = [line for name, line in _OWN_IMPORTS.items() if name in needed - bound]
    return lines + missing


def _names_in(nodes: Iterable[ast.AST]) -> set[str]:
    """Names that ``nodes`` take from outside: not a function's own arguments."""
    found: set[str] = set()
    for node in nodes:
        names = {item.id for item in ast.walk(node) if isinstance(item, ast.Name)}
        if isinstance(node, ast.FunctionDef):
            own = {item.arg for item in ast.walk(node.args) if isinstance(item, ast.arg)}
            names = (names - own) | _names_in([node.args])
        found |= names
    return found


def _names_in_text(text: str) -> set[str]:
    return set(re.findall(r"(?<![\w.])[A-Za-z_]\w*", text))


def _source_of(node: ast.stmt, source: str) -> str:
    """The statement as it was written, without its indentation."""
    decorators = getattr(node, "decorator_list", [])
    first = min([node.lineno, *(item.lineno for item in decorators)])
    lines = source.splitlines()[first - 1 : node.end_lineno]
    text = textwrap.dedent("\n".join(lines))
    return re.sub(r"super\(\s*\w+\s*,\s*self\s*\)", "super()", text)
