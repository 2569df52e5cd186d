import torch
import torch.nn as nn


class Model(nn.Module):
    """
    2D convolution.
    """

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int, stride: int = 1, padding: int = 0, dilation: int = 1, groups: int = 1, bias: bool = False):
        super(Model, self).__init__()
        self.conv2d = nn.Conv2d(in_channels, out_channels, (kernel_size, kernel_size), stride=stride, padding=padding, dilation=dilation, groups=groups, bias=bias)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """
        Runs the operation.

        Returns:
            torch.Tensor: the result.
        """
        return self.conv2d(x)


batch_size = 4


def get_inputs():
    return [torch.rand(batch_size, 3, 40, 40)]


def get_init_inputs():
    return [3, 16, 3]
