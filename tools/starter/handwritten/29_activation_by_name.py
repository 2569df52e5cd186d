import torch
import torch.nn as nn
import torch.nn.functional as F


class Activation(nn.Module):
    def __init__(self, activation: str = "relu", scale: float = 1.0):
        super().__init__()
        self.activation = activation
        self.scale = scale

    def forward(self, x):
        if self.activation == "relu":
            x = F.relu(x)
        elif self.activation == "silu":
            x = F.silu(x)
        else:
            raise ValueError(f"unknown activation {self.activation}")
        return x * self.scale


def get_inputs():
    return [torch.randn(9, 90)]


def get_init_inputs():
    return ["silu", 0.8]
