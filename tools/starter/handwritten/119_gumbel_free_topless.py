import torch
import torch.nn as nn
import torch.nn.functional as F


class Model(nn.Module):
    """A gate of one half, smooth maximum of the other."""

    def forward(self, x):
        a, b = torch.chunk(x, 2, dim=1)
        return torch.sigmoid(a) * torch.logaddexp(b, -b)


def get_inputs():
    return [torch.randn(5, 8, 11)]
