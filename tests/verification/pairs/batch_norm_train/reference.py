import torch
import torch.nn as nn


class Model(nn.Module):
    """Batch norm as it is built: in training mode, with running statistics."""

    def __init__(self, num_features):
        super().__init__()
        self.bn = nn.BatchNorm2d(num_features)

    def forward(self, x):
        return self.bn(x)


batch_size = 4
features = 5
size = 6


def get_inputs():
    return [torch.randn(batch_size, features, size, size)]


def get_init_inputs():
    return [features]
