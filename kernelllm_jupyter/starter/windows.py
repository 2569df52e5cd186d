"""Convolutions and pooling, brought to three dimensions by views."""

from __future__ import annotations

import ast
from typing import Any

from kernelllm_jupyter.starter.builder import Builder
from kernelllm_jupyter.starter.domain import Number, Refused, TensorInput, WeightRef
from kernelllm_jupyter.starter.elementwise import bind, number
from kernelllm_jupyter.starter.products import Products

__all__ = ["Windows"]

_DEEPEN = {1: "{x}[:, :, None, None]", 2: "{x}.unsqueeze(2)", 3: "{x}"}
_FLATTEN = {1: ".flatten(2)", 2: ".squeeze(2)", 3: ""}


class Windows(Products):
    """Adds ``conv1d`` to ``conv3d``, their transposed forms, and pooling."""

    def _deep(self, leaf: Any, dims: int) -> Any:
        """``leaf`` as five-dimensional: batch, channels, depth, height, width."""
        if dims == 3:
            return leaf
        shape = leaf.spec.shape
        deep = None if shape is None else (*shape[:2], *(1,) * (3 - dims), *shape[2:])
        return self.program.view(leaf, _DEEPEN[dims], deep, "5d")

    def _three(
        self, value: Any, dims: int, fill: int, name: str, node: ast.AST | None
    ) -> tuple[list[int], str]:
        """A setting of ``dims`` numbers as three: their values, and how ``forward`` writes them."""
        from kernelllm_jupyter.starter.program import text_of

        plain = value.value if isinstance(value, Number) else value
        if isinstance(plain, (tuple, list)):
            numbers = [number(item) for item in plain]
            numbers = numbers * dims if len(numbers) == 1 else numbers
            text = text_of(value, node)
            text = f"*{text}" if len(plain) == dims else f"*({text} * {dims})"
        else:
            numbers = [number(value)] * dims
            text = ", ".join([text_of(value, node)] * dims)
        if len(numbers) != dims or any(item is None for item in numbers):
            raise Refused(f"{name} that is not known before the call", node)
        if isinstance(plain, (tuple, list)) and not isinstance(value, Number):
            text = ", ".join(text_of(item, node) for item in (plain * dims)[:dims])
        extra = [fill] * (3 - dims)
        whole = ", ".join([*map(str, extra), text])
        return [*extra, *(int(item) for item in numbers if item is not None)], f"({whole})"

    def convolution(
        self,
        value: Any,
        weight: Any,
        bias: Any,
        settings: dict[str, Any],
        dims: int,
        turned: bool,
        node: ast.AST | None,
    ) -> Any:
        """A convolution of ``dims`` dimensions, or a transposed one, and its bias."""
        leaf, kernel = self.program.made(value), self.program.made(weight)
        shape, taps = leaf.spec.shape, kernel.spec.shape
        if shape is None or taps is None or len(shape) != dims + 2 or len(taps) != dims + 2:
            raise Refused("a convolution of tensors whose shapes are not known", node)
        padding = _in_numbers(settings.get("padding", 0), node)
        step, step_text = self._three(settings.get("stride", 1), dims, 1, "a stride", node)
        pad, pad_text = self._three(padding, dims, 0, "a padding", node)
        gap, gap_text = self._three(settings.get("dilation", 1), dims, 1, "a dilation", node)
        groups = settings.get("groups", 1)
        count = number(groups)
        if count is None:
            raise Refused("groups that are not known before the call", node)
        from kernelllm_jupyter.starter.program import text_of

        more, more_text = [0, 0, 0], "(0, 0, 0)"
        if turned:
            more, more_text = self._three(
                settings.get("output_padding", 0), dims, 0, "an output_padding", node
            )
        spatial = _convolved(shape[2:], taps[2:], step, pad, gap, more if turned else None)
        outs = taps[1] * int(count) if turned and taps[1] is not None else taps[0]
        region = Builder()
        region.texts |= {
            "step": step_text,
            "pad": pad_text,
            "gap": gap_text,
            "more": more_text,
            "groups": text_of(groups, node),
            "post": _FLATTEN[dims],
        }
        kind = "convt" if turned else "conv"
        layout = kind
        if not turned and taps[1] == 1 and count > 1:
            kind, layout = "depthwise", "window"
        operands = [self._deep(leaf, dims), self._deep(kernel, dims)]
        whole = (shape[0], outs, *spatial)
        result = region.begin(layout, kind, operands, whole)  # type: ignore[arg-type]
        if bias is None:
            return result
        return self.program.apply("biased", [result, bias, dims], node)

    def biased(self, value: Any, bias: Any, dims: int, node: ast.AST | None) -> Any:
        """One number per channel added."""
        return self.emit("add", [value, self.per_channel(bias, dims)], node)

    def per_channel(self, weight: Any, dims: int) -> Any:
        """A vector as it broadcasts over what stands behind the channels."""
        if dims == 0:
            return weight
        shape = weight.spec.shape
        spec = type(weight.spec)((*(shape or (None,)), *(1,) * dims))
        if isinstance(weight, WeightRef):
            return WeightRef(weight.node, spec)
        return TensorInput(weight.name, spec, weight.made)

    def _conv(
        self, dims: int, turned: bool, args: list[Any], keywords: dict[str, Any], node: ast.AST
    ) -> Any:
        names = "input weight bias=None stride=1 padding=0 dilation=1 groups=1"
        if turned:
            names = "input weight bias=None stride=1 padding=0 output_padding=0 groups=1 dilation=1"
        values = bind(names, args, keywords, "conv", node)
        labels = [part.partition("=")[0] for part in names.split()]
        settings = dict(zip(labels[3:], values[3:], strict=True))
        value, weight, bias = values[:3]
        return self.convolution(value, weight, bias, settings, dims, turned, node)

    def _call_conv1d(self, args: list[Any], keywords: dict[str, Any], node: ast.AST) -> Any:
        return self._conv(1, False, args, keywords, node)

    def _call_conv2d(self, args: list[Any], keywords: dict[str, Any], node: ast.AST) -> Any:
        return self._conv(2, False, args, keywords, node)

    def _call_conv3d(self, args: list[Any], keywords: dict[str, Any], node: ast.AST) -> Any:
        return self._conv(3, False, args, keywords, node)

    def _call_conv_transpose1d(
        self, args: list[Any], keywords: dict[str, Any], node: ast.AST
    ) -> Any:
        return self._conv(1, True, args, keywords, node)

    def _call_conv_transpose2d(
        self, args: list[Any], keywords: dict[str, Any], node: ast.AST
    ) -> Any:
        return self._conv(2, True, args, keywords, node)

    def _call_conv_transpose3d(
        self, args: list[Any], keywords: dict[str, Any], node: ast.AST
    ) -> Any:
        return self._conv(3, True, args, keywords, node)

    # -- pooling ----------------------------------------------------------------------------------

    def pool(
        self, operation: str, dims: int, value: Any, settings: dict[str, Any], node: ast.AST | None
    ) -> Any:
        """Maximum or average over windows."""
        leaf = self.program.made(value)
        shape = leaf.spec.shape
        if shape is None or len(shape) != dims + 2:
            raise Refused("pooling of a tensor whose shape is not known", node)
        for label in ("ceil_mode", "return_indices"):
            flag = settings.get(label, False)
            if (flag.value if isinstance(flag, Number) else flag) is not False:
                raise Refused(f"pooling with {label}", node)
        if settings.get("divisor_override") is not None:
            raise Refused("pooling with divisor_override", node)
        window = settings["kernel_size"]
        stride = settings.get("stride")
        stride = window if stride is None or getattr(stride, "value", 0) is None else stride
        reach, reach_text = self._three(window, dims, 1, "a kernel_size", node)
        step, step_text = self._three(stride, dims, 1, "a stride", node)
        pad, pad_text = self._three(settings.get("padding", 0), dims, 0, "a padding", node)
        gap, gap_text = self._three(settings.get("dilation", 1), dims, 1, "a dilation", node)
        spatial = [
            None
            if shape[place] is None
            else (shape[place] + 2 * pad[at] - gap[at] * (reach[at] - 1) - 1) // step[at] + 1
            for place, at in zip(range(2, 2 + dims), range(3 - dims, 3), strict=True)
        ]
        inside = settings.get("count_include_pad", True)
        inside = inside.value if isinstance(inside, Number) else inside
        if operation == "avg_pool" and inside is False:
            operation = "avg_pool_inside"
        region = Builder()
        region.texts |= {
            "reach": reach_text,
            "step": step_text,
            "pad": pad_text,
            "gap": gap_text,
            "post": _FLATTEN[dims],
        }
        whole = (*shape[:2], *spatial)
        return region.begin("window", operation, [self._deep(leaf, dims)], whole)

    def _pooled(
        self, operation: str, dims: int, args: list[Any], keywords: dict[str, Any], node: ast.AST
    ) -> Any:
        names = (
            "input kernel_size stride=None padding=0 dilation=1 ceil_mode=False "
            "return_indices=False"
        )
        if operation == "avg_pool":
            names = (
                "input kernel_size stride=None padding=0 ceil_mode=False count_include_pad=True "
                "divisor_override=None"
            )
        values = bind(names, args, keywords, operation, node)
        labels = [part.partition("=")[0] for part in names.split()]
        return self.pool(operation, dims, values[0], dict(zip(labels, values, strict=True)), node)

    def _call_max_pool1d(self, args: list[Any], keywords: dict[str, Any], node: ast.AST) -> Any:
        return self._pooled("max_pool", 1, args, keywords, node)

    def _call_max_pool2d(self, args: list[Any], keywords: dict[str, Any], node: ast.AST) -> Any:
        return self._pooled("max_pool", 2, args, keywords, node)

    def _call_max_pool3d(self, args: list[Any], keywords: dict[str, Any], node: ast.AST) -> Any:
        return self._pooled("max_pool", 3, args, keywords, node)

    def _call_avg_pool1d(self, args: list[Any], keywords: dict[str, Any], node: ast.AST) -> Any:
        return self._pooled("avg_pool", 1, args, keywords, node)

    def _call_avg_pool2d(self, args: list[Any], keywords: dict[str, Any], node: ast.AST) -> Any:
        return self._pooled("avg_pool", 2, args, keywords, node)

    def _call_avg_pool3d(self, args: list[Any], keywords: dict[str, Any], node: ast.AST) -> Any:
        return self._pooled("avg_pool", 3, args, keywords, node)

    def adaptive(self, operation: str, dims: int, value: Any, size: Any, node: ast.AST) -> Any:
        """Adaptive pooling to one element: a reduction of the spatial dimensions."""
        size = size.value if isinstance(size, Number) else size
        sizes = list(size) if isinstance(size, (tuple, list)) else [size] * dims
        if any(number(item) != 1 for item in sizes):
            raise Refused("adaptive pooling to more than one element", node)
        reduced = "mean" if operation == "avg_pool" else "max"
        return self.reduce(reduced, value, tuple(range(-dims, 0)), True, node)


def _in_numbers(padding: Any, node: ast.AST | None) -> Any:
    """A convolution's padding without the word that stands for none."""
    if isinstance(padding, Number) and isinstance(padding.value, str):
        padding = padding.value
    if not isinstance(padding, str):
        return padding
    if padding != "valid":
        raise Refused(f"padding={padding!r}", node)
    return 0


def _convolved(
    sizes: tuple[int | None, ...],
    taps: tuple[int | None, ...],
    step: list[int],
    pad: list[int],
    gap: list[int],
    more: list[int] | None,
) -> list[int | None]:
    """The sizes of a convolution's result; with ``more``, its output padding, of a transposed one.

    ``step``, ``pad``, ``gap`` and ``more`` are of three dimensions, of which the last ones count.
    """
    found: list[int | None] = []
    for place in range(-len(sizes), 0):
        size, tap = sizes[place], taps[place]
        if size is None or tap is None:
            found.append(None)
        elif more is not None:
            grown = (size - 1) * step[place] - 2 * pad[place] + gap[place] * (tap - 1)
            found.append(grown + more[place] + 1)
        else:
            found.append((size + 2 * pad[place] - gap[place] * (tap - 1) - 1) // step[place] + 1)
    return found
