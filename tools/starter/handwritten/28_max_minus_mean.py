import torch
import torch.nn as nn


class Model(nn.Module):
    def __init__(self, dim: int):
        super().__init__()
        self.dim = dim

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Max over a dimension, minus the mean over the same."""
        return torch.max(x, dim=self.dim)[0] - torch.mean(x, dim=self.dim)


def get_inputs():
    return [torch.randn(6, 25, 10)]


def get_init_inputs():
    return [1]
