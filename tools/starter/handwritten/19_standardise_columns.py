import torch
import torch.nn as nn


class Model(nn.Module):
    """Standardise each feature over the batch."""

    def __init__(self, eps: float = 1e-5):
        super().__init__()
        self.eps = eps

    def forward(self, x):
        mean = torch.mean(x, dim=0, keepdim=True)
        var = torch.var(x, dim=0, unbiased=False, keepdim=True)
        return (x - mean) / torch.sqrt(var + self.eps)


def get_inputs():
    return [torch.randn(40, 12)]


def get_init_inputs():
    return []
