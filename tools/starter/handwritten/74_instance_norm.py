import torch
import torch.nn as nn


class Model(nn.Module):
    """
    Instance normalisation.
    """

    def __init__(self, num_features: int):
        super(Model, self).__init__()
        self.inorm = nn.InstanceNorm2d(num_features=num_features)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """
        Runs the operation.

        Returns:
            torch.Tensor: the result.
        """
        return self.inorm(x)


batch_size = 8


def get_inputs():
    return [torch.rand(batch_size, 16, 100, 110)]


def get_init_inputs():
    return [16]
