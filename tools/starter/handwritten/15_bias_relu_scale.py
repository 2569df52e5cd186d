import torch
import torch.nn as nn


class Model(nn.Module):
    """Adds a learned bias, applies ReLU and a learned scale."""

    def __init__(self, num_features: int):
        super().__init__()
        self.bias = nn.Parameter(torch.randn(num_features))
        self.scale = nn.Parameter(torch.tensor(1.5))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = x + self.bias
        x = torch.relu(x)
        x = x * self.scale
        return x


batch_size, num_features = 10, 48


def get_inputs():
    return [torch.randn(batch_size, num_features)]


def get_init_inputs():
    return [num_features]
