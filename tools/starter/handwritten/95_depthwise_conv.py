import torch
import torch.nn as nn


class Model(nn.Module):
    """
    Depthwise convolution.
    """

    def __init__(self, in_channels: int, kernel_size: int, stride: int = 1, padding: int = 0, bias: bool = False):
        super(Model, self).__init__()
        self.conv2d = nn.Conv2d(in_channels, in_channels, kernel_size, stride=stride, padding=padding, groups=in_channels, bias=bias)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """
        Runs the operation.

        Returns:
            torch.Tensor: the result.
        """
        return self.conv2d(x)


batch_size = 4
in_channels = 12


def get_inputs():
    return [torch.rand(batch_size, in_channels, 32, 36)]


def get_init_inputs():
    return [in_channels, 3, 2, 1]
