import torch
import torch.nn as nn


class Model(nn.Module):
    """Far more elements than an interpreter can visit."""

    def forward(self, x):
        return torch.relu(x) * torch.sigmoid(x)


batch_size = 4096
dim = 4096


def get_inputs():
    return [torch.rand(batch_size, dim)]


def get_init_inputs():
    return []
