"""Which PyTorch names mean which operation of the model, and how their arguments are called.

Each entry reads ``operation parameter parameter=default``. A parameter that begins with ``_`` is
accepted and has no effect on the result (``inplace``). Names and defaults are PyTorch's own, from
the documentation of ``torch``, ``torch.nn`` and ``torch.nn.functional``.
"""

from __future__ import annotations

__all__ = [
    "ALIASES",
    "BOOLEAN",
    "COMPARISONS",
    "FAMILIES",
    "FUNCTIONS",
    "LAYERS",
    "NUMERIC",
    "REDUCTIONS",
    "UNCHANGED",
]

FAMILIES = (
    "elementwise chains and activations, reductions, softmax, normalisation (layer, RMS, batch, "
    "group, instance), matrix products and linear layers, convolutions, pooling, cumulative sums "
    "and products, losses, attention, and compositions of these"
)

#: Elementwise functions: as ``torch.f``, ``torch.nn.functional.f`` or ``x.f``.
FUNCTIONS: dict[str, str] = {
    "abs": "abs input",
    "add": "add input other",
    "celu": "celu input alpha=1.0 _inplace=False",
    "ceil": "ceil input",
    "cos": "cos input",
    "cosh": "cosh input",
    "elu": "elu input alpha=1.0 _inplace=False",
    "eq": "eq input other",
    "erf": "erf input",
    "exp": "exp input",
    "erfc": "erfc input",
    "exp2": "exp2 input",
    "expm1": "expm1 input",
    "floor": "floor input",
    "ge": "ge input other",
    "gt": "gt input other",
    "floor_divide": "floor_divide input other",
    "hypot": "hypot input other",
    "hardshrink": "hardshrink input lambd=0.5",
    "hardsigmoid": "hardsigmoid input _inplace=False",
    "hardswish": "hardswish input _inplace=False",
    "hardtanh": "clamp input min_val=-1.0 max_val=1.0 _inplace=False",
    "le": "le input other",
    "leaky_relu": "leaky_relu input negative_slope=0.01 _inplace=False",
    "lerp": "lerp input end weight",
    "log": "log input",
    "log10": "log10 input",
    "log1p": "log1p input",
    "log2": "log2 input",
    "logaddexp": "logaddexp input other",
    "logical_and": "and input other",
    "logical_not": "not input",
    "logical_or": "or input other",
    "logsigmoid": "logsigmoid input",
    "lt": "lt input other",
    "maximum": "maximum input other",
    "minimum": "minimum input other",
    "mish": "mish input _inplace=False",
    "mul": "mul input other",
    "ne": "ne input other",
    "neg": "neg input",
    "prelu": "prelu input weight",
    "reciprocal": "reciprocal input",
    "relu": "relu input _inplace=False",
    "relu6": "relu6 input _inplace=False",
    "rsqrt": "rsqrt input",
    "selu": "selu input _inplace=False",
    "sigmoid": "sigmoid input",
    "sign": "sign input",
    "silu": "silu input _inplace=False",
    "sin": "sin input",
    "sinh": "sinh input",
    "softplus": "softplus input beta=1.0 threshold=20.0",
    "softshrink": "softshrink input lambd=0.5",
    "softsign": "softsign input",
    "sqrt": "sqrt input",
    "square": "square input",
    "sub": "sub input other",
    "tan": "tan input",
    "tanh": "tanh input",
    "tanhshrink": "tanhshrink input",
    "trunc": "trunc input",
    "threshold": "threshold input threshold value _inplace=False",
    "where": "where condition input other",
}

ALIASES: dict[str, str] = {
    "absolute": "abs",
    "clip": "clamp",
    "divide": "div",
    "greater": "gt",
    "greater_equal": "ge",
    "less": "lt",
    "less_equal": "le",
    "multiply": "mul",
    "negative": "neg",
    "not_equal": "ne",
    "special.erf": "erf",
    "special.exp2": "exp2",
    "special.expit": "sigmoid",
    "special.expm1": "expm1",
    "special.log1p": "log1p",
    "special.log_softmax": "log_softmax",
    "special.logsumexp": "logsumexp",
    "special.softmax": "softmax",
    "fix": "trunc",
    "subtract": "sub",
    "swish": "silu",
    "true_divide": "div",
}

#: ``torch.nn`` modules that are an elementwise function or a row operation of one input.
LAYERS: dict[str, str] = {
    "CELU": "celu alpha=1.0 inplace=False",
    "ELU": "elu alpha=1.0 inplace=False",
    "GELU": "gelu approximate='none'",
    "Hardshrink": "hardshrink lambd=0.5",
    "Hardsigmoid": "hardsigmoid inplace=False",
    "Hardswish": "hardswish inplace=False",
    "Hardtanh": "hardtanh min_val=-1.0 max_val=1.0 inplace=False",
    "LeakyReLU": "leaky_relu negative_slope=0.01 inplace=False",
    "LogSigmoid": "logsigmoid",
    "LogSoftmax": "log_softmax dim=None",
    "Mish": "mish inplace=False",
    "ReLU": "relu inplace=False",
    "ReLU6": "relu6 inplace=False",
    "SELU": "selu inplace=False",
    "SiLU": "silu inplace=False",
    "Sigmoid": "sigmoid",
    "Softmax": "softmax dim=None",
    "Softmin": "softmin dim=None",
    "Softplus": "softplus beta=1.0 threshold=20.0",
    "Softshrink": "softshrink lambd=0.5",
    "Softsign": "softsign",
    "Tanh": "tanh",
    "Tanhshrink": "tanhshrink",
    "Threshold": "threshold threshold value inplace=False",
    "MSELoss": "mse_loss size_average=None reduce=None reduction='mean'",
    "L1Loss": "l1_loss size_average=None reduce=None reduction='mean'",
    "SmoothL1Loss": "smooth_l1_loss size_average=None reduce=None reduction='mean' beta=1.0",
    "HuberLoss": "huber_loss reduction='mean' delta=1.0",
    "BCEWithLogitsLoss": "binary_cross_entropy_with_logits reduction='mean'",
    "BCELoss": "binary_cross_entropy reduction='mean'",
    "TripletMarginLoss": "triplet_margin_loss margin=1.0 p=2 eps=1e-6 swap=False size_average=None "
    "reduce=None reduction='mean'",
    "CrossEntropyLoss": "cross_entropy weight=None size_average=None ignore_index=-100 reduce=None "
    "reduction='mean' label_smoothing=0.0",
    "NLLLoss": "nll_loss weight=None size_average=None ignore_index=-100 reduce=None "
    "reduction='mean'",
    "KLDivLoss": "kl_div size_average=None reduce=None reduction='mean' log_target=False",
    "HingeEmbeddingLoss": "hinge_embedding_loss margin=1.0 size_average=None reduce=None "
    "reduction='mean'",
    "MarginRankingLoss": "margin_ranking_loss margin=0.0 size_average=None reduce=None "
    "reduction='mean'",
    "SoftMarginLoss": "soft_margin_loss size_average=None reduce=None reduction='mean'",
    "GLU": "glu dim=-1",
    "PairwiseDistance": "pairwise_distance p=2.0 eps=1e-6 keepdim=False",
    "CosineSimilarity": "cosine_similarity dim=1 eps=1e-8",
}

#: Reductions, by the name of the model's operation.
REDUCTIONS: dict[str, str] = {
    "sum": "sum input dim=None keepdim=False _dtype=None",
    "mean": "mean input dim=None keepdim=False _dtype=None",
    "amax": "max input dim=None keepdim=False",
    "amin": "min input dim=None keepdim=False",
    "logsumexp": "logsumexp input dim keepdim=False",
}

BOOLEAN = frozenset({"gt", "ge", "lt", "le", "eq", "ne", "and", "or", "not"})
COMPARISONS = frozenset({"gt", "ge", "lt", "le", "eq", "ne"})

#: Methods that give back the same numbers in the layout and dtype that the wrapper deals with.
UNCHANGED = frozenset({"contiguous", "detach", "requires_grad_"})

#: Functions of ``math`` and ``numpy`` that are evaluated on known numbers.
NUMERIC = frozenset(
    {"sqrt", "exp", "log", "log2", "pow", "sin", "cos", "tanh", "floor", "ceil", "prod", "fabs"}
)
