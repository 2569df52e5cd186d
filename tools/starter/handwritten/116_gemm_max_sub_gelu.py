import torch
import torch.nn as nn
import torch.nn.functional as F


class Model(nn.Module):
    """A product, the largest of each row, its mean taken off, GELU."""

    def __init__(self, in_features, out_features, max_dim):
        super(Model, self).__init__()
        self.gemm = nn.Linear(in_features, out_features)
        self.max_dim = max_dim

    def forward(self, x):
        x = self.gemm(x)
        x = torch.max(x, dim=self.max_dim, keepdim=True).values
        x = x - x.mean(dim=1, keepdim=True)
        x = torch.nn.functional.gelu(x)
        return x


def get_inputs():
    return [torch.rand(32, 48)]


def get_init_inputs():
    return [48, 64, 1]
