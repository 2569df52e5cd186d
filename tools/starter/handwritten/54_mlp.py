import torch
import torch.nn as nn


class Mlp(nn.Module):
    def __init__(self, width: int = 48, hidden: int = 96):
        super().__init__()
        self.up = nn.Linear(width, hidden)
        self.act = nn.GELU()
        self.down = nn.Linear(hidden, width, bias=False)

    def forward(self, x):
        return x + self.down(self.act(self.up(x)))


def get_inputs():
    return [torch.randn(4, 10, 48)]
