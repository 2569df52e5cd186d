import torch
import torch.nn as nn


class Model(nn.Module):
    """Changes its first argument and returns it."""

    def forward(self, x, y):
        x.add_(y).clamp_(min=0)
        return x


def get_inputs():
    return [torch.randn(7, 45), torch.randn(7, 45)]


def get_init_inputs():
    return []
