import torch
import torch.nn as nn


class Pool(nn.Module):
    """Attention pooling over time."""

    def __init__(self, dim):
        super().__init__()
        self.score = nn.Linear(dim, 1)

    def forward(self, x):
        w = torch.softmax(self.score(x), dim=1)
        return (w * x).sum(dim=1)


def get_inputs():
    return [torch.randn(4, 15, 24)]


def get_init_inputs():
    return [24]
