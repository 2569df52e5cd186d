import torch
import torch.nn as nn


class Model(nn.Module):
    """
    Prefix product.
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
        return torch.cumprod(x, dim=self.dim)


batch_size = 128


def get_inputs():
    return [torch.rand(batch_size, 300)]


def get_init_inputs():
    return [1]
