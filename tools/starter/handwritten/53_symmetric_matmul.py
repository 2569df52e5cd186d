import torch
import torch.nn as nn


class Model(nn.Module):
    """
    Product of symmetric matrices.
    """

    def __init__(self):
        super(Model, self).__init__()

    def forward(self, A, B) -> torch.Tensor:
        """
        Runs the operation.

        Returns:
            torch.Tensor: the result.
        """
        return torch.matmul(A, B)


N = 256


def get_inputs():
    A = torch.rand(N, N)
    A = (A + A.T) / 2  # symmetric
    B = torch.rand(N, N)
    B = (B + B.T) / 2
    return [A, B]


def get_init_inputs():
    return []
