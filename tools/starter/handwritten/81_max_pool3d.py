import torch
import torch.nn as nn


class Model(nn.Module):
    """
    3D max pooling.
    """

    def __init__(self, kernel_size, stride=None, padding=0):
        super(Model, self).__init__()
        self.maxpool = nn.MaxPool3d(kernel_size=kernel_size, stride=stride, padding=padding)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """
        Runs the operation.

        Returns:
            torch.Tensor: the result.
        """
        return self.maxpool(x)


batch_size = 4


def get_inputs():
    return [torch.rand(batch_size, 6, 20, 22, 24)]


def get_init_inputs():
    return [3, 2, 1]
