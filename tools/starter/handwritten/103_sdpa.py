import torch
import torch.nn as nn
import torch.nn.functional as F


class Model(nn.Module):
    """
    Attention over heads.
    """

    def __init__(self):
        super(Model, self).__init__()

    def forward(self, Q, K, V) -> torch.Tensor:
        """
        Runs the operation.

        Returns:
            torch.Tensor: the result.
        """
        return F.scaled_dot_product_attention(Q, K, V)


batch_size = 2
heads = 4
length = 60
width = 32


def get_inputs():
    Q = torch.rand(batch_size, heads, length, width)
    K = torch.rand(batch_size, heads, length, width)
    V = torch.rand(batch_size, heads, length, width)
    return [Q, K, V]


def get_init_inputs():
    return []
