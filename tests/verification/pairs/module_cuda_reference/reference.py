import torch
import torch.nn as nn


class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.w = nn.Parameter(torch.randn(5, device='cuda'))
    def forward(self, x):
        assert x.is_cuda
        return torch.relu(x) * self.w

def get_inputs():
    return [torch.randn(9,5).cuda()]

def get_init_inputs():
    return []
