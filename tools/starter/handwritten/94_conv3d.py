import torch
import torch.nn as nn


class Model(nn.Module):
    """
    3D convolution.
    """

    def __init__(self):
        super(Model, self).__init__()
        self.conv3d = nn.Conv3d(3, 8, (3, 5, 3), padding=(1, 2, 0), bias=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """
        Runs the operation.

        Returns:
            torch.Tensor: the result.
        """
        return self.conv3d(x)


batch_size = 2


def get_inputs():
    return [torch.rand(batch_size, 3, 12, 14, 16)]


def get_init_inputs():
    return []
