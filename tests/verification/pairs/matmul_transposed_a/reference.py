import torch
import torch.nn as nn


class Model(nn.Module):
    def forward(self, A, B):
        """A is (K, M) and B is (K, N)."""
        return torch.matmul(A.T, B)


M = 24
K = 48
N = 33


def get_inputs():
    return [torch.randn(K, M), torch.randn(K, N)]


def get_init_inputs():
    return []
