import torch
import torch.nn as nn


class Model(nn.Module):
    """
    1D max pooling.
    """

    def __init__(self, kernel_size: int, stride: int = None, padding: int = 0, dilation: int = 1):
        super(Model, self).__init__()
        self.maxpool = nn.MaxPool1d(kernel_size=kernel_size, stride=stride, padding=padding, dilation=dilation)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """
        Runs the operation.

        Returns:
            torch.Tensor: the result.
        """
        return self.maxpool(x)


batch_size = 16
features = 24


def get_inputs():
    return [torch.rand(batch_size, features, 500)]


def get_init_inputs():
    return [8, 1, 4, 3]
