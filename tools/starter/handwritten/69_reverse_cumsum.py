import torch
import torch.nn as nn


class Model(nn.Module):
    """
    Prefix sum from the end.
    """

    def __init__(self, dim):
        super(Model, self).__init__()
        self.dim = dim

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """
        Runs the operation.

        Returns:
            torch.Tensor: the result.
        """
        return torch.cumsum(x.flip(self.dim), dim=self.dim).flip(self.dim)


batch_size = 20


def get_inputs():
    return [torch.randn(batch_size, 150)]


def get_init_inputs():
    return [1]
