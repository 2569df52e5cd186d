import torch
import torch.nn as nn


class Model(nn.Module):
    """
    Linear, then softmax over the features.
    """

    def __init__(self):
        super(Model, self).__init__()
        self.linear = nn.Linear(200, 77)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """
        Runs the operation.

        Returns:
            torch.Tensor: the result.
        """
        x = self.linear(x)
        x = torch.softmax(x, dim=1)
        return x


B = 64


def get_inputs():
    return [torch.randn(B, 200)]


def get_init_inputs():
    return []
