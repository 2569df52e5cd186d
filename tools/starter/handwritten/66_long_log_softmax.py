import torch
import torch.nn as nn
import torch.nn.functional as F


class Model(nn.Module):
    """
    Log-softmax.
    """

    def __init__(self, dim: int = 1):
        super(Model, self).__init__()
        self.dim = dim

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """
        Runs the operation.

        Returns:
            torch.Tensor: the result.
        """
        return F.log_softmax(x, dim=self.dim)


batch_size = 2048
features = 100000


def get_inputs():
    return [torch.rand(batch_size, features)]


def get_init_inputs():
    return []
