import torch


class Polynomial3(torch.nn.Module):
    def __init__(self, a, b, c, d):
        super().__init__()
        self.a = a
        self.b = b
        self.c = c
        self.d = d

    def forward(self, x):
        """
        In the forward function we accept a Tensor of input data and we must return
        a Tensor of output data.
        """
        return self.a + self.b * x + self.c * x ** 2 + self.d * x ** 3


def get_inputs():
    return [torch.linspace(-3, 3, 400)]


def get_init_inputs():
    return [0.1, 0.85, -0.02, -0.09]
