"""How much arithmetic PyTorch does, by kind: the reference's and what a candidate leaves to it.

ATen operators are taken apart into kinds of work (``add``, ``mul``, ``exp``, ``sum``,
``product`` …), each with the number of elements that it is done on, so that a softmax by one
operator and one written out weigh the same. Products are counted in multiplications. Used in both
worker processes; decides nothing but whether one amount of work contains another.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

__all__ = ["ALLOCATING", "MOVING", "Workload", "contains", "moves", "work_of"]

ALLOCATING = frozenset(
    ["empty", "empty_like", "empty_permuted", "empty_strided", "new_empty", "new_empty_strided"]
)
MOVING_NAMES = """
_conj _conj_physical _efficientzerotensor _foreach_copy_ _foreach_zero_
_has_compatible_shallow_copy_type _local_scalar_dense _neg_view _nested_tensor_size
_pad_enum _pin_memory _reshape_alias _reshape_copy _to_copy _unsafe_view adjoint alias
alias_copy arange arange_out as_strided as_strided_ as_strided_copy as_strided_scatter
atleast_1d atleast_2d atleast_3d broadcast_to cat channel_shuffle chunk clone concat
concatenate constant_pad_nd contiguous copy copy_ detach detach_ diagonal diagonal_scatter
dim dsplit dstack embedding equal expand expand_as expand_copy eye fill fill_ flatten flip
full full_like gather hsplit hstack im2col index index_copy index_put index_put_
index_select is_nonzero is_pinned is_same_size is_set_to lift lift_fresh lift_fresh_copy
mT masked_fill masked_fill_ masked_scatter masked_select movedim narrow new_full new_ones
new_tensor new_zeros nonzero numel one_hot ones ones_like pad permute permute_copy
pin_memory pixel_shuffle pixel_unshuffle ravel real reflection_pad1d reflection_pad2d
reflection_pad3d repeat repeat_interleave replication_pad1d replication_pad2d
replication_pad3d reshape reshape_as resize_ resolve_conj resolve_neg roll rot90
scalar_tensor scatter select select_scatter set_ slice slice_scatter split split_copy
split_with_sizes split_with_sizes_copy squeeze squeeze_ squeeze_copy stack stride swapaxes
swapdims sym_is_contiguous sym_numel sym_size sym_storage_offset sym_stride t t_ take
take_along_dim tile to transpose transpose_ transpose_copy tril tril_ tril_indices triu
triu_ triu_indices unbind unflatten unfold unsafe_chunk unsafe_split unsqueeze unsqueeze_
unsqueeze_copy view view_as view_as_complex view_as_complex_copy view_as_real view_copy
vsplit vstack zero zero_ zeros zeros_like
"""
#: Operators that make, move or look at values without computing new ones.
MOVING = ALLOCATING | set(MOVING_NAMES.split())

#: Operators that do the same kind of work under several names, without their underscores.
KINDS = {
    "add": "add sub rsub neg subtract negative",
    "mul": "mul div reciprocal square pow true_divide multiply divide",
    "root": "sqrt rsqrt",
    "exp": "exp exp2 expm1",
    "log": "log log2 log10 log1p",
    "erf": "erf erfc",
    "sin": "sin cos",
    "select": "relu relu6 clamp clamp_min clamp_max clip maximum minimum threshold hardtanh abs "
    "sign sgn where eq ne lt le gt ge logical_and logical_or logical_not logical_xor bitwise_and "
    "bitwise_or bitwise_not fmax fmin heaviside",
    "sum": "sum mean nansum avg_pool1d avg_pool2d avg_pool3d adaptive_avg_pool1d "
    "adaptive_avg_pool2d adaptive_avg_pool3d col2im",
    "extreme": "amax amin max min argmax argmin aminmax max_pool1d max_pool2d max_pool3d "
    "max_pool2d_with_indices max_pool3d_with_indices adaptive_max_pool2d adaptive_max_pool3d",
    "scan": "cumsum cumprod",
}
#: Operators that are several kinds of work at once, per element.
COMPOSITES = {
    "sigmoid": "exp add mul",
    "tanh": "exp add mul",
    "silu": "exp add mul mul",
    "softplus": "exp log add",
    "log_sigmoid_forward": "exp log",
    "elu": "exp add mul select",
    "celu": "exp add mul select",
    "mish": "exp log exp add mul mul",
    "leaky_relu": "select mul",
    "hardsigmoid": "add select mul",
    "hardswish": "add select mul mul",
    "softshrink": "add select",
    "hardshrink": "select",
    "softmax": "extreme add exp sum mul",
    "safe_softmax": "extreme add exp sum mul",
    "log_softmax": "extreme add exp sum add",
    "logsumexp": "extreme add exp sum",
    "var": "sum add mul sum",
    "std": "sum add mul sum",
    "var_mean": "sum add mul sum",
    "std_mean": "sum add mul sum",
    "linalg_vector_norm": "mul sum",
    "norm": "mul sum",
    "addcmul": "add mul",
    "addcdiv": "add mul",
    "lerp": "add mul add",
    "mse_loss": "add mul sum",
    "l1_loss": "add select sum",
    "smooth_l1_loss": "add select mul sum",
    "huber_loss": "add select mul sum",
    "binary_cross_entropy": "log mul add sum",
    "xlogy": "log mul",
    "fused_rms_norm": "mul sum mul",
}
KIND_OF = {name: kind for kind, names in KINDS.items() for name in names.split()}
NORMS = {
    "native_layer_norm",
    "native_group_norm",
    "native_batch_norm",
    "native_batch_norm_legit",
    "native_batch_norm_legit_no_training",
    "cudnn_batch_norm",
    "miopen_batch_norm",
    "batch_norm_with_update",
}
#: Where the matrices of a product stand among the arguments, and what is added to it.
PRODUCTS = {
    "mm": 0,
    "bmm": 0,
    "mv": 0,
    "dot": 0,
    "vdot": 0,
    "matmul": 0,
    "int_mm": 0,
    "scaled_mm": 0,
    "addmm": 1,
    "addmv": 1,
    "baddbmm": 1,
    "addbmm": 1,
    "addmm_activation": 1,
}
CONVOLUTIONS = {
    "convolution",
    "convolution_overrideable",
    "mkldnn_convolution",
    "cudnn_convolution",
    "cudnn_convolution_relu",
    "cudnn_convolution_transpose",
    "miopen_convolution",
}
#: A part of the reference's arithmetic as small as this beside the rest is not looked for.
NEGLIGIBLE = 0.05
#: PyTorch does all of the work where it does at least this part of each kind.
ALMOST_ALL = 0.9


class Workload(TorchDispatchMode):  # type: ignore[misc]
    """Adds up the work of the operators that run while it is active."""

    def __init__(self) -> None:
        super().__init__()
        self.work: Counter[str] = Counter()

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        name = func._schema.name.rpartition("::")[2]
        if not moves(name):
            self.work.update(work_of(name, args, kwargs or {}, result))
        return result


def moves(name: str) -> bool:
    """Whether an operator only makes, moves or looks at values."""
    return name in MOVING or name.removesuffix("_") in MOVING


def work_of(
    name: str, args: tuple[Any, ...], kwargs: dict[str, Any], result: Any
) -> dict[str, float]:
    """The work of one call of an ATen operator, by kind."""
    name = name.strip("_").removeprefix("foreach_")
    if name in PRODUCTS:
        return _product(name, args, result)
    if name in CONVOLUTIONS:
        return _convolution(args, result)
    if name.startswith("scaled_dot_product"):
        return _attention(args)
    elements = float(max(_elements(args), _elements([result])))
    if name in NORMS:
        return _norm(name, args, elements)
    if name == "gelu":
        tanh = kwargs.get("approximate") == "tanh"
        kinds = "mul add exp add mul mul" if tanh else "mul erf add mul"
    else:
        kinds = COMPOSITES.get(name) or KIND_OF.get(name, name)
    return {kind: count * elements for kind, count in Counter(kinds.split()).items()}


def _elements(values: Any) -> int:
    """The elements of the largest tensor; of a list of tensors those of all of them."""
    largest = 0
    for value in values:
        if isinstance(value, torch.Tensor):
            largest = max(largest, value.numel())
        elif isinstance(value, list) and value and isinstance(value[0], torch.Tensor):
            largest = max(largest, sum(_elements([item]) for item in value))
        elif isinstance(value, tuple):
            largest = max(largest, _elements(value))
    return largest


def _product(name: str, args: tuple[Any, ...], result: Any) -> dict[str, float]:
    first = PRODUCTS[name]
    matrix, out = args[first], float(_elements([result]))
    work = {"product": float(matrix.shape[-1]) * out}
    if name == "addbmm":
        work["product"] *= matrix.shape[0]
    if first:
        work["add"] = out
    if name == "addmm_activation":
        work["select"] = out
    return work


def _convolution(args: tuple[Any, ...], result: Any) -> dict[str, float]:
    image, weight = args[0], args[1]
    transposed = len(args) > 6 and args[6] is True
    out = float(_elements([result]))
    places = float(image.numel()) if transposed else out
    work = {"product": places * weight.numel() / max(1, weight.shape[0])}
    if len(args) > 2 and isinstance(args[2], torch.Tensor):
        work["add"] = out
    return work


def _attention(args: tuple[Any, ...]) -> dict[str, float]:
    query, key, value = args[:3]
    scores = float(math.prod(query.shape[:-1])) * key.shape[-2]
    softmax = Counter(COMPOSITES["softmax"].split())
    return {
        "product": scores * (query.shape[-1] + value.shape[-1]),
        **{kind: count * scores for kind, count in softmax.items()},
    }


def _norm(name: str, args: tuple[Any, ...], elements: float) -> dict[str, float]:
    """A shift and a scaling, again with weights, and statistics where they are taken here."""
    times = 2 if any(isinstance(value, torch.Tensor) for value in args[1:3]) else 1
    work = {"add": times * elements, "mul": times * elements}
    by_running_statistics = "batch_norm" in name and len(args) > 5 and args[5] is False
    if not by_running_statistics and "no_training" not in name:
        work["sum"] = 2 * elements
        work["mul"] += elements
    return work


def contains(done: Mapping[str, float], wanted: Mapping[str, float]) -> bool:
    """Whether ``done`` has (almost) all of the work that is ``wanted``, kind by kind.

    False where nothing is wanted: a transpose, say, computes nothing. A product may be done as
    multiplications and sums.
    """
    done = dict(done)
    lacking = wanted.get("product", 0.0) - done.get("product", 0.0)
    if lacking > 0:
        by_hand = min(done.get("mul", 0.0), done.get("sum", 0.0))
        done["product"] = done.get("product", 0.0) + by_hand
    rest = [amount for kind, amount in wanted.items() if kind != "product"]
    floor = NEGLIGIBLE * max(rest, default=0.0)
    significant = {
        kind: amount
        for kind, amount in wanted.items()
        if amount > 0 and (kind == "product" or amount > floor)
    }
    return bool(significant) and all(
        done.get(kind, 0.0) >= ALMOST_ALL * amount for kind, amount in significant.items()
    )
