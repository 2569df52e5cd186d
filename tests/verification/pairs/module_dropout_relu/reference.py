import torch
import torch.nn as nn


class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.drop = nn.Dropout(0.3)
    def forward(self, x):
        return torch.relu(self.drop(x))

def get_inputs():
    return [torch.randn(4,8)]

def get_init_inputs():
    return []
