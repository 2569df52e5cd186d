import torch
import torch.nn as nn
import torch.nn.functional as F


class Model(nn.Module):
    """Inputs are never negative, so relu and a copy agree on them."""

    def forward(self, x):
        return F.relu(x) + 1.0


def get_inputs():
    return [torch.rand(6, 77)]


def get_init_inputs():
    return []
