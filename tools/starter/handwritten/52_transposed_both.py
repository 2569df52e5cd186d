import torch
import torch.nn as nn


class Model(nn.Module):
    """
    Both operands come transposed.
    """

    def __init__(self):
        super(Model, self).__init__()

    def forward(self, A, B) -> torch.Tensor:
        """
        Runs the operation.

        Returns:
            torch.Tensor: the result.
        """
        return torch.matmul(A.T, B.T)


M = 130
K = 260
N = 70


def get_inputs():
    A = torch.rand(K, M)
    B = torch.rand(N, K)
    return [A, B]


def get_init_inputs():
    return []
