import torch
import torch.nn as nn
import torch.nn.functional as F


class Model(nn.Module):
    """
    Divergence of distributions.
    """

    def __init__(self):
        super(Model, self).__init__()

    def forward(self, predictions, targets) -> torch.Tensor:
        """
        Runs the operation.

        Returns:
            torch.Tensor: the result.
        """
        return F.kl_div(torch.log(predictions), targets, reduction='batchmean')


batch_size = 200
shape = (300,)


def get_inputs():
    return [torch.rand(batch_size, *shape).softmax(dim=-1), torch.rand(batch_size, *shape).softmax(dim=-1)]


def get_init_inputs():
    return []
