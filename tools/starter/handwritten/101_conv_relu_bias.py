import torch
import torch.nn as nn


class Model(nn.Module):
    """
    Convolution, ReLU, a bias of its own.
    """

    def __init__(self, in_channels, out_channels, kernel_size, bias_shape):
        super(Model, self).__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, kernel_size)
        self.bias = nn.Parameter(torch.randn(bias_shape))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """
        Runs the operation.

        Returns:
            torch.Tensor: the result.
        """
        x = self.conv(x)
        x = torch.relu(x)
        x = x + self.bias
        return x


batch_size = 4


def get_inputs():
    return [torch.rand(batch_size, 6, 24, 24)]


def get_init_inputs():
    return [6, 12, 3, (12, 1, 1)]
