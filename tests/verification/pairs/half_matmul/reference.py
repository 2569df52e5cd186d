import torch
import torch.nn as nn


class Model(nn.Module):
    def forward(self, a, b):
        return a @ b


K = 512


def get_inputs():
    return [torch.randn(20, K, dtype=torch.float16), torch.randn(K, 24, dtype=torch.float16)]


def get_init_inputs():
    return []
