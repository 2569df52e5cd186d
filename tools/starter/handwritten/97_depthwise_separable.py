import torch
import torch.nn as nn


class Model(nn.Module):
    """
    Depthwise, then pointwise.
    """

    def __init__(self, in_channels, out_channels, kernel_size):
        super(Model, self).__init__()
        self.depthwise = nn.Conv2d(in_channels, in_channels, kernel_size, padding=1, groups=in_channels, bias=False)
        self.pointwise = nn.Conv2d(in_channels, out_channels, kernel_size=1, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """
        Runs the operation.

        Returns:
            torch.Tensor: the result.
        """
        x = self.depthwise(x)
        x = self.pointwise(x)
        return x


batch_size = 4


def get_inputs():
    return [torch.rand(batch_size, 8, 28, 28)]


def get_init_inputs():
    return [8, 16, 3]
