import torch
import torch.nn as nn


class h_swish(nn.Module):
    def __init__(self, inplace=True):
        super().__init__()
        self.relu = nn.ReLU6(inplace=inplace)

    def forward(self, x):
        return x * self.relu(x + 3) / 6


class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.act = h_swish()

    def forward(self, x):
        return self.act(x) + 1.0


def get_inputs():
    return [torch.randn(3, 8, 9, 9)]


def get_init_inputs():
    return []
