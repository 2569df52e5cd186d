"""What calling a layer of ``torch.nn`` means, where it has weights or more than one form."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING, Any

from kernelllm_jupyter.starter.domain import Layer, Number, Refused, Spec, WeightRef
from kernelllm_jupyter.starter.elementwise import bind, number
from kernelllm_jupyter.starter.evaluate import plain

if TYPE_CHECKING:
    from kernelllm_jupyter.starter.calls import Calls

__all__ = ["Layers", "parameters"]

_CONV = (
    "in_channels out_channels kernel_size stride=1 padding=0 dilation=1 groups=1 bias=True "
    "padding_mode='zeros' device=None dtype=None"
)
_TURNED = (
    "in_channels out_channels kernel_size stride=1 padding=0 output_padding=0 groups=1 bias=True "
    "dilation=1 padding_mode='zeros' device=None dtype=None"
)
_BATCH = (
    "num_features eps=1e-5 momentum=0.1 affine=True track_running_stats=True device=None dtype=None"
)
_INSTANCE = (
    "num_features eps=1e-5 momentum=0.1 affine=False track_running_stats=False device=None "
    "dtype=None"
)
_GROUP = "num_groups num_channels eps=1e-5 affine=True device=None dtype=None"
_LINEAR = "in_features out_features bias=True device=None dtype=None"
_LAYER_NORM = "normalized_shape eps=None elementwise_affine=True bias=True device=None dtype=None"
_MAX = "kernel_size stride=None padding=0 dilation=1 return_indices=False ceil_mode=False"
_AVERAGE = (
    "kernel_size stride=None padding=0 ceil_mode=False count_include_pad=True divisor_override=None"
)
#: Layers whose attributes hold a tuple whatever the constructor was given.


def _dims(kind: str) -> int:
    return int(kind[-2])


def _labels(signature: str) -> list[str]:
    return [parameter.partition("=")[0] for parameter in signature.split()]


class Layers:
    """Dispatches a layer by its kind."""

    def __init__(self, calls: Calls):
        self.calls = calls
        self.tracer = calls.tracer

    def __call__(self, layer: Layer, args: list[Any], node: ast.Call) -> Any:
        kind, apply = layer.kind, self.tracer.apply
        weights = self.tracer.layer_weights(layer)
        pair = (weights.get("weight"), weights.get("bias"))
        if kind == "Linear":
            return apply("linear", [args[0], *pair], node)
        if kind.startswith("Conv") and kind[-1] == "d":
            return self._convolution(layer, args, pair, node)
        if kind in ("LayerNorm", "RMSNorm"):
            sizes, eps = self.calls.settings(layer, _LAYER_NORM)[:2]
            if eps is None:
                eps = 1e-5 if kind == "LayerNorm" else 1.1920928955078125e-07
            operation = "layer_norm" if kind == "LayerNorm" else "rms_norm"
            return apply("layer_norm", [operation, args[0], plain(sizes), pair, eps], node)
        if kind == "PReLU":
            return apply("call", ["prelu", [args[0], weights["weight"]], {}], node)
        if kind.startswith("InstanceNorm"):
            eps, _, _, tracked = self.calls.settings(layer, _INSTANCE)[1:5]
            if plain(tracked):
                raise Refused(f"nn.{kind} with running statistics", layer.line)
            return apply("instance_norm", [args[0], _dims(kind), pair, eps], node)
        if kind == "GroupNorm":
            groups, _, eps = self.calls.settings(layer, _GROUP)[:3]
            return apply("group_norm", [args[0], groups, pair, eps], node)
        if kind.startswith("BatchNorm"):
            return self._batch_norm(layer, args, pair, node)
        if kind.startswith(("MaxPool", "AvgPool")):
            return self._pool(layer, args, node)
        if kind.startswith("Adaptive") and "Pool" in kind:
            size = self.calls.settings(layer, "output_size return_indices=False")[0]
            operation = "avg_pool" if "Avg" in kind else "max_pool"
            return apply("adaptive", [operation, _dims(kind), args[0], size], node)
        if kind == "Flatten":
            first, last = self.calls.settings(layer, "start_dim=1 end_dim=-1")
            return self.tracer.views(args[0], "flatten", [first, last], {}, node)
        if kind == "Unflatten":
            dim, sizes = self.calls.settings(layer, "dim unflattened_size")
            return self.tracer.views(args[0], "unflatten", [dim, sizes], {}, node)
        if kind == "Softmax2d":
            return apply("call", ["softmax", [args[0], 1], {}], node)
        raise Refused(f"nn.{kind}", layer.line)

    def _batch_norm(
        self, layer: Layer, args: list[Any], pair: tuple[Any, Any], node: ast.Call
    ) -> Any:
        """In training mode, as modules are made, by the batch's own statistics."""
        value = self.tracer.made(args[0], node)
        shape = value.spec.shape
        eps = self.calls.settings(layer, _BATCH)[1]
        if shape is None or len(shape) < 2:
            raise Refused(f"nn.{layer.kind} of a tensor whose shape is not known", layer.line)
        if layer.node is not None and self.tracer.in_forward:
            self.tracer.require(f"{ast.unparse(layer.node)}.training", "True")
        dims = len(shape) - 2
        return self.tracer.apply("channel_norm", [args[0], dims, pair, eps], node)

    def _convolution(
        self, layer: Layer, args: list[Any], pair: tuple[Any, Any], node: ast.Call
    ) -> Any:
        turned, dims = "Transpose" in layer.kind, _dims(layer.kind)
        signature = _TURNED if turned else _CONV
        found = dict(zip(_labels(signature), self.calls.settings(layer, signature), strict=True))
        if plain(found["padding_mode"]) != "zeros":
            raise Refused(f"nn.{layer.kind} with padding_mode", layer.line)
        settings = {
            key: _as_stored(value, dims) if key != "groups" else value
            for key, value in found.items()
            if key in ("stride", "padding", "dilation", "groups", "output_padding")
        }
        if plain(settings["padding"]) == "same":
            settings["padding"] = _same(found, dims, layer)
        return self.tracer.apply("convolution", [args[0], *pair, settings, dims, turned], node)

    def _pool(self, layer: Layer, args: list[Any], node: ast.Call) -> Any:
        operation, signature = ("max_pool", _MAX)
        if layer.kind.startswith("Avg"):
            operation, signature = "avg_pool", _AVERAGE
        values = self.calls.settings(layer, signature)
        settings = dict(zip(_labels(signature), values, strict=True))
        if layer.kind == "AvgPool1d":
            for key in ("kernel_size", "stride", "padding"):
                settings[key] = _as_stored(settings[key], 1)
        return self.tracer.apply("pool", [operation, _dims(layer.kind), args[0], settings], node)


def _as_stored(value: Any, dims: int) -> Any:
    """A setting that is read from the layer, which keeps it as a tuple."""
    if isinstance(value, Number) and number(value) is not None:
        return Number(value.node, (value.value,) * dims, value.free, value.known)
    return value


def _same(found: dict[str, Any], dims: int, layer: Layer) -> Any:
    """The padding that keeps the size, for odd kernels."""
    reach = plain(found["kernel_size"])
    reaches = list(reach) if isinstance(reach, (tuple, list)) else [reach] * dims
    gap = plain(found["dilation"])
    gaps = list(gap) if isinstance(gap, (tuple, list)) else [gap] * dims
    if any(step * (size - 1) % 2 for size, step in zip(reaches, gaps, strict=True)):
        raise Refused("padding='same' of an even kernel", layer.line)
    return tuple(step * (size - 1) // 2 for size, step in zip(reaches, gaps, strict=True))


def parameters(layer: Layer, path: ast.expr) -> dict[str, WeightRef] | None:
    """The parameters of a layer with a matrix or with channels; None for other kinds."""

    def reference(name: str, *shape: Any) -> WeightRef:
        node = ast.Attribute(value=path, attr=name, ctx=ast.Load())
        return WeightRef(node, Spec(tuple(shape)))

    kind = layer.kind
    if kind == "Linear":
        ins, outs, bias = bind(_LINEAR, layer.args, layer.keywords, kind, layer.line)[:3]
        found = {"weight": reference("weight", _int(outs), _int(ins))}
        return found | ({"bias": reference("bias", _int(outs))} if plain(bias) else {})
    if kind.startswith("Conv") and kind[-1] == "d":
        turned = "Transpose" in kind
        signature = _TURNED if turned else _CONV
        values = bind(signature, layer.args, layer.keywords, kind, layer.line)
        setting = dict(zip(_labels(signature), values, strict=True))
        ins, outs = _int(setting["in_channels"]), _int(setting["out_channels"])
        groups = _int(setting["groups"]) or 1
        reach = plain(setting["kernel_size"])
        reaches = list(reach) if isinstance(reach, (tuple, list)) else [reach] * _dims(kind)
        sizes = [_int(item) for item in reaches]
        first, second = (ins, outs) if turned else (outs, ins)
        shared = None if second is None else second // groups
        found = {"weight": reference("weight", first, shared, *sizes)}
        return found | ({"bias": reference("bias", outs)} if plain(setting["bias"]) else {})
    if kind.startswith(("BatchNorm", "InstanceNorm")):
        signature = _BATCH if kind.startswith("Batch") else _INSTANCE
        count, _, _, affine = bind(signature, layer.args, layer.keywords, kind, layer.line)[:4]
    elif kind == "GroupNorm":
        _, count, _, affine = bind(_GROUP, layer.args, layer.keywords, kind, layer.line)[:4]
    else:
        return None
    if not plain(affine):
        return {}
    return {name: reference(name, _int(count)) for name in ("weight", "bias")}


def _int(value: Any) -> int | None:
    known = number(value)
    return None if known is None else int(known)
