import torch
import torch.nn as nn
import torch.nn.functional as F


class Model(nn.Module):
    """
    Cross entropy for classes.
    """

    def __init__(self):
        super(Model, self).__init__()

    def forward(self, predictions, targets) -> torch.Tensor:
        """
        Runs the operation.

        Returns:
            torch.Tensor: the result.
        """
        return F.cross_entropy(predictions, targets)


batch_size = 2048
num_classes = 10


def get_inputs():
    return [torch.rand(batch_size, num_classes), torch.randint(0, num_classes, (batch_size,))]


def get_init_inputs():
    return []
