import torch
import torch.nn as nn


class Model(nn.Module):
    """
    Index of the largest element.
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
        return torch.argmax(x, dim=self.dim)


batch_size = 64
d = 1000


def get_inputs():
    return [torch.rand(batch_size, d, 50)]


def get_init_inputs():
    return [1]
