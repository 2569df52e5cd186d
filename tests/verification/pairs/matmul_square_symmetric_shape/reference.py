import torch
import torch.nn as nn


class Model(nn.Module):
    """Every matrix is square, so a swapped axis keeps the shape."""

    def forward(self, a, b):
        return a @ b.t()


size = 32


def get_inputs():
    return [torch.randn(size, size), torch.randn(size, size)]


def get_init_inputs():
    return []
