import torch
import torch.nn as nn


class Model(nn.Module):
    """
    A transposed times B.
    """

    def __init__(self):
        super(Model, self).__init__()

    def forward(self, A, B) -> torch.Tensor:
        """
        Runs the operation.

        Returns:
            torch.Tensor: the result.
        """
        return torch.matmul(A.T, B)


M, K, N = 200, 333, 120


def get_inputs():
    A = torch.rand(K, M)
    B = torch.rand(K, N)
    return [A, B]


def get_init_inputs():
    return []
