import torch
import torch.nn as nn


class Model(nn.Module):
    def forward(self, A, v):
        return torch.matmul(A, v)


rows = 50
columns = 300


def get_inputs():
    return [torch.randn(rows, columns), torch.randn(columns, 1)]


def get_init_inputs():
    return []
