import math

import torch
import torch.nn as nn


class Model(nn.Module):
    def __init__(self, vocabulary, dim):
        super().__init__()
        self.embedding = nn.Embedding(vocabulary, dim)
        self.dim = dim

    def forward(self, tokens):
        return self.embedding(tokens) * math.sqrt(self.dim)


vocabulary = 40
dim = 20


def get_inputs():
    return [torch.randint(0, vocabulary, (3, 9))]


def get_init_inputs():
    return [vocabulary, dim]
