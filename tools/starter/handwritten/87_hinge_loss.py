import torch
import torch.nn as nn


class Model(nn.Module):
    """
    Mean hinge loss.
    """

    def __init__(self):
        super(Model, self).__init__()

    def forward(self, predictions, targets) -> torch.Tensor:
        """
        Runs the operation.

        Returns:
            torch.Tensor: the result.
        """
        return torch.mean(torch.clamp(1 - predictions * targets, min=0))


batch_size = 128


def get_inputs():
    return [torch.randn(batch_size, 1), torch.randint(0, 2, (batch_size, 1)).float() * 2 - 1]


def get_init_inputs():
    return []
