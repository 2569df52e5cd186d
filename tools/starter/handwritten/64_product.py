import torch
import torch.nn as nn


class Model(nn.Module):
    """
    Product over a dimension.
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
        return torch.prod(x, dim=self.dim)


batch_size = 16


def get_inputs():
    return [torch.rand(batch_size, 20, 24)]


def get_init_inputs():
    return [1]
