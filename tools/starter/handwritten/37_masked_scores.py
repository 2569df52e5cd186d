import torch
import torch.nn as nn


class MaskNegatives(nn.Module):
    """Zeroes what is below a threshold and renormalises each row to sum to one."""

    def __init__(self, threshold: float):
        super().__init__()
        self.threshold = threshold

    def forward(self, p):
        kept = torch.where(p > self.threshold, p, torch.zeros_like(p))
        total = kept.sum(dim=-1, keepdim=True)
        return kept / (total + 1e-12)


def get_inputs():
    return [torch.rand(18, 41)]


def get_init_inputs():
    return [0.3]
