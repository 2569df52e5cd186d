import torch
import torch.nn as nn
import torch.nn.functional as F


class Model(nn.Module):
    """
    A small block of a network.
    """

    def __init__(self):
        super(Model, self).__init__()
        self.conv = nn.Conv2d(3, 8, 3, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """
        Runs the operation.

        Returns:
            torch.Tensor: the result.
        """
        x = F.relu(self.conv(x))
        return F.max_pool2d(x, 2)


batch_size = 3


def get_inputs():
    return [torch.rand(batch_size, 3, 26, 26)]


def get_init_inputs():
    return []
