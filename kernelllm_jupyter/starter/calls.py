"""What calling something means while a module is traced: layers, tensor methods, ``torch.f``."""

from __future__ import annotations

import ast
import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from kernelllm_jupyter.starter.domain import (
    Bound,
    ClassRef,
    Diagonal,
    Dotted,
    Function,
    Instance,
    Layer,
    Number,
    Refused,
    Sequence,
    Shape,
    Spec,
    Super,
    Tensor,
    TensorInput,
    Unknown,
    WeightRef,
)
from kernelllm_jupyter.starter.elementwise import bind, number
from kernelllm_jupyter.starter.evaluate import describe_callee, is_tensor, plain
from kernelllm_jupyter.starter.layers import Layers, parameters
from kernelllm_jupyter.starter.lowering import covers
from kernelllm_jupyter.starter.views import VIEWS
from kernelllm_jupyter.starter.vocabulary import LAYERS, NUMERIC, UNCHANGED

if TYPE_CHECKING:
    from kernelllm_jupyter.starter.trace import Tracer

__all__ = ["Calls"]

_MAKERS = frozenset(
    {"rand", "randn", "ones", "zeros", "empty", "full", "randint", "tensor", "linspace", "arange"}
    | {
        "rand_like",
        "randn_like",
        "normal",
        "as_tensor",
        "Tensor",
        "eye",
        "FloatTensor",
        "scalar_tensor",
    }
)
_FUNCTION_MODULES = ("torch", "torch.nn.functional", "torch.special", "torch.Tensor")


class Calls:
    """Dispatches a call by what is called."""

    def __init__(self, tracer: Tracer):
        self.tracer = tracer
        self.layers = Layers(self)

    def __call__(
        self, callee: Any, args: list[Any], keywords: dict[str, Any], node: ast.Call
    ) -> Any:
        for value in [*args, *keywords.values()]:
            if isinstance(value, Unknown) and self.tracer.in_forward:
                raise Refused(value.what, node)
        if isinstance(callee, Dotted):
            return self._dotted(callee.name, args, keywords, node)
        if isinstance(callee, Function):
            return self.tracer.inline(callee, args, keywords, node)
        if isinstance(callee, Layer):
            return self._layer(callee, args, node)
        if isinstance(callee, Sequence):
            return self._sequence(callee, args, node)
        if isinstance(callee, Instance):
            return self._instance(callee, args, keywords, node)
        if isinstance(callee, ClassRef):
            return self.tracer.construct(callee.node, args, keywords, node)
        if isinstance(callee, Bound):
            return self._bound(callee, args, keywords, node)
        raise Refused(describe_callee(callee), node)

    # -- modules ----------------------------------------------------------------------------------

    def _instance(
        self, callee: Instance, args: list[Any], keywords: dict[str, Any], node: ast.Call
    ) -> Any:
        found = self.tracer.class_member(callee.cls, "forward")
        if not isinstance(found, ast.FunctionDef):
            raise Refused(f"a call of {callee.cls.name}", node)
        return self.tracer.inline(Function(found, callee), args, keywords, node)

    def _sequence(self, callee: Sequence, args: list[Any], node: ast.Call) -> Any:
        if callee.kind != "Sequential" or len(args) != 1:
            raise Refused(f"a call of nn.{callee.kind}", node)
        value = args[0]
        for layer in self.tracer.evaluate.items(callee, node):
            value = self(layer, [value], {}, node)
        return value

    def _layer(self, layer: Layer, args: list[Any], node: ast.Call) -> Any:
        kind = layer.kind
        self.tracer.assume_layer(layer.node, "type({}).__name__", repr(kind))
        if kind == "Identity":
            return args[0]
        if "Dropout" in kind:
            p = number(bind("p=0.5 inplace=False", layer.args, layer.keywords, kind, node)[0])
            if p == 0:
                return args[0]
            raise Refused(f"nn.{kind} (random while training)", layer.line)
        apply = self.tracer.apply
        if kind in LAYERS:
            name, _, signature = LAYERS[kind].partition(" ")
            keywords = dict(zip(_labels(signature), self.settings(layer, signature), strict=True))
            in_place = plain(keywords.get("inplace", False)) is True
            for ignored in ("inplace", "size_average", "reduce"):
                keywords.pop(ignored, None)
            if keywords.get("dim", 0) is None:
                del keywords["dim"]
            result = apply("call", [name, args, keywords], node)
            if in_place:
                self.tracer.change(args[0], result)
            return result
        return self.layers(layer, args, node)

    def settings(self, layer: Layer, signature: str) -> list[Any]:
        """The layer's arguments; what only its constructor knows is read from the layer."""
        names = " ".join(p if "=" in p else f"{p}=None" for p in signature.split())
        values = bind(names, layer.args, layer.keywords, f"nn.{layer.kind}", layer.line)
        for index, (label, value) in enumerate(zip(_labels(signature), values, strict=True)):
            if isinstance(value, Number) and value.node is None and layer.node is not None:
                place = ast.Attribute(value=layer.node, attr=label, ctx=ast.Load())
                values[index] = replace(value, node=place)
                if isinstance(value.value, (str, bool)):
                    self.tracer.assume(values[index], layer.line)
                    values[index] = value.value
        return values

    # -- torch, math, nn --------------------------------------------------------------------------

    def _dotted(self, name: str, args: list[Any], keywords: dict[str, Any], node: ast.Call) -> Any:
        head, _, last = name.rpartition(".")
        if name in ("torch.nn.Parameter", "torch.nn.parameter.Parameter"):
            spec = args[0] if args else keywords.get("data", keywords.get("tensor"))
            return replace(spec, is_parameter=True) if isinstance(spec, Spec) else spec
        if head in ("torch.nn", "torch.nn.modules"):
            return self._new_layer(last, args, keywords, node)
        if name == "collections.OrderedDict":
            return dict(args[0]) if args else {}
        if head in ("math", "numpy"):
            return self._numeric(head, last, args, node)
        if head == "torch" and last == "diag" and args and is_tensor(args[0]):
            return Diagonal(args[0])
        if any(is_tensor(v) for v in _items([*args, *keywords.values()])):
            return self._function(head, last, args, keywords, node)
        if head == "torch" and last in _MAKERS:
            return self._made(last, args, keywords, node)
        if head == "torch" and last in NUMERIC and args and hasattr(math, last):
            return self._numeric("math", last, args, node)
        if any(isinstance(value, Spec) for value in args):
            return next(value for value in args if isinstance(value, Spec))
        if self.tracer.in_forward:
            raise Refused(name, node)
        return Unknown(name, node.lineno)

    def _function(
        self, head: str, last: str, args: list[Any], keywords: dict[str, Any], node: ast.Call
    ) -> Any:
        if head == "torch.linalg" and last in ("norm", "vector_norm"):
            return self.tracer.apply("vector_norm", [args, keywords], node)
        if last in ("dropout", "alpha_dropout") and plain(keywords.get("training", True)) is False:
            return args[0]
        plain_name = last[:-1] if last.endswith("_") else last
        plain_name = f"special.{last}" if head == "torch.special" else plain_name
        if last in VIEWS and head == "torch":
            return self.tracer.views(args[0], last, args[1:], keywords, node)
        if head not in _FUNCTION_MODULES or not covers(plain_name):
            raise Refused(f"{head}.{last}", node)
        result = self.tracer.apply("call", [plain_name, args, keywords], node)
        if last.endswith("_") or plain(keywords.get("inplace", False)) is True:
            self.tracer.change(args[0], result)
        return result

    def _numeric(self, head: str, last: str, args: list[Any], node: ast.Call) -> Any:
        if any(is_tensor(arg) for arg in args):
            raise Refused(f"{head}.{last} of a tensor", node)
        if head == "numpy" and last in ("float32", "float64"):
            return args[0]
        if last not in NUMERIC or not hasattr(math, last):
            raise Refused(f"{head}.{last}", node)
        return self.tracer.evaluate.function_of_numbers(last, args, node, getattr(math, last))

    def _new_layer(
        self, kind: str, args: list[Any], keywords: dict[str, Any], node: ast.Call
    ) -> Any:
        if kind == "Sequential" and len(args) == 1 and isinstance(args[0], dict):
            return Sequence(kind, dict(args[0]))
        if kind == "Sequential":
            return Sequence(kind, dict(enumerate(args)))
        if kind in ("ModuleList", "ModuleDict"):
            items = args[0] if args else []
            pairs = items if isinstance(items, dict) else dict(enumerate(items))
            return Sequence(kind, dict(pairs))
        return Layer(kind, list(args), dict(keywords), node)

    def _made(self, last: str, args: list[Any], keywords: dict[str, Any], node: ast.Call) -> Any:
        """``torch.randn(4, 8)``: only the shape matters."""
        if last in ("tensor", "as_tensor", "scalar_tensor"):
            value = plain(args[0])
            if self.tracer.in_forward:
                if isinstance(value, (int, float)):
                    return args[0]
                raise Refused("torch.tensor of more than one number", node)
            return Spec(_nested_shape(value), _dtype(keywords, value))
        if last in ("linspace", "arange", "eye", "normal"):
            return Spec(None, _dtype(keywords, 0.0))
        dtype = _dtype(keywords, 0.0 if last != "randint" else 0)
        if last == "full":
            sizes = args[0] if args else keywords.get("size")
        elif last == "randint":
            tuples = [value for value in args if isinstance(value, (tuple, list))]
            sizes = tuples[0] if tuples else keywords.get("size")
        else:
            one = args[0] if len(args) == 1 else keywords.get("size") if not args else None
            is_sequence = isinstance(plain(one), (tuple, list))
            sizes = plain(one) if is_sequence else args
        if sizes is None:
            return Spec(None, dtype)
        return Spec(tuple(_size(value) for value in sizes), dtype)

    # -- methods ----------------------------------------------------------------------------------

    def _bound(
        self, callee: Bound, args: list[Any], keywords: dict[str, Any], node: ast.Call
    ) -> Any:
        owner, name = callee.owner, callee.name
        if isinstance(owner, Super):
            if name == "__init__":
                self.tracer.run_base_init(owner, args, keywords, node)
            elif name == "forward":
                return self.tracer.base_forward(owner, args, keywords, node)
            return None
        if isinstance(owner, Instance):
            if name in ("register_buffer", "register_parameter") and len(args) > 1:
                owner.attributes[plain(args[0])] = args[1]
            return None
        if isinstance(owner, (list, dict)):
            if name == "append" and isinstance(owner, list):
                owner.append(args[0])
                return None
            if isinstance(owner, dict) and name in ("items", "keys", "values", "get"):
                return getattr(owner, name)(*[plain(arg) for arg in args])
        if isinstance(owner, Sequence):
            if name in ("append", "add_module"):
                key = len(owner.items) if name == "append" else plain(args[0])
                owner.items[key] = args[-1]
                return None
            if name in ("values", "children"):
                return self.tracer.evaluate.items(owner, node)
        if isinstance(owner, Shape) and name == "numel":
            return Number(node, None, known=False)
        if isinstance(owner, Spec):
            return self._of_spec(owner, name, args)
        if is_tensor(owner):
            return self._method(owner, name, args, keywords, node)
        if isinstance(owner, Unknown):
            raise Refused(owner.what, node)
        raise Refused(f"the method {name}()", node)

    def _of_spec(self, owner: Spec, name: str, args: list[Any]) -> Spec:
        dtypes = {"half": "float16", "bfloat16": "bfloat16", "double": "float64"}
        if name in ("int", "long", "bool"):
            return replace(owner, dtype="int64")
        if name == "to" and args and isinstance(args[0], Dotted) and "torch." in args[0].name:
            return replace(owner, dtype=args[0].name.rpartition(".")[2])
        if name in ("view", "reshape", "expand", "unsqueeze", "repeat", "t", "squeeze"):
            return replace(owner, shape=None)
        return replace(owner, dtype=dtypes.get(name, owner.dtype))

    def _method(
        self, owner: Any, name: str, args: list[Any], keywords: dict[str, Any], node: ast.Call
    ) -> Any:
        plain_name = name[:-1] if name.endswith("_") else name
        if name == "clone":
            return self.tracer.apply("copy", [owner], node)
        if name in UNCHANGED or plain_name in ("cuda", "cpu"):
            return owner
        if name in ("float", "to", "type_as", "type", "bool", "int", "long"):
            return self._converted(owner, name, [*args, *keywords.values()], node)
        if name == "numel":
            return Number(node, None, known=False)
        if name == "size":
            shape = self.tracer.shape_of(owner, node)
            if not args:
                return shape
            return self.tracer.evaluate._size(shape, plain(args[0]), node)
        if name in ("dim", "ndimension"):
            return self.tracer.rank_of(owner, node)
        if name in VIEWS:
            return self.tracer.views(owner, name, args, keywords, node)
        if plain_name == "where":
            return self.tracer.apply("call", ["where", [args[0], owner, *args[1:]], keywords], node)
        if not covers(plain_name):
            raise Refused(f"the method {name}()", node)
        result = self.tracer.apply("call", [plain_name, [owner, *args], keywords], node)
        if name != plain_name:
            self.tracer.change(owner, result)
        return result

    def _converted(self, owner: Any, name: str, targets: list[Any], node: ast.Call) -> Any:
        """``x.float()``, ``x.to(y.dtype)``: numbers stay what they are; flags become numbers."""
        for target in targets:
            kind = target.name.rpartition(".")[2] if isinstance(target, Dotted) else None
            if kind in ("float16", "half", "bfloat16", "float64", "double", "int", "long", "bool"):
                raise Refused(f"a conversion to {kind}", node)
            if isinstance(target, Dotted) and "int" in (kind or ""):
                raise Refused(f"a conversion to {kind}", node)
        if isinstance(owner, Tensor) and owner.is_boolean:
            return self.tracer.apply("emit_all", ["float", [owner]], node)
        if isinstance(owner, TensorInput) and owner.spec.dtype == "bool":
            return self.tracer.apply("copy", [owner], node)
        return owner


def _items(values: list[Any]) -> list[Any]:
    """``values`` with the items of those that are lists or tuples."""
    found: list[Any] = []
    for value in values:
        found += _items(list(value)) if isinstance(value, (list, tuple)) else [value]
    return found


def _labels(signature: str) -> list[str]:
    return [parameter.partition("=")[0] for parameter in signature.split()]


def _size(value: Any) -> int | None:
    known = number(value)
    return None if known is None else int(known)


def _nested_shape(value: Any) -> tuple[int | None, ...] | None:
    if isinstance(value, (tuple, list)):
        inner = _nested_shape(value[0]) if value else ()
        return None if inner is None else (len(value), *inner)
    return ()


def _dtype(keywords: dict[str, Any], sample: Any) -> str:
    given = keywords.get("dtype")
    if isinstance(given, Dotted):
        return given.name.rpartition(".")[2]
    return "int64" if isinstance(sample, int) and not isinstance(sample, bool) else "float32"


def weight_shape(value: Any) -> tuple[int | None, ...] | None:
    """The shape of a layer's ``normalized_shape``-like argument."""
    value = plain(value)
    if isinstance(value, (tuple, list)):
        return tuple(_size(item) for item in value)
    return (_size(value),)


def weights_of(layer: Layer) -> dict[str, WeightRef]:
    """The parameters of a layer that is reached by ``layer.node``."""
    if layer.node is None:
        return {}
    path = layer.node
    node_of = {
        name: ast.Attribute(value=path, attr=name, ctx=ast.Load()) for name in ("weight", "bias")
    }
    if layer.kind == "PReLU":
        count = bind("num_parameters=1 init=0.25", layer.args, layer.keywords, "PReLU", layer.line)
        return {"weight": WeightRef(node_of["weight"], Spec((_size(count[0]),)))}
    found = parameters(layer, path)
    if found is not None:
        return found
    if layer.kind not in ("LayerNorm", "RMSNorm"):
        return {}
    names = "normalized_shape eps=None elementwise_affine=True bias=True"
    sizes, _, affine, bias = bind(names, layer.args, layer.keywords, layer.kind, layer.line)
    if not plain(affine):
        return {}
    spec = Spec(weight_shape(sizes))
    found = {"weight": WeightRef(node_of["weight"], spec)}
    if layer.kind == "LayerNorm" and plain(bias):
        found["bias"] = WeightRef(node_of["bias"], spec)
    return found
