import torch
import torch.nn as nn


class Model(nn.Module):
    def __init__(self, epsilon=1e-5):
        super().__init__()
        self.epsilon = epsilon

    def forward(self, x):
        mu = x.mean(dim=(2, 3), keepdim=True)
        centred = x - mu
        sigma2 = (centred ** 2).mean(dim=(2, 3), keepdim=True)
        return centred / (sigma2 + self.epsilon).sqrt()


def get_inputs():
    return [torch.randn(2, 3, 8, 9)]


def get_init_inputs():
    return []
