import torch
import torch.nn as nn


class Model(nn.Module):
    def __init__(self, negative_slope=0.2):
        super().__init__()
        self.net = nn.Sequential(
            nn.LeakyReLU(negative_slope, inplace=True),
            nn.Softplus(),
            nn.Tanh(),
        )

    def forward(self, x):
        return self.net(x * 1.0)


def get_inputs():
    return [torch.randn(8, 100)]


def get_init_inputs():
    return []
