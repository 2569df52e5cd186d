import torch
import torch.nn as nn


class ELUFromScratch(nn.Module):
    def __init__(self, alpha=1.0):
        super().__init__()
        self.alpha = alpha

    def forward(self, x):
        return torch.where(x > 0, x, self.alpha * (torch.exp(x) - 1))


def get_inputs():
    return [torch.randn(20, 20)]


def get_init_inputs():
    return [0.7]
