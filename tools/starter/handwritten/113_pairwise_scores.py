import torch
import torch.nn as nn


class Scores(nn.Module):
    """Scaled cosine of every pair of rows."""

    def __init__(self, temperature=0.07):
        super().__init__()
        self.temperature = temperature

    def forward(self, a, b):
        a = nn.functional.normalize(a, dim=-1)
        b = nn.functional.normalize(b, dim=-1)
        return a @ b.t() / self.temperature


def get_inputs():
    return [torch.randn(30, 48), torch.randn(25, 48)]
