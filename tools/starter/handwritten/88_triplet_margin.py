import torch
import torch.nn as nn


class Model(nn.Module):
    """
    Triplet margin loss.
    """

    def __init__(self, margin=1.0):
        super(Model, self).__init__()
        self.loss_fn = torch.nn.TripletMarginLoss(margin=margin)

    def forward(self, anchor, positive, negative) -> torch.Tensor:
        """
        Runs the operation.

        Returns:
            torch.Tensor: the result.
        """
        return self.loss_fn(anchor, positive, negative)


batch_size = 100
shape = (500,)


def get_inputs():
    return [torch.rand(batch_size, *shape), torch.rand(batch_size, *shape), torch.rand(batch_size, *shape)]


def get_init_inputs():
    return [1.0]
