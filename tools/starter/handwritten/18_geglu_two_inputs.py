import torch
import torch.nn as nn


class GEGLU(nn.Module):
    def forward(self, x, gate):
        return x * nn.functional.gelu(gate)


def get_inputs():
    return [torch.randn(2, 16, 24), torch.randn(2, 16, 24)]


def get_init_inputs():
    return []
