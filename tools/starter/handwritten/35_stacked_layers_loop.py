import torch
import torch.nn as nn


class Model(nn.Module):
    def __init__(self, depth=3):
        super().__init__()
        self.layers = nn.ModuleList([nn.SiLU() for _ in range(depth)])
        self.final = nn.Hardtanh(min_val=-0.5, max_val=0.5)

    def forward(self, x):
        for layer in self.layers:
            x = x + layer(x)
        return self.final(x)


def get_inputs():
    return [torch.randn(11, 13)]


def get_init_inputs():
    return [2]
