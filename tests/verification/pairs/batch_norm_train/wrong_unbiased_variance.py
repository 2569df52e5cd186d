# expect: incorrect
import torch
import torch.nn as nn
import triton
import triton.language as tl


@triton.jit
def statistics(x_ptr, mean_ptr, var_ptr, B, C, S, BLOCK: tl.constexpr):
    c = tl.program_id(0)
    n = B * S
    total = tl.zeros([BLOCK], tl.float32)
    for start in range(0, n, BLOCK):
        i = start + tl.arange(0, BLOCK)
        total += tl.load(x_ptr + (i // S) * C * S + c * S + i % S, mask=i < n, other=0.0)
    mean = tl.sum(total, axis=0) / n
    squares = tl.zeros([BLOCK], tl.float32)
    for start in range(0, n, BLOCK):
        i = start + tl.arange(0, BLOCK)
        x = tl.load(x_ptr + (i // S) * C * S + c * S + i % S, mask=i < n, other=0.0)
        d = tl.where(i < n, x - mean, 0.0)
        squares += d * d
    tl.store(mean_ptr + c, mean)
    tl.store(var_ptr + c, tl.sum(squares, axis=0) / (n - 1))


@triton.jit
def normalise(x_ptr, mean_ptr, var_ptr, w_ptr, b_ptr, y_ptr, total, C, S, eps, BLOCK: tl.constexpr):
    i = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    mask = i < total
    c = (i // S) % C
    x = tl.load(x_ptr + i, mask=mask)
    mean = tl.load(mean_ptr + c, mask=mask)
    var = tl.load(var_ptr + c, mask=mask)
    w = tl.load(w_ptr + c, mask=mask)
    b = tl.load(b_ptr + c, mask=mask)
    tl.store(y_ptr + i, (x - mean) / tl.sqrt(var + eps) * w + b, mask=mask)


class ModelNew(nn.Module):
    def __init__(self, num_features):
        super().__init__()
        self.bn = nn.BatchNorm2d(num_features)

    def forward(self, x):
        x = x.contiguous()
        bn = self.bn
        B, C, H, W = x.shape
        S = H * W
        if self.training:
            mean = torch.empty(C, device=x.device)
            var = torch.empty(C, device=x.device)
            statistics[(C,)](x, mean, var, B, C, S, BLOCK=64)
            n = B * S
            with torch.no_grad():
                bn.num_batches_tracked += 1
                bn.running_mean.mul_(1 - bn.momentum).add_(mean, alpha=bn.momentum)
                bn.running_var.mul_(1 - bn.momentum).add_(var * (n / (n - 1)), alpha=bn.momentum)
        else:
            mean, var = bn.running_mean, bn.running_var
        y = torch.empty_like(x)
        normalise[(triton.cdiv(x.numel(), 128),)](
            x, mean, var, bn.weight, bn.bias, y, x.numel(), C, S, bn.eps, BLOCK=128
        )
        return y
