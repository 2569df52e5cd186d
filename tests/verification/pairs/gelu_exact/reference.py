import torch
import torch.nn as nn
import torch.nn.functional as F


class Model(nn.Module):
    def __init__(self):
        super().__init__()

    def forward(self, x):
        return F.gelu(x)


batch = 11
width = 131


def get_inputs():
    return [torch.randn(batch, width)]


def get_init_inputs():
    return []
