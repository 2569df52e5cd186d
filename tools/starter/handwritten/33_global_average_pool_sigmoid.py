import torch
import torch.nn as nn


class Squeeze(nn.Module):
    """The squeeze of a squeeze-and-excitation block, followed by its gate."""

    def forward(self, x):
        s = torch.mean(x, dim=[2, 3])
        return torch.sigmoid(s)


def get_inputs():
    return [torch.randn(3, 5, 7, 7)]


def get_init_inputs():
    return []
