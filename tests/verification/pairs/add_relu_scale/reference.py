import torch
import torch.nn as nn


class Model(nn.Module):
    """Adds two tensors, clips at zero and scales."""

    def __init__(self, scale):
        super().__init__()
        self.scale = scale

    def forward(self, x, y):
        return torch.relu(x + y) * self.scale


batch_size = 37
features = 53


def get_inputs():
    return [torch.randn(batch_size, features), torch.randn(batch_size, features)]


def get_init_inputs():
    return [1.5]
