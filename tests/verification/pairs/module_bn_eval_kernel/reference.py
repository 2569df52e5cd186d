import torch
import torch.nn as nn


class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.bn = nn.BatchNorm1d(16)
    def forward(self, x):
        return self.bn(x)

def get_inputs():
    return [torch.randn(20,16)]

def get_init_inputs():
    return []
