# expect: incorrect
import torch
import torch.nn as nn
import triton
import triton.language as tl


@triton.jit
def conv1x1_bn_relu(x_ptr, w_ptr, s_ptr, t_ptr, y_ptr, CI, CO, S, BLOCK: tl.constexpr):
    b = tl.program_id(0)
    o = tl.program_id(1)
    p = tl.program_id(2) * BLOCK + tl.arange(0, BLOCK)
    mask = p < S
    acc = tl.zeros([BLOCK], tl.float32)
    for c in range(CI):
        x = tl.load(x_ptr + (b * CI + c) * S + p, mask=mask, other=0.0)
        acc += x * tl.load(w_ptr + o * CI + c)
    y = acc * tl.load(s_ptr + o) + tl.load(t_ptr + o)
    tl.store(y_ptr + (b * CO + o) * S + p, tl.maximum(y, 0.0), mask=mask)


class ModelNew(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.conv = nn.Conv2d(channels, 6, kernel_size=1)
        self.bn = nn.BatchNorm2d(6)
        self.eval()

    def forward(self, x):
        x = x.contiguous()
        B, CI, H, W = x.shape
        CO = self.conv.out_channels
        scale = self.bn.weight / torch.sqrt(self.bn.running_var + self.bn.eps)
        shift = self.bn.bias + (0.0 - self.bn.running_mean) * scale
        y = torch.empty(B, CO, H, W, device=x.device, dtype=x.dtype)
        conv1x1_bn_relu[(B, CO, triton.cdiv(H * W, 16))](
            x, self.conv.weight, scale, shift, y, CI, CO, H * W, BLOCK=16
        )
        return y
