import torch
import torch.nn as nn


class Model(nn.Module):
    """
    Softmax over very many features.
    """

    def __init__(self):
        super(Model, self).__init__()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """
        Runs the operation.

        Returns:
            torch.Tensor: the result.
        """
        return torch.softmax(x, dim=1)


batch_size = 1024
dim = 131072


def get_inputs():
    x = torch.rand(batch_size, dim)
    return [x]


def get_init_inputs():
    return []
