import torch
import torch.nn as nn


class Model(nn.Module):
    """
    2D max pooling.
    """

    def __init__(self, kernel_size: int, stride: int, padding: int, dilation: int):
        super(Model, self).__init__()
        self.maxpool = nn.MaxPool2d(kernel_size, stride, padding, dilation)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """
        Runs the operation.

        Returns:
            torch.Tensor: the result.
        """
        return self.maxpool(x)


batch_size = 8


def get_inputs():
    return [torch.rand(batch_size, 12, 64, 60)]


def get_init_inputs():
    return [4, 1, 1, 1]
