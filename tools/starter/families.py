"""Families of modules around one heavy operation: products, convolutions, pooling, norms, losses.

Each entry gives the arguments of ``forward`` with their sizes, lines of ``__init__`` and an
expression. ``{a}``, ``{b}``, ``{c}`` are arguments; upper-case names are sizes that are drawn:
``B`` a batch, ``C`` and ``O`` channels, ``G`` a divisor of both, ``M``, ``N``, ``K`` matrix sizes,
``H``, ``W``, ``L`` extents, ``R`` a kernel's reach, ``S`` a stride, ``P`` a padding, ``Q`` a
dilation. A shape that begins with ``!`` is of class indices below the second drawn size.
"""

from __future__ import annotations

__all__ = ["HEAVY"]

Entry = tuple[tuple[str, ...], tuple[str, ...], str]

_PRODUCTS: tuple[Entry, ...] = (
    (("M K", "K N"), (), "torch.matmul({a}, {b})"),
    (("M K", "K N"), (), "{a} @ {b}"),
    (("M K", "K N"), (), "torch.mm({a}, {b})"),
    (("K M", "K N"), (), "{a}.T @ {b}"),
    (("M K", "N K"), (), "torch.matmul({a}, {b}.t())"),
    (("K M", "N K"), (), "torch.matmul({a}.T, {b}.T)"),
    (("B M K", "B K N"), (), "torch.bmm({a}, {b})"),
    (("B M K", "B K N"), (), "torch.matmul({a}, {b})"),
    (("B M K", "B N K"), (), "{a} @ {b}.transpose(-2, -1)"),
    (("B M K", "B N K"), (), "torch.bmm({a}, {b}.transpose(1, 2))"),
    (("B C M K", "B C K N"), (), "torch.matmul({a}, {b})"),
    (("B M K", "K N"), (), "torch.matmul({a}, {b})"),
    (("B C M K", "K N"), (), "torch.einsum('bijl,lk->bijk', {a}, {b})"),
    (("B M K", "B K N"), (), "torch.einsum('bik,bkj->bij', {a}, {b})"),
    (("M K", "K"), (), "torch.mv({a}, {b})"),
    (("M K", "K 1"), (), "torch.matmul({a}, {b})"),
    (("K", "K N"), (), "torch.diag({a}) @ {b}"),
    (("M M", "M M"), (), "torch.tril(torch.matmul({a}, {b}))"),
    (("M M", "M M"), (), "torch.triu({a} @ {b})"),
    (("M K",), ("self.w = nn.Parameter(torch.randn(K, N))",), "{a} @ self.w"),
)
_LINEAR: tuple[Entry, ...] = (
    (("M K",), ("self.fc = nn.Linear(K, N)",), "self.fc({a})"),
    (("M K",), ("self.linear = nn.Linear(K, N, bias=False)",), "self.linear({a})"),
    (("B M K",), ("self.proj = nn.Linear(K, N)",), "self.proj({a})"),
    (
        ("M K",),
        ("self.weight = nn.Parameter(torch.randn(N, K))", "self.b = nn.Parameter(torch.ones(N))"),
        "F.linear({a}, self.weight, self.b)",
    ),
    (("M K", "M N"), ("self.gemm = nn.Linear(K, N)",), "self.gemm({a}) + {b}"),
)
_CONVS: tuple[Entry, ...] = (
    (("B C L",), ("self.conv = nn.Conv1d(C, O, R, stride=S, padding=P)",), "self.conv({a})"),
    (("B C L",), ("self.conv = nn.Conv1d(C, O, R, dilation=Q, bias=False)",), "self.conv({a})"),
    (("B C H W",), ("self.conv = nn.Conv2d(C, O, R)",), "self.conv({a})"),
    (("B C H W",), ("self.conv = nn.Conv2d(C, O, R, padding=P, bias=False)",), "self.conv({a})"),
    (("B C H W",), ("self.conv = nn.Conv2d(C, O, R, stride=S, groups=G)",), "self.conv({a})"),
    (("B C H W",), ("self.conv = nn.Conv2d(C, C, R, padding=P, groups=C)",), "self.conv({a})"),
    (("B C H W",), ("self.conv = nn.Conv2d(C, O, 1)",), "self.conv({a})"),
    (("B C E H W",), ("self.conv = nn.Conv3d(C, O, R)",), "self.conv({a})"),
    (("B C L",), ("self.conv = nn.ConvTranspose1d(C, O, R, stride=S)",), "self.conv({a})"),
    (("B C H W",), ("self.conv = nn.ConvTranspose2d(C, O, R)",), "self.conv({a})"),
    (
        ("B C H W",),
        ("self.conv = nn.ConvTranspose2d(C, O, R, stride=S, bias=False)",),
        "self.conv({a})",
    ),
    (("B C E H W",), ("self.conv = nn.ConvTranspose3d(C, O, R, stride=S)",), "self.conv({a})"),
)
_POOLS: tuple[Entry, ...] = (
    (("B C L",), ("self.pool = nn.MaxPool1d(R, stride=S)",), "self.pool({a})"),
    (("B C H W",), ("self.pool = nn.MaxPool2d(R)",), "self.pool({a})"),
    (("B C H W",), (), "F.max_pool2d({a}, 2)"),
    (("B C E H W",), ("self.pool = nn.MaxPool3d(R, S)",), "self.pool({a})"),
    (("B C L",), ("self.pool = nn.AvgPool1d(R, S)",), "self.pool({a})"),
    (("B C H W",), ("self.pool = nn.AvgPool2d(R)",), "self.pool({a})"),
    (
        ("B C H W",),
        ("self.pool = nn.AvgPool2d(3, 2, 1, count_include_pad=False)",),
        "self.pool({a})",
    ),
    (("B C E H W",), ("self.pool = nn.AvgPool3d(2)",), "self.pool({a})"),
    (("B C H W",), ("self.pool = nn.AdaptiveAvgPool2d(1)",), "self.pool({a})"),
)
_CHANNELS: tuple[Entry, ...] = (
    (("B C H W",), ("self.norm = nn.BatchNorm2d(C)",), "self.norm({a})"),
    (("B C H W",), ("self.norm = nn.BatchNorm2d(C, affine=False)",), "self.norm({a})"),
    (("M C",), ("self.norm = nn.BatchNorm1d(C)",), "self.norm({a})"),
    (("B C L",), ("self.norm = nn.BatchNorm1d(C)",), "self.norm({a})"),
    (("B C H W",), ("self.norm = nn.GroupNorm(G, C)",), "self.norm({a})"),
    (("B C L",), ("self.norm = nn.GroupNorm(G, C, affine=False)",), "self.norm({a})"),
    (("B C H W",), ("self.norm = nn.InstanceNorm2d(C)",), "self.norm({a})"),
    (("B C H W",), ("self.norm = nn.InstanceNorm2d(C, affine=True)",), "self.norm({a})"),
    (("B C H W",), ("self.norm = nn.LayerNorm((C, H, W))",), "self.norm({a})"),
)
_RUNNING: tuple[Entry, ...] = (
    (("M N",), (), "torch.cumsum({a}, dim=1)"),
    (("M N",), (), "{a}.cumsum(0)"),
    (("B M N",), (), "torch.cumprod({a}, dim=1)"),
    (("M N",), (), "torch.cumprod({a}, dim=-1)"),
    (("M N",), (), "{a}.flip(1).cumsum(1).flip(1)"),
    (("M N",), (), "torch.prod({a}, dim=1, keepdim=True)"),
    (("B M N",), (), "torch.prod({a}, dim=1)"),
    (("M N", "M N"), (), "torch.cumsum({a} * {b}, dim=1)"),
)
_CLASSES: tuple[Entry, ...] = (
    (("M N", "!M"), (), "F.cross_entropy({a}, {b})"),
    (("M N", "!M"), (), "F.nll_loss(F.log_softmax({a}, dim=1), {b})"),
    (("B N H W", "!B H W"), (), "F.cross_entropy({a}, {b})"),
    (
        ("M N", "M N"),
        (),
        "F.kl_div(F.log_softmax({a}, -1), F.softmax({b}, -1), reduction='batchmean')",
    ),
    (("M N", "M N", "M N"), (), "F.triplet_margin_loss({a}, {b}, {c})"),
    (("M N", "M N"), (), "(1 - F.cosine_similarity({a}, {b}, dim=1)).mean()"),
    (("M N",), (), "torch.argmax({a}, dim=1)"),
    (("B M N",), (), "torch.argmin({a}, dim=1)"),
    (("M N",), (), "torch.argmin({a}, dim=-1, keepdim=True)"),
    (("B M N",), (), "{a}.argmax(dim=-1)"),
)
_COMPOSED: tuple[Entry, ...] = (
    (("M K",), ("self.fc = nn.Linear(K, N)",), "torch.softmax(self.fc({a}), dim=1)"),
    (("M K",), ("self.fc = nn.Linear(K, N)",), "torch.sum(self.fc({a}), dim=1, keepdim=True)"),
    (("M K",), ("self.fc = nn.Linear(K, N)", "self.ln = nn.LayerNorm(N)"), "self.ln(self.fc({a}))"),
    (("B M K", "B N K", "B N O"), (), "F.scaled_dot_product_attention({a}, {b}, {c})"),
    (
        ("B M K", "B M K", "B M K"),
        (),
        "F.scaled_dot_product_attention({a}, {b}, {c}, is_causal=True)",
    ),
    (("B C H W",), ("self.conv = nn.Conv2d(C, O, R)",), "F.max_pool2d(self.conv({a}), 2)"),
    (
        ("B C H W",),
        ("self.conv = nn.Conv2d(C, O, R)", "self.bn = nn.BatchNorm2d(O)"),
        "self.bn(self.conv({a}))",
    ),
    (("B C H W",), ("self.conv = nn.Conv2d(C, O, R)",), "self.conv({a}).mean(dim=(2, 3))"),
    (
        ("M K",),
        ("self.up = nn.Linear(K, N)", "self.act = nn.ReLU()", "self.down = nn.Linear(N, O)"),
        "self.down(self.act(self.up({a})))",
    ),
    (("M N",), (), "torch.softmax(torch.softmax({a}, dim=0), dim=1)"),
    (
        ("B C H W",),
        ("self.bn = nn.BatchNorm2d(C)", "self.conv = nn.Conv2d(C, O, R)"),
        "self.conv(torch.relu(self.bn({a})))",
    ),
    (("M K", "N K"), (), "F.normalize({a}, dim=-1) @ F.normalize({b}, dim=-1).t()"),
    (("M N",), (), "{a} / torch.norm({a}, p='fro')"),
)
HEAVY: dict[str, tuple[Entry, ...]] = {
    "matmul": _PRODUCTS,
    "linear": _LINEAR,
    "convolution": _CONVS,
    "pooling": _POOLS,
    "channel norm": _CHANNELS,
    "cumulative": _RUNNING,
    "classes": _CLASSES,
    "composed": _COMPOSED,
}
