import torch
import torch.nn as nn


class Model(nn.Module):
    """
    Maximum of a dimension.
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
        return torch.max(x, dim=self.dim)[0]


batch_size = 128
dim1 = 4096
dim2 = 600


def get_inputs():
    return [torch.rand(batch_size, dim1, dim2)]


def get_init_inputs():
    return [1]
