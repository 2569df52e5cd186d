import torch
import torch.nn as nn


class Model(nn.Module):
    def __init__(self, min_value, divisor):
        super().__init__()
        self.min_value = min_value
        self.divisor = divisor

    def forward(self, x):
        x = torch.clamp(x, min=self.min_value)
        x = x / self.divisor
        return x


def get_inputs():
    return [torch.randn(4, 3, 8, 8)]


def get_init_inputs():
    return [-0.5, 2.0]
