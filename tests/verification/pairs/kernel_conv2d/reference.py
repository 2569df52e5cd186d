import torch
import torch.nn as nn


class Model(nn.Module):
    def __init__(self, i, o, k):
        super().__init__()
        self.conv = nn.Conv2d(i, o, k, padding=1)
    def forward(self, x):
        return self.conv(x)
def get_inputs():
    return [torch.randn(2, 3, 9, 9)]
def get_init_inputs():
    return [3, 4, 3]
