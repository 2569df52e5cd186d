import torch
import torch.nn as nn


class Model(nn.Module):
    """
    1D average pooling.
    """

    def __init__(self, kernel_size: int, stride: int = 1, padding: int = 0):
        super(Model, self).__init__()
        self.avg_pool = nn.AvgPool1d(kernel_size=kernel_size, stride=stride, padding=padding)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """
        Runs the operation.

        Returns:
            torch.Tensor: the result.
        """
        return self.avg_pool(x)


batch_size = 16


def get_inputs():
    return [torch.rand(batch_size, 12, 300)]


def get_init_inputs():
    return [8, 1, 4]
