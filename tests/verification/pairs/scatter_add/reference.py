import torch
import torch.nn as nn


class Model(nn.Module):
    def forward(self, index, values):
        return torch.zeros(20).scatter_add(0, index, values)


def get_inputs():
    return [torch.randint(0, 20, (150,)), torch.rand(150)]


def get_init_inputs():
    return []
