import torch
import torch.nn as nn


class Model(nn.Module):
    """
    Mean reduction over a dimension.
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
        return torch.mean(x, dim=self.dim)


batch_size = 32
dim1 = 128
dim2 = 100


def get_inputs():
    return [torch.rand(batch_size, dim1, dim2)]


def get_init_inputs():
    return [1]
