import torch
import torch.nn as nn


class Model(nn.Module):
    """
    Transposed 1D convolution.
    """

    def __init__(self):
        super(Model, self).__init__()
        self.up = nn.ConvTranspose1d(8, 12, 3, stride=2, padding=1, dilation=2, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """
        Runs the operation.

        Returns:
            torch.Tensor: the result.
        """
        return self.up(x)


batch_size = 4


def get_inputs():
    return [torch.rand(batch_size, 8, 50)]


def get_init_inputs():
    return []
