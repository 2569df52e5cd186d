import torch
import torch.nn as nn


class NormAct(nn.Module):
    def __init__(self, hidden_size: int = 64):
        super().__init__()
        self.norm = nn.LayerNorm(hidden_size)
        self.act = nn.GELU()

    def forward(self, hidden_states: torch.Tensor) -> torch.Tensor:
        residual = hidden_states
        hidden_states = self.norm(hidden_states)
        hidden_states = self.act(hidden_states)
        return residual + hidden_states


def get_inputs():
    return [torch.randn(3, 10, 64)]


def get_init_inputs():
    return []
