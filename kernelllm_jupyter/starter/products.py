"""Matrix products of every shape, brought to a plain or a batched one by views."""

from __future__ import annotations

import ast
from typing import Any

from kernelllm_jupyter.starter.builder import Builder, broadcast
from kernelllm_jupyter.starter.domain import (
    Diagonal,
    Number,
    Refused,
    Tensor,
    TensorInput,
    WeightRef,
)
from kernelllm_jupyter.starter.elementwise import bind, number
from kernelllm_jupyter.starter.rows import Rows

__all__ = ["Products"]


class Products(Rows):
    """Adds ``matmul``, ``linear``, ``einsum`` and attention."""

    def matmul(self, left: Any, right: Any, node: ast.AST | None) -> Any:
        """``left @ right``; a vector's or diagonal's product is no matrix product."""
        if isinstance(left, Diagonal) or isinstance(right, Diagonal):
            return self._diagonal(left, right, node)
        left, right = self.program.made(left), self.program.made(right)
        first, second = self._shape(left, node), self._shape(right, node)
        if len(second) == 1 or (second[-1] == 1 and len(second) == 2):
            return self._by_vector(left, right, len(second) == 1, node)
        if len(first) == 1:
            column = self.program.view(left, "{x}.unsqueeze(-1)", (first[0], 1), "column")
            product = self._anew().emit("mul", [right, column], node)
            return self.program.apply("reduce", ["sum", product, -2, False], node)
        if first[-1] is not None and second[-2] is not None and first[-1] != second[-2]:
            raise Refused(f"a product of shapes {first} and {second}", node)
        shape = (*broadcast([first[:-2], second[:-2]]), first[-2], second[-1])  # type: ignore[misc]
        region = Builder()
        if len(second) == 2:
            flat = left
            if len(first) > 2:
                count = (None, first[-1])
                flat = self.program.view(left, "{x}.reshape(-1, {x}.shape[-1])", count, "rows")
            region.texts["shape"] = f"(*{left.text}.shape[:-1], {right.text}.shape[-1])"
            return region.begin("matmul", "matmul", [flat, right], shape)
        batch = shape[:-2]
        both = []
        for side, own in ((left, first), (right, second)):
            if own[:-2] != batch:
                spread = f"torch.broadcast_shapes({left.text}.shape[:-2], {right.text}.shape[:-2])"
                text = f"{{x}}.expand(*{spread}, -1, -1)"
                side = self.program.view(side, text, (*batch, *own[-2:]), "expanded")
            if len(batch) > 1:
                size = (None, *own[-2:])
                side = self.program.view(side, "{x}.flatten(0, -3)", size, "batched")
            both.append((side, own))
        base = left if first[:-2] == batch else right
        if first[:-2] != batch and second[:-2] != batch:
            base = both[0][0]
        region.texts["shape"] = (
            f"(*{base.text}.shape[:-2], {left.text}.shape[-2], {right.text}.shape[-1])"
        )
        return region.begin("bmm", "bmm", [side for side, _ in both], shape)

    def _shape(self, leaf: Any, node: ast.AST | None) -> tuple[int | None, ...]:
        shape = leaf.spec.shape if isinstance(leaf, (TensorInput, WeightRef)) else None
        if not shape:
            raise Refused("a matrix product of tensors whose shapes are not known", node)
        return tuple(shape)

    def _by_vector(self, matrix: Any, vector: Any, drops: bool, node: ast.AST | None) -> Any:
        shape = self._shape(vector, node)
        if not drops:
            vector = self.program.view(vector, "{x}.flatten()", (shape[0],), "vector")
        product = self._anew().emit("mul", [matrix, vector], node)
        return self.program.apply("reduce", ["sum", product, -1, not drops], node)

    def _diagonal(self, left: Any, right: Any, node: ast.AST | None) -> Any:
        if isinstance(left, Diagonal) and isinstance(right, Diagonal):
            raise Refused("a product of two diagonal matrices", node)
        diagonal, matrix = (left, right) if isinstance(left, Diagonal) else (right, left)
        vector = self.program.made(diagonal.vector)
        if isinstance(left, Diagonal):
            size = self._shape(vector, node)[0]
            vector = self.program.view(vector, "{x}.unsqueeze(1)", (size, 1), "column")
        return self.program.apply("emit_all", ["mul", [vector, matrix]], node)

    def emit_all(self, operation: str, operands: list[Any], node: ast.AST | None) -> Tensor:
        return self.emit(operation, operands, node)

    def _call_matmul(self, args: list[Any], keywords: dict[str, Any], node: ast.AST) -> Any:
        left, right = bind("input other", args, keywords, "matmul", node)
        return self.matmul(left, right, node)

    _call_mm = _call_bmm = _call_mv = _call_dot = _call_matmul

    def _call_addmm(self, args: list[Any], keywords: dict[str, Any], node: ast.AST) -> Any:
        names = "input mat1 mat2 beta=1 alpha=1"
        bias, left, right, beta, alpha = bind(names, args, keywords, "addmm", node)
        value = self.matmul(left, right, node)
        if number(alpha) != 1:
            value = self.program.apply("emit_all", ["mul", [value, alpha]], node)
        if number(beta) != 1:
            bias = self.program.apply("emit_all", ["mul", [bias, beta]], node)
        return self.program.apply("emit_all", ["add", [value, bias]], node)

    _call_baddbmm = _call_addmm

    def linear(self, value: Any, weight: Any, bias: Any, node: ast.AST | None) -> Any:
        """``F.linear``: the product with a transposed weight, and its bias."""
        turned = self.transposed(weight, -1, -2, node)
        result = self.matmul(value, turned, node)
        if bias is None:
            return result
        return self.program.apply("emit_all", ["add", [result, bias]], node)

    def _call_linear(self, args: list[Any], keywords: dict[str, Any], node: ast.AST) -> Any:
        value, weight, bias = bind("input weight bias=None", args, keywords, "linear", node)
        return self.linear(value, weight, bias, node)

    def transposed(self, value: Any, first: int, second: int, node: ast.AST | None) -> TensorInput:
        """A view with two dimensions swapped."""
        leaf = self.program.made(value)
        shape = list(self._shape(leaf, node))
        shape[first], shape[second] = shape[second], shape[first]
        text = f"{{x}}.transpose({first}, {second})"
        if len(shape) == 2:
            text = "{x}.t()"
        return self.program.view(leaf, text, tuple(shape), "t")

    def _call_einsum(self, args: list[Any], keywords: dict[str, Any], node: ast.AST) -> Any:
        """An ``einsum`` of two tensors that is one (batched) matrix product."""
        equation, *operands = args
        if len(operands) == 1 and isinstance(operands[0], (tuple, list)):
            operands = list(operands[0])
        equation = str(equation).replace(" ", "")
        if len(operands) != 2 or "->" not in equation or "." in equation:
            raise Refused(f"einsum({equation!r})", node)
        inputs, output = equation.split("->")
        first, second = inputs.split(",")
        batch = [c for c in output if c in first and c in second]
        summed = [c for c in first if c in second and c not in output]
        rows = [c for c in output if c in first and c not in batch]
        cols = [c for c in output if c in second and c not in batch]
        distinct = all(len(set(part)) == len(part) for part in (first, second, output))
        covered = len(batch) + len(summed) + len(rows) == len(first) and len(batch) + len(
            summed
        ) + len(cols) == len(second)
        if not (distinct and covered and summed and rows and cols):
            raise Refused(f"einsum({equation!r})", node)
        left, right = (self.program.made(value) for value in operands)
        sizes = dict(zip(first, self._shape(left, node), strict=True))
        sizes |= dict(zip(second, self._shape(right, node), strict=True))
        names = {c: f"{left.text}.shape[{first.index(c)}]" for c in first}
        names |= {c: f"{right.text}.shape[{second.index(c)}]" for c in second if c not in names}
        left = self._arranged(left, first, [batch, rows, summed], sizes, node)
        right = self._arranged(right, second, [batch, summed, cols], sizes, node)
        value = self.matmul(left, right, node)
        order = [*batch, *rows, *cols]
        if len(batch) <= 1 and len(rows) == 1 and len(cols) == 1:
            found = value
        else:
            made = self.program.made(value)
            text = f"{{x}}.reshape({', '.join(names[c] for c in order)})"
            found = self.program.view(made, text, tuple(sizes[c] for c in order), "shaped")
        if order == list(output):
            return found
        places = [order.index(c) for c in output]
        text = f"{{x}}.permute({', '.join(map(str, places))})"
        shape = tuple(sizes[c] for c in output)
        return self.program.view(self.program.made(found), text, shape, "permuted")

    def _arranged(
        self,
        leaf: Any,
        labels: str,
        groups: list[list[str]],
        sizes: dict[str, int | None],
        node: ast.AST,
    ) -> Any:
        """``leaf`` with its dimensions in the order of ``groups``, each group made one."""
        order = [c for group in groups for c in group]
        if order != list(labels):
            places = ", ".join(str(labels.index(c)) for c in order)
            arranged = tuple(sizes[c] for c in order)
            leaf = self.program.view(leaf, f"{{x}}.permute({places})", arranged, "permuted")
        shape = [sizes[c] for c in order]
        for place, group in enumerate(group for group in groups if group):
            if len(group) > 1:
                end = place + len(group) - 1
                part = shape[place : end + 1]
                size = None
                if all(item is not None for item in part):
                    size = 1
                    for item in part:
                        size *= item or 1
                shape[place : end + 1] = [size]
                text = f"{{x}}.flatten({place}, {end})"
                leaf = self.program.view(leaf, text, tuple(shape), "flat")
        return leaf

    def _call_scaled_dot_product_attention(
        self, args: list[Any], keywords: dict[str, Any], node: ast.AST
    ) -> Any:
        names = (
            "query key value attn_mask=None dropout_p=0.0 is_causal=False scale=None "
            "_enable_gqa=False"
        )
        query, key, value, mask, dropout, causal, scale = bind(names, args, keywords, "sdpa", node)
        if number(dropout) != 0:
            raise Refused("attention with dropout", node)
        query = self.program.made(query)
        width = self._shape(query, node)[-1]
        scores = self.matmul(query, self.transposed(key, -2, -1, node), node)
        if scale is None:
            if width is None:
                raise Refused("attention of tensors whose shapes are not known", node)
            root = ast.parse(f"{query.text}.shape[-1] ** -0.5", mode="eval").body
            scale = Number(root, float(width) ** -0.5)
        apply = self.program.apply
        scores = apply("emit_all", ["mul", [scores, scale]], node)
        if mask is not None:
            if isinstance(mask, TensorInput) and mask.spec.dtype == "bool":
                scores = apply("pointwise", ["where", [mask, scores, float("-inf")]], node)
            else:
                scores = apply("emit_all", ["add", [scores, mask]], node)
        if causal is True:
            scores = apply("triangle", [scores, "causal", 0], node)
        elif causal is not False:
            raise Refused("attention whose is_causal is not known", node)
        shares = apply("call", ["softmax", [scores, -1], {}], node)
        return apply("call", ["matmul", [shares, value], {}], node)

    def triangle(self, value: Any, operation: str, diagonal: Any, node: ast.AST | None) -> Any:
        """``tril``, ``triu`` or the mask of causal attention, on the last two dimensions."""
        tensor = self.builder.tensor(value, node)
        if tensor.extent != "full" or (self.builder.rank or 0) < 2 or self.builder.axis is not None:
            raise Refused(f"{operation} of this value", node)
        if self.builder.fixed in ("conv", "convt", "window"):
            raise Refused(f"{operation} of a convolution", node)
        self.builder.texts["needs_columns"] = "yes"
        shift = number(diagonal)
        if shift is None:
            raise Refused(f"{operation} with this diagonal", node)
        return self.emit(operation, [tensor, float(shift)], node)

    def _call_tril(self, args: list[Any], keywords: dict[str, Any], node: ast.AST) -> Any:
        value, diagonal = bind("input diagonal=0", args, keywords, "tril", node)
        return self.triangle(value, "tril", diagonal, node)

    def _call_triu(self, args: list[Any], keywords: dict[str, Any], node: ast.AST) -> Any:
        value, diagonal = bind("input diagonal=0", args, keywords, "triu", node)
        return self.triangle(value, "triu", diagonal, node)
