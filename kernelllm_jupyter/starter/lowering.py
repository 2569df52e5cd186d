"""What each PyTorch function means in operations of the model.

Spellings are brought together here (``x ** 2``, ``x.pow(2)``, ``torch.square(x)``), defaults that
the source leaves out are put in, and composite functions are taken apart where PyTorch's own
documentation gives the formula. How an operation is written in Triton is the model's business.
"""

from __future__ import annotations

import ast
import math
from typing import Any, cast

from kernelllm_jupyter.starter.builder import Axis
from kernelllm_jupyter.starter.domain import Refused, Tensor
from kernelllm_jupyter.starter.elementwise import bind
from kernelllm_jupyter.starter.graph import Layout, Stored
from kernelllm_jupyter.starter.rows import Rows
from kernelllm_jupyter.starter.vocabulary import ALIASES, FUNCTIONS, REDUCTIONS

__all__ = ["Lowering"]


class Lowering(Rows):
    """Turns calls into operations of a :class:`~.builder.Builder`; adds the losses."""

    def covers(self, name: str) -> bool:
        name = ALIASES.get(name, name)
        return name in FUNCTIONS or name in REDUCTIONS or hasattr(self, f"_call_{name}")

    def call(self, name: str, args: list[Any], keywords: dict[str, Any], node: ast.AST) -> Any:
        """The value of ``name(*args, **keywords)``; ``name`` without its module."""
        name = ALIASES.get(name, name)
        for wide, narrow in (("axis", "dim"), ("keepdims", "keepdim")):
            if wide in keywords:
                keywords[narrow] = keywords.pop(wide)
        if name == "add" or name == "sub":
            keywords, args = self._scaled(args, keywords, node)
        special = getattr(self, f"_call_{name}", None)
        if special is not None:
            return special(args, keywords, node)
        if name in REDUCTIONS:
            operation, _, signature = REDUCTIONS[name].partition(" ")
            value, dims, keepdim = bind(signature, args, keywords, name, node)
            return self.reduce(operation, value, dims, keepdim, node)
        if name in FUNCTIONS:
            operation, _, signature = FUNCTIONS[name].partition(" ")
            return self.pointwise(operation, bind(signature, args, keywords, name, node), node)
        raise Refused(f"{name}()", node)

    # -- losses -----------------------------------------------------------------------------------

    def _loss(
        self, names: str, name: str, args: list[Any], keywords: dict[str, Any], node: ast.AST
    ) -> tuple[list[Any], str]:
        names = f"input target _size_average=None _reduce=None reduction='mean'{names}"
        first, second, reduction, *rest = bind(names, args, keywords, name, node)
        return [first, second, *rest], reduction

    def _reduced(self, value: Tensor, reduction: str, node: ast.AST) -> Tensor:
        if reduction == "none":
            return value
        if reduction not in ("mean", "sum"):
            raise Refused(f"a loss with reduction={reduction!r}", node)
        return self.reduce(reduction, value, None, False, node)

    def _call_mse_loss(self, args: list[Any], keywords: dict[str, Any], node: ast.AST) -> Any:
        pair, reduction = self._loss("", "mse_loss", args, keywords, node)
        error = self.emit("square", [self.emit("sub", pair, node)], node)
        return self._reduced(error, reduction, node)

    def _call_binary_cross_entropy_with_logits(
        self, args: list[Any], keywords: dict[str, Any], node: ast.AST
    ) -> Any:
        names = "input target reduction='mean'"
        logits, target, reduction = bind(names, args, keywords, "bce_with_logits", node)
        linear = self.emit("sub", [logits, self.emit("mul", [logits, target], node)], node)
        # As PyTorch has it: (1 - y) x - logsigmoid(x).
        loss = self.emit("sub", [linear, self.emit("logsigmoid", [logits], node)], node)
        return self._reduced(loss, reduction, node)

    def _call_binary_cross_entropy(
        self, args: list[Any], keywords: dict[str, Any], node: ast.AST
    ) -> Any:
        names = "input target reduction='mean'"
        share, target, reduction = bind(names, args, keywords, "binary_cross_entropy", node)
        rest = self.emit("log1p", [self.emit("neg", [share], node)], node)
        logs = [
            self.emit("clamp_min", [value, -100.0], node)
            for value in (self.emit("log", [share], node), rest)
        ]
        first = self.emit("mul", [self.emit("sub", [target, 1.0], node), logs[1]], node)
        second = self.emit("mul", [target, logs[0]], node)
        return self._reduced(self.emit("sub", [first, second], node), reduction, node)

    def _call_l1_loss(self, args: list[Any], keywords: dict[str, Any], node: ast.AST) -> Any:
        pair, reduction = self._loss("", "l1_loss", args, keywords, node)
        return self._reduced(
            self.emit("abs", [self.emit("sub", pair, node)], node), reduction, node
        )

    def _call_smooth_l1_loss(self, args: list[Any], keywords: dict[str, Any], node: ast.AST) -> Any:
        found, reduction = self._loss(" beta=1.0", "smooth_l1_loss", args, keywords, node)
        error = self.emit("sub", found[:2], node)
        return self._reduced(self.emit("smooth_l1", [error, found[2]], node), reduction, node)

    def _call_huber_loss(self, args: list[Any], keywords: dict[str, Any], node: ast.AST) -> Any:
        names = "input target reduction='mean' delta=1.0"
        left, right, reduction, delta = bind(names, args, keywords, "huber_loss", node)
        error = self.emit("sub", [left, right], node)
        return self._reduced(self.emit("huber", [error, delta], node), reduction, node)

    # -- the end ----------------------------------------------------------------------------------

    def close(self, result: Tensor) -> tuple[Layout, Stored]:
        """How the result is laid out and stored, now that everything is known."""
        axis = self.axis(None, None) if self.has_total else self.builder.axis
        if self.has_expanded and result.extent != "full":
            raise Refused("an expanded value as the result")
        if self.builder.is_halved:
            if axis is not None or result.extent != "full":
                raise Refused("a reduction of halves")
            return "half", "block"
        if axis is None:
            return "flat", "block"
        stored: dict[str, Stored] = {"full": "block", "keep": "keep", "drop": "one", "total": "one"}
        stored["rowtotal"] = "rowsum" if self.builder.over_rows == "sum" else "rowmean"
        if result.extent not in stored:
            raise Refused("a result that depends on no input")
        if not self.builder.is_plain_total(result):
            self._must_fit(axis)
        return axis.kind, stored[result.extent]

    def _must_fit(self, axis: Axis) -> None:
        """A row is one block of the Triton kernel, and Triton allows 2**20 elements in one."""
        shape = self.builder.shape
        if shape is None or axis.first is None:
            return
        sizes = shape[axis.first :] if axis.kind == "tail" else (shape[axis.first],)
        if all(size is not None for size in sizes):
            count = math.prod(cast(tuple[int, ...], sizes))
            if count > 2**20:
                raise Refused(f"rows of {count} elements (at most 1048576)")
