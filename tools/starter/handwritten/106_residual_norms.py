import torch
import torch.nn as nn


class Block(nn.Module):
    """Norm after a residual, as the first transformers had it."""

    def __init__(self, n_embd=40):
        super().__init__()
        self.ln = nn.LayerNorm(n_embd)
        self.fc = nn.Linear(n_embd, n_embd)

    def forward(self, x):
        return self.ln(x + torch.tanh(self.fc(x)))


def get_inputs():
    return [torch.randn(6, 9, 40)]
