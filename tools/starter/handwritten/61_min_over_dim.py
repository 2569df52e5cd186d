import torch
import torch.nn as nn


class Model(nn.Module):
    """
    Minimum of a dimension.
    """

    def __init__(self, dim: int):
        super(Model, self).__init__()
        self.dim = dim

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """
        Runs the operation.

        Returns:
            torch.Tensor: the result.
        """
        values, _ = torch.min(x, dim=self.dim)
        return values


batch_size = 16


def get_inputs():
    return [torch.rand(batch_size, 256, 255)]


def get_init_inputs():
    return [2]
