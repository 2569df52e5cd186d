import torch
import torch.nn as nn


class Model(nn.Module):
    """Distance from the mean of everything."""

    def forward(self, x):
        mu = x.mean()
        return (x - mu).pow(2).mean()


def get_inputs():
    return [torch.randn(64, 500)]
