import torch
import torch.nn as nn

SQRT2 = 1.4142135623730951


def gelu(x):
    """Exact GELU with erf."""
    return x * 0.5 * (1.0 + torch.erf(x / SQRT2))


class Model(nn.Module):
    def __init__(self, scaling_factor=1.0, hidden_size=10):
        super().__init__()
        self.scaling_factor = scaling_factor
        self.hidden_size = hidden_size

    def forward(self, x, residual):
        return gelu(x) * self.scaling_factor + residual


def get_inputs():
    return [torch.randn(4, 44), torch.randn(4, 44)]


def get_init_inputs():
    return [0.3]
