"""How a finished region reads its operands, and which placeholder each of them gets."""

from __future__ import annotations

import ast
from typing import Any

from kernelllm_jupyter.starter.domain import Number, Refused, Tensor, TensorInput, WeightRef
from kernelllm_jupyter.starter.graph import HostNumber, Step, Weight
from kernelllm_jupyter.starter.schedule import Pending

__all__ = ["LOADS", "Numbering", "Order", "Sizes", "is_single", "last_name", "name_of"]

#: A shape as far as it is known.
Sizes = tuple["int | None", ...]
#: Operations that read an operand.
LOADS = frozenset({"load", "row"})


class Order:
    """Which operands are read element for element, and how the smaller ones are.

    ``shape`` is the region's; ``heads`` are the operands of the product that began it, if one did;
    ``leaves`` all that is read, ``rows`` those of one number per row.
    """

    def __init__(self, shape: Sizes | None, heads: list[Any], leaves: list[Any], rows: list[Any]):
        self.shape = shape
        rest = [leaf for leaf in leaves if all(leaf is not head for head in heads)]
        whole = [leaf for leaf in rest if shape is not None and leaf.spec.shape == shape]
        if not whole and not heads:
            whole = [leaf for leaf in rest if isinstance(leaf, TensorInput)] or rest
            single = [leaf for leaf in whole if not is_single(leaf)]
            whole = single or whole
        elif shape is None and not heads:
            whole = [leaf for leaf in rest if isinstance(leaf, TensorInput)]
        whole = [leaf for leaf in whole if all(leaf is not row for row in rows)]
        whole.sort(key=lambda leaf: (not isinstance(leaf, TensorInput), _is_exact(leaf)))
        self.inputs = [*heads, *whole]
        if not self.inputs:
            raise Refused("a result that depends on no input")
        self.smaller = [leaf for leaf in rest if all(leaf is not x for x in self.inputs)]
        base = "$out" if heads else self.inputs[0].text
        self.weights = [
            self._weight(leaf, base, any(leaf is row for row in rows)) for leaf in self.smaller
        ]

    def place(self, leaf: Any) -> int:
        everything = [*self.inputs, *self.smaller]
        return next(index for index, known in enumerate(everything) if known is leaf)

    def load(self, leaf: Any) -> tuple[str, str]:
        """The operation that loads ``leaf`` and its placeholder."""
        place = self.place(leaf)
        if place < len(self.inputs):
            return "load", f"$in{place}"
        weight = self.weights[place - len(self.inputs)]
        return (
            "load" if weight.load == "full" else weight.load,
            f"$w{place - len(self.inputs)}",
        )

    def _weight(self, leaf: Any, base: str, is_row: bool) -> Weight:
        shape, whole = leaf.spec.shape, self.shape
        text, name = leaf.text, name_of(leaf)
        if is_row:
            return Weight(text, name, "row")
        if shape is not None and all(size == 1 for size in shape):
            return Weight(text, name, "one")
        if shape is not None and len(shape) == 1 and whole is None:
            return Weight(text, name, "vec", f"{base}.shape[-1]")
        if shape is not None and whole is not None and len(shape) <= len(whole):
            wide = [place for place in range(-len(shape), 0) if shape[place] != 1]
            suffix = shape[wide[0] :]
            if suffix == whole[wide[0] :] and None not in suffix:
                behind = "-1]" if wide[0] == -1 else f"{wide[0]}:].numel()"
                return Weight(text, name, "vec", f"{base}.shape[{behind}")
            if len(wide) == 1 and shape[wide[0]] == whole[wide[0]]:
                behind = f"{base}.shape[{wide[0] + 1}:].numel()"
                return Weight(text, name, "chan", behind)
        return Weight(text, name, "full")


class Numbering:
    """Gives values and numbers their placeholders, in the order in which the steps use them."""

    def __init__(self, order: Order, names: dict[str, str]) -> None:
        self._order, self._names = order, names
        self.numbers: dict[str, HostNumber] = {}
        self.constants: list[float] = []

    def steps(self, lined: list[Pending]) -> tuple[list[Step], list[str | None]]:
        index: dict[int, str] = {}
        steps, names = [], []
        for place, pending in enumerate(lined):
            steps.append(self._step(pending, index))
            names.append(pending.target.name)
            index[id(pending.target)] = f"$v{place}"
        return steps, names

    def _step(self, pending: Pending, index: dict[int, str]) -> Step:
        if pending.operation in LOADS:
            operation, placeholder = self._order.load(pending.operands[0])
            return Step(operation, (placeholder,))
        operands = tuple(self._placeholder(value, index) for value in pending.operands)
        return Step(pending.operation, operands)

    def _placeholder(self, value: Any, index: dict[int, str]) -> str:
        if isinstance(value, Tensor):
            return index[id(value)]
        if isinstance(value, (TensorInput, WeightRef)):
            return self._order.load(value)[1]
        if isinstance(value, Number):
            assert value.node is not None
            text = ast.unparse(value.node)
            if text not in self.numbers:
                known = isinstance(value.value, float)
                name = self._names.get(text) or last_name(value.node)
                self.numbers[text] = HostNumber(text, name, known)
            return f"$p{list(self.numbers).index(text)}"
        self.constants.append(value)
        return f"$c{len(self.constants) - 1}"


def is_single(leaf: TensorInput | WeightRef) -> bool:
    """Whether it is known to hold one element."""
    shape = leaf.spec.shape
    return shape is not None and all(size == 1 for size in shape)


def _is_exact(leaf: Any) -> bool:
    """Whether the elements are no floating-point numbers."""
    return str(leaf.spec.dtype).startswith(("int", "bool"))


def name_of(leaf: Any) -> str:
    """What the source calls an input or weight."""
    return leaf.name if isinstance(leaf, TensorInput) else last_name(leaf.node)


def last_name(node: ast.expr) -> str:
    """The name at the end of an expression: ``gamma`` of ``self.norm.gamma``."""
    if isinstance(node, ast.Attribute):
        return node.attr
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Subscript):
        return last_name(node.value)
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
        return "scalar" if isinstance(node.func.value, ast.Name) else last_name(node.func.value)
    return "scalar"
