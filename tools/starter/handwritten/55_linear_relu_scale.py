import torch
import torch.nn as nn


class Model(nn.Module):
    """
    Gemm, bias, ReLU, scale.
    """

    def __init__(self, in_features, out_features, scaling):
        super(Model, self).__init__()
        self.gemm = nn.Linear(in_features, out_features)
        self.scaling = scaling

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """
        Runs the operation.

        Returns:
            torch.Tensor: the result.
        """
        x = self.gemm(x)
        x = torch.relu(x)
        return x * self.scaling


batch_size = 128
in_features = 256
out_features = 130
scaling = 2.5


def get_inputs():
    return [torch.rand(batch_size, in_features)]


def get_init_inputs():
    return [in_features, out_features, scaling]
