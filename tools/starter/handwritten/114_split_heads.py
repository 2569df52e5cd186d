import torch
import torch.nn as nn


class Heads(nn.Module):
    def __init__(self, heads=4):
        super().__init__()
        self.heads = heads

    def forward(self, x):
        b, n, d = x.shape
        x = x.view(b, n, self.heads, d // self.heads).transpose(1, 2)
        return torch.softmax(x, dim=-1)


def get_inputs():
    return [torch.randn(2, 10, 32)]
