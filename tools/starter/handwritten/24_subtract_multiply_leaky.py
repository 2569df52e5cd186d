import torch
import torch.nn as nn


class Model(nn.Module):
    """
    Model that subtracts a value, multiplies by another, and applies LeakyReLU.
    """

    def __init__(self, subtract_value, multiply_value):
        super().__init__()
        self.subtract_value = subtract_value
        self.multiply_value = multiply_value

    def forward(self, x):
        x = x - self.subtract_value
        x = x * self.multiply_value
        x = torch.nn.functional.leaky_relu(x, negative_slope=0.01)
        return x


subtract_value = 2.0
multiply_value = 1.5


def get_inputs():
    return [torch.randn(16, 5)]


def get_init_inputs():
    return [subtract_value, multiply_value]
