import torch
import torch.nn as nn


class Model(nn.Module):
    """
    Sums a linear layer's outputs.
    """

    def __init__(self):
        super(Model, self).__init__()
        self.linear = nn.Linear(64, 96)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """
        Runs the operation.

        Returns:
            torch.Tensor: the result.
        """
        x = self.linear(x)
        return torch.sum(x, dim=1, keepdim=True)


N = 40


def get_inputs():
    return [torch.randn(N, 64)]


def get_init_inputs():
    return []
