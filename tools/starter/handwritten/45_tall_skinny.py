import torch
import torch.nn as nn


class Model(nn.Module):
    """
    Tall times wide.
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


M = 4096 * 2
N = 24


def get_inputs():
    A = torch.rand(M, N)
    B = torch.rand(N, M)
    return [A, B]


def get_init_inputs():
    return []
