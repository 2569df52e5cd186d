import math

import torch
from torch import Tensor, nn


class NewGELU(nn.Module):
    """The GELU of GPT-2, after Hendrycks and Gimpel, with tanh."""

    def forward(self, input: Tensor) -> Tensor:
        return (
            0.5
            * input
            * (1.0 + torch.tanh(math.sqrt(2.0 / math.pi) * (input + 0.044715 * torch.pow(input, 3.0))))
        )


def get_inputs():
    return [torch.randn(4, 10, 31)]


def get_init_inputs():
    return []
