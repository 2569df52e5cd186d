"""What each PyTorch function means in operations of the model.

Spellings are brought together here (``x ** 2``, ``x.pow(2)``, ``torch.square(x)``), defaults that
the source leaves out are put in, and composite functions are taken apart where PyTorch's own
documentation gives the formula. How an operation is written in Triton is the model's business.
"""

from __future__ import annotations

import ast
from typing import Any, cast

from kernelllm_jupyter.starter.builder import Axis, numel
from kernelllm_jupyter.starter.domain import Number, Refused, Tensor, TensorInput
from kernelllm_jupyter.starter.elementwise import bind, number
from kernelllm_jupyter.starter.graph import Graph, Layout, Stored
from kernelllm_jupyter.starter.vocabulary import ALIASES, FUNCTIONS, REDUCTIONS
from kernelllm_jupyter.starter.windows import Windows

__all__ = ["Lowering", "covers"]


#: Rows of more elements are gone over block by block; of lines along another dimension, too.
_ONE_BLOCK = {"rows": 1 << 13, "lines": 1 << 9, "channel": 1 << 12}


class Lowering(Windows):
    """Turns calls into operations of a :class:`~.builder.Builder`; adds norms and losses."""

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

    def _reduced(self, value: Any, reduction: str, node: ast.AST) -> Any:
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

    def _call_hinge_embedding_loss(
        self, args: list[Any], keywords: dict[str, Any], node: ast.AST
    ) -> Any:
        names = "input target margin=1.0 _size_average=None _reduce=None reduction='mean'"
        value, target, margin, reduction = bind(names, args, keywords, "hinge", node)
        far = self.emit("clamp_min", [self.emit("sub", [margin, value], node), 0.0], node)
        is_same = self.emit("gt", [target, 0.0], node)
        return self._reduced(self.emit("where", [is_same, value, far], node), reduction, node)

    def _call_margin_ranking_loss(
        self, args: list[Any], keywords: dict[str, Any], node: ast.AST
    ) -> Any:
        names = "input1 input2 target margin=0 _size_average=None _reduce=None reduction='mean'"
        first, second, target, margin, reduction = bind(names, args, keywords, "ranking", node)
        product = self.emit("mul", [self.emit("sub", [first, second], node), target], node)
        loss = self.emit("clamp_min", [self.emit("sub", [margin, product], node), 0.0], node)
        return self._reduced(loss, reduction, node)

    def _call_soft_margin_loss(
        self, args: list[Any], keywords: dict[str, Any], node: ast.AST
    ) -> Any:
        pair, reduction = self._loss("", "soft_margin_loss", args, keywords, node)
        product = self.emit("neg", [self.emit("mul", pair, node)], node)
        return self._reduced(self.emit("softplus", [product], node), reduction, node)

    def _call_poisson_nll_loss(
        self, args: list[Any], keywords: dict[str, Any], node: ast.AST
    ) -> Any:
        names = (
            "input target log_input=True full=False _size_average=None eps=1e-8 _reduce=None "
            "reduction='mean'"
        )
        value, target, is_log, full, _, reduction = bind(names, args, keywords, "poisson", node)
        if full is not False or is_log is not True:
            raise Refused("poisson_nll_loss with full or without log_input", node)
        product = self.emit("mul", [target, value], node)
        loss = self.emit("sub", [self.emit("exp", [value], node), product], node)
        return self._reduced(loss, reduction, node)

    def _call_kl_div(self, args: list[Any], keywords: dict[str, Any], node: ast.AST) -> Any:
        names = "input target _size_average=None _reduce=None reduction='mean' log_target=False"
        value, target, reduction, is_log = bind(names, args, keywords, "kl_div", node)
        if is_log is True:
            weight = self.emit("exp", [target], node)
            loss = self.emit("mul", [weight, self.emit("sub", [target, value], node)], node)
        else:
            entropy = self.emit("xlogx", [target], node)
            loss = self.emit("sub", [entropy, self.emit("mul", [target, value], node)], node)
        if reduction != "batchmean":
            return self._reduced(loss, reduction, node)
        shape = self.builder.shape
        leaf = (
            next(v for v in (value, target) if isinstance(v, TensorInput))
            if any(isinstance(v, TensorInput) for v in (value, target))
            else self.program.made(value)
        )
        if shape is None:
            raise Refused("kl_div of tensors whose shapes are not known", node)
        place = ast.parse(f"{leaf.text}.shape[0]", mode="eval").body
        count = Number(place, shape[0], known=shape[0] is not None)
        total = self.reduce("sum", loss, None, False, node)
        return self.program.apply("emit_all", ["div", [total, count]], node)

    def _call_cross_entropy(self, args: list[Any], keywords: dict[str, Any], node: ast.AST) -> Any:
        names = (
            "input target weight=None _size_average=None ignore_index=-100 _reduce=None "
            "reduction='mean' label_smoothing=0.0"
        )
        found = bind(names, args, keywords, "cross_entropy", node)
        value, target, weight, _, reduction, smoothing = found
        if weight is not None or number(smoothing) != 0:
            raise Refused("cross_entropy with weights or label_smoothing", node)
        dim = self._class_dim(value, node)
        if not _is_index(target):
            logs = self.row("log_softmax", [value], dim, node)
            product = self.emit("mul", [logs, target], node)
            rows = self.emit("neg", [self.reduce("sum", product, dim, False, node)], node)
        else:
            peak = self.reduce("logsumexp", value, dim, False, node)
            rows = self.emit("sub", [peak, self._picked(value, target, dim, node)], node)
        return rows if reduction == "none" else self.reduce(reduction, rows, None, False, node)

    def _call_nll_loss(self, args: list[Any], keywords: dict[str, Any], node: ast.AST) -> Any:
        names = (
            "input target weight=None _size_average=None ignore_index=-100 _reduce=None "
            "reduction='mean'"
        )
        value, target, weight, _, reduction = bind(names, args, keywords, "nll_loss", node)
        if weight is not None:
            raise Refused("nll_loss with weights", node)
        dim = self._class_dim(value, node)
        rows = self.emit("neg", [self._picked(value, target, dim, node)], node)
        return rows if reduction == "none" else self.reduce(reduction, rows, None, False, node)

    def _class_dim(self, value: Any, node: ast.AST) -> int:
        self.builder.tensor(value, node)
        rank = self.builder.rank
        if rank is None or rank < 2:
            raise Refused("classes of a tensor whose shape is not known", node)
        return 1 if rank > 2 else -1

    def _picked(self, value: Any, target: Any, dim: int, node: ast.AST) -> Tensor:
        if not _is_index(target):
            raise Refused("a target that is no class index", node)
        self.axis(dim, node)
        classes = self.builder.per_row(target)
        tensor = self._row_input(value, "pick", node)
        return self.emit("pick", [tensor, classes], node, extent="drop")

    def _call_triplet_margin_loss(
        self, args: list[Any], keywords: dict[str, Any], node: ast.AST
    ) -> Any:
        names = (
            "anchor positive negative margin=1.0 p=2 eps=1e-6 swap=False _size_average=None "
            "_reduce=None reduction='mean'"
        )
        found = bind(names, args, keywords, "triplet_margin_loss", node)
        anchor, near, far, margin, p, eps, swap, reduction = found
        if swap is not False:
            raise Refused("triplet_margin_loss with swap", node)
        distances = [
            self._call_pairwise_distance([anchor, other, p, eps], {}, node) for other in (near, far)
        ]
        gap = self.emit("sub", distances, node)
        loss = self.emit("clamp_min", [self.emit("add", [gap, margin], node), 0.0], node)
        return loss if reduction == "none" else self.reduce(reduction, loss, None, False, node)

    def _call_cosine_embedding_loss(
        self, args: list[Any], keywords: dict[str, Any], node: ast.AST
    ) -> Any:
        raise Refused("cosine_embedding_loss", node)

    # -- norms with channels ----------------------------------------------------------------------

    def channel_norm(
        self, value: Any, dims: int, weights: tuple[Any, Any], eps: Any, node: ast.AST | None
    ) -> Any:
        """Batch normalisation by the batch's own mean and variance."""
        axis = 0 if dims == 0 else (0, *range(2, 2 + dims))
        result = self.row("layer_norm", [value, eps], axis, node)
        return self._affine(result, weights, dims, node)

    def _affine(self, value: Any, weights: tuple[Any, Any], dims: int, node: ast.AST | None) -> Any:
        for kind, weight in zip(("mul", "add"), weights, strict=True):
            if weight is not None:
                value = self.emit(kind, [value, self.per_channel(weight, dims)], node)
        return value

    def instance_norm(
        self, value: Any, dims: int, weights: tuple[Any, Any], eps: Any, node: ast.AST | None
    ) -> Any:
        """Each channel of each element of the batch by itself."""
        result = self.row("layer_norm", [value, eps], tuple(range(-dims, 0)), node)
        return self._affine(result, weights, dims, node)

    def group_norm(
        self, value: Any, groups: Any, weights: tuple[Any, Any], eps: Any, node: ast.AST | None
    ) -> Any:
        """Groups of channels of each element of the batch: contiguous rows."""
        from kernelllm_jupyter.starter.program import text_of

        tensor = self._row_input(value, "group_norm", node)
        rank, count = self.builder.rank, number(groups)
        if rank is None or rank < 2 or count is None or self.builder.axis is not None:
            raise Refused("group_norm of this tensor", node)
        size = f"{{x}}.shape[1:].numel() // {text_of(groups, node)}"
        self.builder.axis = Axis("rows", None, rank, size, "", "")
        self.builder.texts["groups"] = str(int(count))
        result = self.emit("layer_norm", [tensor, eps], node)
        return self._affine(result, weights, rank - 2, node)

    # -- the end ----------------------------------------------------------------------------------

    def close(self, result: Tensor) -> tuple[Layout, Stored]:
        """How the result is laid out and stored, now that everything is known."""
        axis = self.builder.axis
        if self.builder.fixed is not None:
            if result.extent != "full":
                raise Refused("a result that depends on no input")
            return self.builder.fixed, "block"
        if axis is None or not self.builder.reduces(result):
            if result.extent not in ("full", "scalar", "total"):
                raise Refused("a result that depends on no input")
            return "flat", "block"
        stored: dict[str, Stored] = {"full": "block", "keep": "one", "drop": "one", "total": "one"}
        stored["rowtotal"] = "rowsum" if self.builder.over_rows == "sum" else "rowmean"
        if result.extent not in stored:
            raise Refused("a result that depends on no input")
        found = stored[result.extent]
        if self.builder.is_index(result):
            found = "index"
        return self._schedule(axis), found

    def _schedule(self, axis: Axis) -> Layout:
        size = self._row_length(axis)
        if size is not None and size > _ONE_BLOCK[axis.kind]:
            return cast(Layout, f"long_{axis.kind}")
        return axis.kind

    def _row_length(self, axis: Axis) -> int | None:
        shape = self.builder.shape
        if shape is None:
            return None
        if axis.kind == "channel":
            whole = numel(shape)
            return None if whole is None or not shape[1] else whole // shape[1]
        if "groups" in self.builder.texts:
            whole = numel(shape[1:])
            return None if whole is None else whole // int(self.builder.texts["groups"])
        if axis.first is None or axis.first < 0:
            return None
        return numel(shape[axis.first : axis.first + axis.count])

    def texts(self, result: Tensor, graph: Graph) -> dict[str, str]:
        """The expressions of ``forward`` that belong to the user's module."""
        builder = self.builder
        if builder.fixed is not None:
            return {k: v for k, v in builder.texts.items() if k != "post"}
        found: dict[str, str] = {}
        axis = builder.axis
        if graph.layout not in ("flat", "total") and axis is not None:
            found["size"] = axis.size
            found["stride"] = axis.stride
            found["shape"] = axis.kept if result.extent == "keep" else axis.dropped
        if "needs_columns" in builder.texts:
            found["needs_columns"] = "yes"
        return found


def covers(name: str) -> bool:
    """Whether ``name`` is a function of tensors that can be lowered."""
    name = ALIASES.get(name, name)
    return name in FUNCTIONS or name in REDUCTIONS or hasattr(Lowering, f"_call_{name}")


def _is_index(value: Any) -> bool:
    return isinstance(value, TensorInput) and "int" in value.spec.dtype
