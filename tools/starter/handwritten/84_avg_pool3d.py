import torch
import torch.nn as nn


class Model(nn.Module):
    """
    3D average pooling.
    """

    def __init__(self, kernel_size, stride=None, padding=0):
        super(Model, self).__init__()
        self.avg_pool = nn.AvgPool3d(kernel_size=kernel_size, stride=stride, padding=padding)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """
        Runs the operation.

        Returns:
            torch.Tensor: the result.
        """
        return self.avg_pool(x)


batch_size = 3


def get_inputs():
    return [torch.rand(batch_size, 8, 16, 18, 20)]


def get_init_inputs():
    return [3, 2, 1]
