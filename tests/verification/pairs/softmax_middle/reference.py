import torch
import torch.nn as nn


class Model(nn.Module):
    """Softmax over the channels of a (batch, channels, length) tensor."""

    def forward(self, x):
        return torch.softmax(x, dim=1)


batch_size = 3
channels = 20
length = 45


def get_inputs():
    return [torch.randn(batch_size, channels, length)]


def get_init_inputs():
    return []
