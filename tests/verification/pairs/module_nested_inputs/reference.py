import torch
import torch.nn as nn


class Model(nn.Module):
    def forward(self, xs, scale=2.0, mode=None):
        return torch.relu(xs[0]) * scale + xs[1]['b']

def get_inputs():
    return [[torch.randn(3,4), {'b': torch.randn(3,4)}], 3.0, 'abc']

def get_init_inputs():
    return []
