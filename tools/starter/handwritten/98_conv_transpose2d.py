import torch
import torch.nn as nn


class Model(nn.Module):
    """
    Transposed 2D convolution.
    """

    def __init__(self, in_channels, out_channels, kernel_size, stride=1, padding=0):
        super(Model, self).__init__()
        self.conv_transpose2d = nn.ConvTranspose2d(in_channels, out_channels, kernel_size, stride=stride, padding=padding, output_padding=1, bias=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """
        Runs the operation.

        Returns:
            torch.Tensor: the result.
        """
        return self.conv_transpose2d(x)


batch_size = 4


def get_inputs():
    return [torch.rand(batch_size, 6, 17, 19)]


def get_init_inputs():
    return [6, 10, (3, 5), 2, 1]
