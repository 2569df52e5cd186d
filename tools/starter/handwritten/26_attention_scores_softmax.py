import math

import torch
import torch.nn as nn


class ScaledSoftmax(nn.Module):
    """softmax(scores / sqrt(d_k) + mask): the middle of scaled dot-product attention."""

    def __init__(self, d_k):
        super().__init__()
        self.scale = 1.0 / math.sqrt(d_k)

    def forward(self, scores, mask):
        scores = scores * self.scale
        scores = scores + mask
        return nn.functional.softmax(scores, dim=-1)


def get_inputs():
    return [torch.randn(2, 4, 6, 20), torch.randn(2, 4, 6, 20)]


def get_init_inputs():
    return [64]
