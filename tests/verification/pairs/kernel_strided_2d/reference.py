import torch
import torch.nn as nn


class Model(nn.Module):
    def forward(self, x):
        return x.t() * 2

def get_inputs():
    return [torch.randn(20, 30)]

def get_init_inputs():
    return []
