import torch
import torch.nn as nn


class Model(nn.Module):
    """
    2D average pooling.
    """

    def __init__(self, kernel_size: int):
        super(Model, self).__init__()
        self.avg_pool = nn.AvgPool2d(kernel_size)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """
        Runs the operation.

        Returns:
            torch.Tensor: the result.
        """
        return self.avg_pool(x)


batch_size = 8


def get_inputs():
    return [torch.rand(batch_size, 16, 66, 64)]


def get_init_inputs():
    return [5]
