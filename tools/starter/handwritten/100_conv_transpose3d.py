import torch
import torch.nn as nn


class Model(nn.Module):
    """
    Transposed 3D convolution.
    """

    def __init__(self):
        super(Model, self).__init__()
        self.up = nn.ConvTranspose3d(4, 6, 3, stride=2, groups=2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """
        Runs the operation.

        Returns:
            torch.Tensor: the result.
        """
        return self.up(x)


batch_size = 2


def get_inputs():
    return [torch.rand(batch_size, 4, 6, 7, 8)]


def get_init_inputs():
    return []
