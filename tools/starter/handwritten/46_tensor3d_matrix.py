import torch
import torch.nn as nn


class Model(nn.Module):
    """
    Three-dimensional tensor times a matrix.
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


N, M, K, L = 8, 64, 96, 48


def get_inputs():
    A = torch.rand(N, M, K)
    B = torch.rand(K, L)
    return [A, B]


def get_init_inputs():
    return []
