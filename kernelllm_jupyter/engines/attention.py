"""Attention of a few tokens over a long cache: every key and value is read once.

Where several query heads share one of keys and values, transformers repeats those for each head
before it multiplies, which for a few tokens is most of what a pass reads and writes. Here the heads
that share are rows of one product.

Imports torch and transformers; only the model process imports this module.
"""

from __future__ import annotations

from typing import Any

import torch

__all__ = ["grouped", "use_grouped"]

NAME = "kernelllm_grouped"
#: For more tokens than this the scores would take more memory than repeating does.
FEW_TOKENS = 32
#: What some models add to the scores; it is left to transformers.
SPECIAL = ("softcap", "s_aux", "position_bias")


def grouped(
    module: Any,
    query: Any,
    key: Any,
    value: Any,
    attention_mask: Any,
    scaling: float | None = None,
    **more: Any,
) -> tuple[Any, None]:
    """As transformers' attention functions: [rows, heads, tokens, depth] in, tokens first out."""
    rows, heads, tokens, depth = query.shape
    special = any(more.get(name) is not None for name in SPECIAL)
    if special or attention_mask is None or tokens > FEW_TOKENS or not _is_bool(attention_mask):
        from transformers.integrations.sdpa_attention import sdpa_attention_forward

        found: tuple[Any, None] = sdpa_attention_forward(
            module, query, key, value, attention_mask, scaling=scaling, **more
        )
        return found
    shared, seen = key.shape[1], key.shape[2]
    group = heads // shared
    scale = depth**-0.5 if scaling is None else scaling
    scores = (query * scale).reshape(rows, shared, group * tokens, depth) @ key.transpose(2, 3)
    scores = scores.view(rows, shared, group, tokens, seen).float()
    scores = scores.masked_fill(~attention_mask[:, :, None], float("-inf"))
    weights = torch.softmax(scores, dim=-1).to(value.dtype)
    out = weights.view(rows, shared, group * tokens, seen) @ value
    return out.view(rows, heads, tokens, value.shape[3]).transpose(1, 2).contiguous(), None


def _is_bool(mask: Any) -> bool:
    return bool(mask.dtype == torch.bool)


def use_grouped(model: Any) -> None:
    """Have ``model`` attend in this way, where it uses PyTorch's own attention now."""
    if model.config._attn_implementation != "sdpa":
        return
    from transformers import AttentionInterface
    from transformers.masking_utils import AttentionMaskInterface, sdpa_mask

    AttentionInterface.register(NAME, grouped)
    AttentionMaskInterface.register(NAME, sdpa_mask)
    model.set_attn_implementation(NAME)
