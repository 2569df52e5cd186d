import torch
import torch.nn as nn


class Model(nn.Module):
    """
    Group normalisation.
    """

    def __init__(self, num_features: int, num_groups: int):
        super(Model, self).__init__()
        self.gn = nn.GroupNorm(num_groups=num_groups, num_channels=num_features)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """
        Runs the operation.

        Returns:
            torch.Tensor: the result.
        """
        return self.gn(x)


batch_size = 8
features = 32
num_groups = 8


def get_inputs():
    return [torch.rand(batch_size, features, 48, 48)]


def get_init_inputs():
    return [features, num_groups]
