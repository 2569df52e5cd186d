import torch
import torch.nn as nn


class Model(nn.Module):
    """Swish, written out as in the paper: x times its own sigmoid."""

    def __init__(self):
        super().__init__()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """
        Args:
            x (torch.Tensor): any shape.
        """
        return x * torch.sigmoid(x)


batch_size = 16
dim = 129


def get_inputs():
    x = torch.randn(batch_size, dim)
    return [x]


def get_init_inputs():
    return []  # nothing to initialise
