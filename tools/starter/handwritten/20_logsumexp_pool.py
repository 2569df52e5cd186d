import torch
import torch.nn as nn


class Model(nn.Module):
    def __init__(self, r=5.0):
        super().__init__()
        self.r = r

    def forward(self, x):
        b, c, h, w = x.shape
        return torch.logsumexp(self.r * x, dim=3) / self.r


def get_inputs():
    return [torch.randn(2, 3, 4, 50)]


def get_init_inputs():
    return []
