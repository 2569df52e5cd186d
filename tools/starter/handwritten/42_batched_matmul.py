import torch
import torch.nn as nn


class Model(nn.Module):
    """
    Batched product C[i] = A[i] B[i].
    """

    def __init__(self):
        super(Model, self).__init__()

    def forward(self, A, B) -> torch.Tensor:
        """
        Runs the operation.

        Returns:
            torch.Tensor: the result.
        """
        return torch.bmm(A, B)


batch_size = 32
m = 96
k = 160
n = 80


def get_inputs():
    A = torch.rand(batch_size, m, k)
    B = torch.rand(batch_size, k, n)
    return [A, B]


def get_init_inputs():
    return []
