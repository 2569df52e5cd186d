import torch
import torch.nn as nn


class Model(nn.Module):
    """
    Prefix sum of what the mask leaves.
    """

    def __init__(self, dim):
        super(Model, self).__init__()
        self.dim = dim

    def forward(self, x, mask) -> torch.Tensor:
        """
        Runs the operation.

        Returns:
            torch.Tensor: the result.
        """
        return torch.cumsum(x * mask, dim=self.dim)


B = 64
shape = (500,)


def get_inputs():
    x = torch.rand(B, *shape)
    mask = torch.randint(0, 2, x.shape).bool()
    return [x, mask]


def get_init_inputs():
    return [1]
