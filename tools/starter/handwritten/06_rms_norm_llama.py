import torch
from torch import nn


class RMSNorm(torch.nn.Module):
    def __init__(self, dim: int, eps: float = 1e-6):
        """
        Root mean square normalisation with a learned gain.

        Attributes:
            eps (float): added to the denominator for numerical stability.
            weight (nn.Parameter): the gain.
        """
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(dim))

    def _norm(self, x):
        return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + self.eps)

    def forward(self, x):
        output = self._norm(x.float()).type_as(x)
        return output * self.weight


def get_inputs():
    return [torch.randn(2, 12, 48)]


def get_init_inputs():
    return [48]
