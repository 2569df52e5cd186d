import torch
import torch.nn as nn
import torch.nn.functional as F


class Mish(nn.Module):
    '''
    Applies the mish function element-wise:
    mish(x) = x * tanh(softplus(x)) = x * tanh(ln(1 + exp(x)))
    '''

    def __init__(self):
        super().__init__()

    def forward(self, input):
        return input * torch.tanh(F.softplus(input))


N = 1000


def get_inputs():
    return [torch.randn(N)]


def get_init_inputs():
    return []
