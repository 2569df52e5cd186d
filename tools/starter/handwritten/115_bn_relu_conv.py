import torch
import torch.nn as nn


class PreAct(nn.Module):
    def __init__(self, inp, oup):
        super().__init__()
        self.bn = nn.BatchNorm2d(inp)
        self.relu = nn.ReLU()
        self.conv = nn.Conv2d(inp, oup, kernel_size=3, padding=1, bias=False)

    def forward(self, x):
        return self.conv(self.relu(self.bn(x)))


def get_inputs():
    return [torch.randn(4, 6, 14, 14)]


def get_init_inputs():
    return [6, 10]
