import torch
import torch.nn as nn


class Model(nn.Module):
    """
    1x1 convolution.
    """

    def __init__(self, in_channels, out_channels, bias=False):
        super(Model, self).__init__()
        self.conv1d = nn.Conv2d(in_channels, out_channels, kernel_size=1, stride=1, padding=0, bias=bias)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """
        Runs the operation.

        Returns:
            torch.Tensor: the result.
        """
        return self.conv1d(x)


batch_size = 4


def get_inputs():
    return [torch.rand(batch_size, 24, 30, 31)]


def get_init_inputs():
    return [24, 40]
