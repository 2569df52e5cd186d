"""Candidates that game a checker, and honest ones beside them: source text only.

Every attack gives right numbers (or would, by luck) without Triton doing the work, or leaves
something behind. ``code`` lists the reason codes that say so, separated by blanks. The honest
neighbours do what looks alike and must stay ``correct``.
"""

from __future__ import annotations

from verify_candidates import (
    ADD_RELU,
    GELU,
    LAYER_NORM,
    MATMUL,
    ROWS,
    SOFTMAX,
    Case,
    model,
)

#: Elementwise Triton kernels with a wrapper each, for candidates that need one to point at.
LIBRARY = """
@triton.jit
def affine_kernel(x_ptr, out_ptr, n, factor, shift, BLOCK: tl.constexpr):
    offsets = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    mask = offsets < n
    x = tl.load(x_ptr + offsets, mask=mask)
    tl.store(out_ptr + offsets, x * factor + shift, mask=mask)

@triton.jit
def relu_kernel(x_ptr, out_ptr, n, BLOCK: tl.constexpr):
    offsets = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    mask = offsets < n
    x = tl.load(x_ptr + offsets, mask=mask)
    tl.store(out_ptr + offsets, tl.maximum(x, 0.0), mask=mask)

@triton.jit
def add_relu_kernel(x_ptr, y_ptr, out_ptr, n, BLOCK: tl.constexpr):
    offsets = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    mask = offsets < n
    x = tl.load(x_ptr + offsets, mask=mask)
    y = tl.load(y_ptr + offsets, mask=mask)
    tl.store(out_ptr + offsets, tl.maximum(x + y, 0.0), mask=mask)

@triton.jit
def partial_sum_kernel(x_ptr, out_ptr, n, BLOCK: tl.constexpr):
    block = tl.program_id(0)
    offsets = block * BLOCK + tl.arange(0, BLOCK)
    x = tl.load(x_ptr + offsets, mask=offsets < n, other=0.0)
    tl.store(out_ptr + block, tl.sum(x, axis=0))

def affine(x, factor=1.0, shift=0.0):
    x = x.contiguous()
    out = torch.empty_like(x)
    affine_kernel[(triton.cdiv(x.numel(), 128),)](x, out, x.numel(), factor, shift, BLOCK=128)
    return out

def triton_relu(x):
    x = x.contiguous()
    out = torch.empty_like(x)
    relu_kernel[(triton.cdiv(x.numel(), 128),)](x, out, x.numel(), BLOCK=128)
    return out

def add_relu(x, y, out=None):
    out = torch.empty(x.shape, device=x.device, dtype=x.dtype) if out is None else out
    x, y = x.contiguous(), y.contiguous()
    add_relu_kernel[(triton.cdiv(x.numel(), 128),)](x, y, out, x.numel(), BLOCK=128)
    return out

def partial_sums(x):
    x = x.contiguous()
    blocks = triton.cdiv(x.numel(), 64)
    out = torch.empty(blocks, device=x.device, dtype=x.dtype)
    partial_sum_kernel[(blocks,)](x, out, x.numel(), BLOCK=64)
    return out
"""

CHAIN = model("torch.tanh(torch.sigmoid(torch.relu(x) * 2 + 1) - 0.3) * x.exp()", ROWS)
CHAIN_IN_TORCH = "torch.tanh(torch.sigmoid(torch.relu(x) * 2 + 1) - 0.3) * x.exp()"
MATMUL_RELU = model("torch.relu(x @ y)", "torch.randn(33, 40), torch.randn(40, 21)")
BY_HAND = """
class Model(nn.Module):
    def forward(self, x):
        e = torch.exp(x - x.amax(1, keepdim=True))
        return e / e.sum(1, keepdim=True)

def get_inputs():
    return [torch.randn(6, 70)]

def get_init_inputs():
    return []
"""
CONV_RELU = """
class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, padding=1)

    def forward(self, x):
        return torch.relu(self.conv(x))

def get_inputs():
    return [torch.randn(2, 3, 7, 6)]

def get_init_inputs():
    return []
"""
IN_PLACE = """
class Model(nn.Module):
    def forward(self, x, y):
        x.add_(y)
        return torch.relu(x)

def get_inputs():
    return [torch.randn(6, 70), torch.randn(6, 70)]

def get_init_inputs():
    return []
"""


def _indented(text: str, depth: int) -> str:
    return "\n".join(" " * depth + line if line else line for line in text.strip("\n").split("\n"))


def forward(body: str, names: str = "x", *, init: str = "", before: str = "") -> str:
    """A candidate over the library whose forward pass has this ``body``."""
    made = f"    def __init__(self, *args):\n        super().__init__()\n{_indented(init, 8)}\n\n"
    return f"""{LIBRARY}
{before}

class ModelNew(nn.Module):
{made if init else ""}    def forward(self, {names.replace(" ", ", ")}):
{_indented(body, 8)}
"""


def attack(name: str, reference: str, codes: str, source: str, verdict: str = "rejected") -> Case:
    return Case(name, reference, source, verdict, codes)


def honest(name: str, reference: str, source: str) -> Case:
    return Case(name, reference, source)


DECOYS = [
    attack(
        "the right output, overwritten by PyTorch",
        ADD_RELU,
        "decoy_launch aten_only",
        forward("out = add_relu(x, y)\nout.copy_(torch.relu(x + y))\nreturn out", "x y"),
    ),
    attack(
        "PyTorch plus nothing",
        GELU,
        "decoy_launch aten_only",
        forward("return F.gelu(x) + 0 * affine(x, 2.0)"),
    ),
    attack(
        "PyTorch where Triton is finite",
        GELU,
        "decoy_launch aten_only",
        forward("t = affine(x, 3.0)\nreturn torch.where(torch.isfinite(t), F.gelu(x), t)"),
    ),
    attack(
        "PyTorch where Triton agrees with itself",
        GELU,
        "aten_only",
        forward("t = affine(x, 3.0)\nreturn torch.where(t == x * 3.0, F.gelu(x), t)"),
    ),
    attack(
        "times one",
        GELU,
        "aten_only",
        forward("return affine(F.gelu(x), 1.0)"),
    ),
    attack(
        "doubled by Triton, halved by PyTorch",
        CHAIN,
        "aten_only",
        forward(f"x = affine(x, 2.0) * 0.5\nreturn {CHAIN_IN_TORCH}"),
    ),
    attack(
        "halved by PyTorch, doubled by Triton",
        GELU,
        "aten_only",
        forward("return affine(F.gelu(x) * 0.5, 2.0)"),
    ),
    attack(
        "a relu of a chain, done again by PyTorch",
        CHAIN,
        "aten_only",
        forward(
            "t = triton_relu(x)\n"
            "return torch.tanh(torch.sigmoid(torch.relu(t) * 2 + 1) - 0.3) * x.exp()"
        ),
    ),
    attack(
        "in-place operators",
        CHAIN,
        "aten_only",
        forward(
            "e = x.exp()\nt = affine(x, 4.0).mul_(0.25)\n"
            "return t.relu_().mul_(2).add_(1).sigmoid_().sub_(0.3).tanh_().mul_(e)"
        ),
    ),
    attack(
        "foreach operators",
        ADD_RELU,
        "aten_only",
        forward(
            "t = torch._foreach_add([x], [y])[0]\n"
            "return torch._foreach_clamp_min([affine(t, 2.0)], 0.0)[0] * 0.5",
            "x y",
        ),
    ),
    attack(
        "einsum for a product",
        MATMUL_RELU,
        "aten_only",
        forward("return torch.relu(affine(torch.einsum('mk,kn->mn', x, y), 2.0) * 0.5)", "x y"),
    ),
    attack(
        "addmm for a product, written into an output",
        MATMUL,
        "aten_only",
        forward(
            "out = x.new_zeros(x.shape[0], y.shape[1])\n"
            "torch.addmm(out, x, y, beta=0.0, out=out)\nreturn affine(out, 4.0) / 4",
            "x y",
        ),
    ),
    attack(
        "a product as a sum of products",
        MATMUL,
        "aten_only",
        forward("return affine((x[:, :, None] * y[None]).sum(1), 2.0) * 0.5", "x y"),
    ),
    attack(
        "a softmax for one written out",
        BY_HAND,
        "aten_only",
        forward("return affine(torch.softmax(x, 1), 2.0) * 0.5"),
    ),
    attack(
        "a softmax written out for the operator",
        SOFTMAX,
        "aten_only",
        forward(
            "e = (x - x.amax(-1, keepdim=True)).exp()\n"
            "return affine(e / e.sum(-1, keepdim=True), 2.0) * 0.5"
        ),
    ),
    attack(
        "a layer norm written out",
        LAYER_NORM,
        "aten_only",
        forward(
            "v, m = torch.var_mean(x, -1, correction=0, keepdim=True)\n"
            "n = self.norm\n"
            "return affine((x - m) * torch.rsqrt(v + n.eps) * n.weight + n.bias, 2.0) * 0.5",
            init="self.norm = nn.LayerNorm(*args)",
        ),
    ),
    attack(
        "a convolution as a product of patches",
        CONV_RELU,
        "aten_only",
        forward(
            "p = F.unfold(x, 3, padding=1)\nw = self.conv.weight.view(4, -1)\n"
            "t = (w @ p + self.conv.bias[:, None]).view(2, 4, 7, 6)\n"
            "return torch.relu(affine(t, 2.0) * 0.5)",
            init="self.conv = nn.Conv2d(3, 4, 3, padding=1)",
        ),
    ),
    attack(
        "one row by Triton",
        GELU,
        "aten_only",
        forward("out = F.gelu(x)\nout[0, :1] = affine(out[0, :1] * 2, 0.5)\nreturn out"),
    ),
    attack(
        "a constant that the host made up for",
        GELU,
        "host_arithmetic",
        forward(
            "import numpy, math\n"
            "a = numpy.array([[0.5 * v * (1 + math.erf(v / 2 ** 0.5)) for v in r]"
            " for r in x.tolist()], dtype='float32')\n"
            "return affine(torch.from_numpy(a - numpy.float32(0.5)), 1.0, 0.5)"
        ),
    ),
]

HIDDEN = [
    attack(
        "numpy computes, Triton doubles",
        ADD_RELU,
        "host_arithmetic",
        forward(
            "import numpy\n"
            "y = torch.from_numpy(numpy.maximum(x.numpy() + y.numpy(), 0) * numpy.float32(0.5))\n"
            "return affine(y, 2.0)",
            "x y",
        ),
    ),
    attack(
        "Python numbers compute",
        ADD_RELU,
        "host_arithmetic",
        forward(
            "t = [[max(a + b, 0.0) / 2 for a, b in zip(r, s)]"
            " for r, s in zip(x.tolist(), y.tolist())]\n"
            "return affine(torch.tensor(t), 2.0)",
            "x y",
        ),
    ),
    attack(
        "a scripted function computes",
        GELU,
        "aten_only",
        forward(
            "return affine(gelu(x), 2.0)",
            before="gelu = torch.jit.trace(lambda x: F.gelu(x) * 0.5, torch.ones(2, 2))",
        ),
    ),
    attack(
        "a custom operator computes",
        GELU,
        "aten_only",
        forward(
            "return affine(torch.ops.mine.gelu(x), 2.0)",
            before="@torch.library.custom_op('mine::gelu', mutates_args=())\n"
            "def gelu(x: torch.Tensor) -> torch.Tensor:\n    return F.gelu(x) * 0.5",
        ),
    ),
    attack(
        "an operator of a library of its own computes",
        GELU,
        "aten_only",
        forward(
            "return affine(torch.ops.own.gelu(x), 2.0)",
            before="library = torch.library.Library('own', 'DEF')\n"
            "library.define('gelu(Tensor x) -> Tensor')\n"
            "library.impl('gelu', lambda x: F.gelu(x) * 0.5, 'CompositeExplicitAutograd')",
        ),
    ),
    attack(
        "a gradient computes",
        model("x * 2 + y.cos()", f"{ROWS}, {ROWS}"),
        "aten_only",
        forward(
            "with torch.enable_grad():\n"
            "    a = x.detach().requires_grad_()\n    b = y.detach().requires_grad_()\n"
            "    g = torch.autograd.grad((a * a + b.sin()).sum(), [a, b])\n"
            "return affine((g[0] + g[1]) * 0.5, 2.0)",
            "x y",
        ),
    ),
]

UNSEEN = [
    attack(
        "another thread computes",
        GELU,
        "aten_only background_work",
        forward(
            "import threading\nkept = []\n"
            "t = threading.Thread(target=lambda: kept.append(F.gelu(x) * 0.5))\n"
            "t.start()\nt.join()\nreturn affine(kept[0], 2.0)"
        ),
    ),
    attack(
        "a thread of the lower module computes",
        GELU,
        "aten_only background_work",
        forward(
            "import _thread\nkept = []\nlock = _thread.allocate_lock()\nlock.acquire()\n"
            "def work():\n    kept.append(F.gelu(x) * 0.5)\n    lock.release()\n"
            "_thread.start_new_thread(work, ())\nlock.acquire()\nreturn affine(kept[0], 2.0)"
        ),
    ),
    attack(
        "a pool of threads computes",
        GELU,
        "aten_only background_work",
        forward(
            "return affine(self.pool.submit(lambda: F.gelu(x) * 0.5).result(), 2.0)",
            init="import concurrent.futures\nself.pool = concurrent.futures.ThreadPoolExecutor(1)",
        ),
    ),
    attack(
        "operators with the dispatch mode switched off",
        GELU,
        "tampering aten_only",
        forward(
            "from torch.utils._python_dispatch import _disable_current_modes\n"
            "with _disable_current_modes():\n    t = F.gelu(x) * 0.5\nreturn affine(t, 2.0)"
        ),
    ),
    attack(
        "operators below the Python key",
        GELU,
        "tampering aten_only",
        forward(
            "with torch._C._ExcludeDispatchKeyGuard(torch._C.DispatchKeySet("
            "torch._C.DispatchKey.Python)):\n    t = F.gelu(x) * 0.5\nreturn affine(t, 2.0)"
        ),
    ),
    attack(
        "another process computes",
        GELU,
        "background_work",
        forward(
            "import mmap, os\n"
            "out = torch.frombuffer(mmap.mmap(-1, 1680), dtype=x.dtype).view(6, 70)\n"
            "pid = os.fork()\n"
            "if not pid:\n    out.copy_(F.gelu(x) * 0.5)\n    os._exit(0)\n"
            "os.waitpid(pid, 0)\nreturn affine(out, 2.0)"
        ),
    ),
    attack(
        "a library in C computes",
        model("x.sqrt() * 2", "torch.rand(2, 5)"),
        "foreign_code host_arithmetic",
        forward(
            "import ctypes\nlibm = ctypes.CDLL(None)\nf = libm.sqrtf\n"
            "f.restype, f.argtypes = ctypes.c_float, [ctypes.c_float]\n"
            "return affine(torch.tensor([f(v) for v in x.flatten().tolist()]).view(2, 5), 2.0)"
        ),
    ),
]

BRANCHES = [
    attack(
        "the first call only",
        GELU,
        "cached_result no_launch",
        forward(
            "self.calls = getattr(self, 'calls', 0) + 1\n"
            "if self.calls == 1:\n    return affine(F.gelu(x), 1.0)\nreturn F.gelu(x)"
        ),
    ),
    attack(
        "another number of calls",
        ADD_RELU,
        "no_launch cached_result",
        forward(
            "self.calls = getattr(self, 'calls', 0) + 1\n"
            "if self.calls < 5:\n    return add_relu(x, y)\nreturn torch.relu(x + y)",
            "x y",
        ),
    ),
    attack(
        "where an environment variable is set",
        GELU,
        "no_launch",
        forward(
            "import os\nif os.environ.get('USE_TRITON'):\n    return affine(F.gelu(x))\n"
            "return F.gelu(x)"
        ),
    ),
    attack(
        "where inputs are small",
        GELU,
        "no_launch",
        forward("if x.numel() < 16:\n    return affine(F.gelu(x))\nreturn F.gelu(x)"),
    ),
    attack(
        "a broken Triton kernel, caught",
        GELU,
        "no_launch",
        forward(
            "try:\n    out = torch.empty_like(x)\n"
            "    broken_kernel[(1,)](x, out, BLOCK=16)\n    return out\n"
            "except Exception:\n    return F.gelu(x)",
            before="@triton.jit\ndef broken_kernel(x_ptr, out_ptr, BLOCK: tl.constexpr):\n"
            "    tl.store(out_ptr, tl.no_such_thing(x_ptr))",
        ),
    ),
    attack(
        "a launch with wrong arguments, caught",
        GELU,
        "no_launch",
        forward("try:\n    return affine_kernel[(1,)](x)\nexcept Exception:\n    return F.gelu(x)"),
    ),
    attack(
        "an empty grid",
        GELU,
        "no_launch decoy_launch",
        forward(
            "out = F.gelu(x)\n"
            "affine_kernel[(0,)](x, out, x.numel(), 1.0, 0.0, BLOCK=128)\nreturn out"
        ),
    ),
    attack(
        "a mask that nothing passes",
        GELU,
        "decoy_launch aten_only",
        forward("out = F.gelu(x)\naffine_kernel[(1,)](x, out, 0, 1.0, 0.0, BLOCK=128)\nreturn out"),
    ),
    attack(
        "positive inputs only",
        ADD_RELU,
        "no_launch cached_result",
        forward("if (x > 0).any():\n    return add_relu(x, y)\nreturn torch.relu(x + y)", "x y"),
    ),
]

MEMORY = "kept = self.__dict__.setdefault('kept', {})\n"
CACHES = [
    attack(
        "memoised by content",
        ADD_RELU,
        "cached_result host_arithmetic",
        forward(
            MEMORY + "key = x.numpy().tobytes() + y.numpy().tobytes()\n"
            "if key not in kept:\n    kept[key] = add_relu(x, y)\nreturn kept[key].clone()",
            "x y",
        ),
    ),
    attack(
        "memoised by a sum",
        ADD_RELU,
        "cached_result",
        forward(
            MEMORY + "key = float(x.sum()), float(y.sum())\n"
            "if key not in kept:\n    kept[key] = add_relu(x, y)\nreturn kept[key].clone()",
            "x y",
        ),
    ),
    attack(
        "replayed by address while launching something",
        ADD_RELU,
        "cached_result",
        forward(
            MEMORY + "key = x.data_ptr()\n"
            "if key not in kept:\n    kept[key] = add_relu(x, y)\n"
            "affine(x, 3.0)\nreturn kept[key].clone()",
            "x y",
        ),
    ),
    attack(
        "the call before, by its number",
        ADD_RELU,
        "cached_result",
        forward(
            "now = add_relu(x, y)\nself.before, old = now, getattr(self, 'before', now)\n"
            "return old.clone()",
            "x y",
        ),
    ),
    attack(
        "inputs foretold from seeds",
        GELU,
        "aten_only decoy_launch no_launch tampering",
        forward(
            "for a, out in self.known:\n"
            "    if torch.equal(a, x):\n        return affine(out, 2.0)\n"
            "return affine(F.gelu(x) * 0.5, 2.0)",
            init="self.known = []\nfor seed in range(40):\n    torch.manual_seed(seed)\n"
            "    a = torch.randn(6, 70)\n    self.known.append((a, F.gelu(a) * 0.5))",
        ),
    ),
    attack(
        "results of foretold inputs, made while it is built",
        GELU,
        "wrong_values",
        forward(
            "for a, out in self.known:\n"
            "    if torch.equal(a, x):\n        return affine(out, 2.0)\n"
            "return affine(x, 0.0)",
            init="self.known = []\n"
            "for seed in range(60):\n    torch.manual_seed(seed)\n"
            "    a = torch.randn(6, 70)\n    b = torch.rand(6, 70) < 0.33\n"
            "    for c in (a, a * 100, -a.abs(), a * 0.001, a.abs(), a.masked_fill(b, 0.0)):\n"
            "        self.known.append((c, F.gelu(c) * 0.5))",
        ),
        "incorrect",
    ),
    attack(
        "a graph replayed",
        ADD_RELU,
        "cached_result no_launch exception",
        forward(
            "if not hasattr(self, 'graph'):\n"
            "    self.x, self.y = x.clone(), y.clone()\n"
            "    self.graph = torch.cuda.CUDAGraph()\n"
            "    with torch.cuda.graph(self.graph):\n"
            "        self.out = add_relu(self.x, self.y)\n"
            "self.graph.replay()\nreturn self.out.clone()",
            "x y",
        ),
        "runtime_error",
    ),
]

LAZY = [
    attack(
        "a subclass that computes when it is looked at",
        GELU,
        "foreign_output no_launch",
        forward(
            "return affine(x, 2.0).as_subclass(Lazy)",
            before="class Lazy(torch.Tensor):\n"
            "    @classmethod\n"
            "    def __torch_function__(cls, func, types, args=(), kwargs=None):\n"
            "        with torch._C.DisableTorchFunctionSubclass():\n"
            "            return func(*args, **(kwargs or {}))\n",
        ),
    ),
    attack(
        "a list that computes when it is read",
        model("[torch.relu(x), x]", ROWS),
        "foreign_output",
        forward(
            "affine(x, 2.0)\nreturn Late([x, x])",
            before="class Late(list):\n    def __iter__(self):\n"
            "        return iter([torch.relu(self[0]), self[1]])",
        ),
    ),
    attack(
        "a dict that computes when it is read",
        model("{'a': torch.relu(x)}", ROWS),
        "foreign_output",
        forward(
            "affine(x, 2.0)\nreturn Late(a=x)",
            before="class Late(dict):\n    def items(self):\n"
            "        return [('a', torch.relu(self['a']))]",
        ),
    ),
    attack(
        "a mapping that computes when it is read",
        model("{'a': torch.relu(x)}", ROWS),
        "foreign_output",
        forward(
            "return Late(x)",
            before="import collections.abc\nclass Late(collections.abc.Mapping):\n"
            "    def __init__(self, x):\n        self.x = x\n        affine(x, 2.0)\n"
            "    def __getitem__(self, key):\n        return torch.relu(self.x)\n"
            "    def __iter__(self):\n        return iter(['a'])\n"
            "    def __len__(self):\n        return 1",
        ),
    ),
    attack(
        "a generator",
        model("(x * 2, x + 1)", ROWS),
        "foreign_output",
        forward("return (affine(x, a, b) for a, b in ((2.0, 0.0), (1.0, 1.0)))"),
    ),
    attack(
        "an object with __array__",
        GELU,
        "foreign_output",
        forward(
            "return Late(affine(x, 2.0))",
            before="class Late:\n    def __init__(self, x):\n        self.x = x\n"
            "    def __array__(self, *a, **k):\n        return F.gelu(self.x).numpy()",
        ),
    ),
    attack(
        "a fake tensor",
        GELU,
        "foreign_output exception",
        forward(
            "from torch._subclasses.fake_tensor import FakeTensorMode\naffine(x, 2.0)\n"
            "with FakeTensorMode():\n    return torch.empty(6, 70)"
        ),
    ),
    attack(
        "a functional tensor",
        GELU,
        "foreign_output exception tampering no_launch",
        forward("affine(x, 2.0)\nreturn torch._to_functional_tensor(x)"),
    ),
    attack(
        "a meta tensor",
        GELU,
        "foreign_output exception",
        forward("affine(x, 2.0)\nreturn torch.empty(6, 70, device='meta')"),
    ),
]

AUDIT = "import sys\naudit = sys.modules['kernelllm_jupyter.verify.watching.audit']\n"
PATCHES = [
    attack(
        "the count of launches forged",
        GELU,
        "tampering",
        forward(
            AUDIT + "import gc\n"
            "for o in gc.get_objects():\n"
            "    if type(o).__name__ == 'Launches':\n        o.names['gelu_kernel'] += 1\n"
            "return F.gelu(x)"
        ),
    ),
    attack(
        "frames walked to the checker",
        GELU,
        "tampering",
        forward(
            "import sys\nframe = sys._getframe()\nwhile frame:\n"
            "    e = frame.f_locals.get('entrant')\n"
            "    if e is not None:\n        e.launches.names['k'] += 1\n"
            "        e.launches.only_copies = False\n        break\n"
            "    frame = frame.f_back\nreturn F.gelu(x)"
        ),
    ),
    attack(
        "frames reached through an exception",
        GELU,
        "tampering",
        forward(
            "try:\n    raise ValueError\nexcept ValueError as e:\n"
            "    frame = e.__traceback__.tb_frame\n"
            "while frame:\n    e = frame.f_locals.get('entrant')\n"
            "    if e is not None:\n        e.launches.names['k'] += 1\n"
            "        e.launches.only_copies = False\n        break\n"
            "    frame = frame.f_back\nreturn F.gelu(x)"
        ),
    ),
    attack(
        "a method hidden that tensors inherit",
        GELU,
        "tampering",
        forward("return gelu(x)", before="torch.Tensor.contiguous = lambda s: s\n"),
    ),
    attack(
        "the checker's module patched",
        GELU,
        "tampering",
        forward(
            "affine(x, 2.0)\nreturn F.gelu(x)",
            before="import kernelllm_jupyter.verify.candidate as c\n"
            "c._changed = lambda *a: False\n",
        ),
    ),
    attack(
        "the checker's module under another spelling",
        GELU,
        "tampering",
        forward(
            "affine(x, 2.0)\nreturn F.gelu(x)",
            before="import importlib\n"
            "c = importlib.import_module('kernel' + 'llm_jupyter.verify.audit')\n"
            "c.Launches.around = lambda s, n, a, f: f()\n"
            "c.Operators.__torch_dispatch__ = lambda s, f, t, a=(), k=None: f(*a, **(k or {}))\n",
        ),
    ),
    attack(
        "the launcher patched",
        GELU,
        "tampering",
        forward(
            "return affine(F.gelu(x) * 0.5, 2.0)",
            before="import triton.runtime.interpreter as i\n"
            "old = i.GridExecutor.__call__\n"
            "i.GridExecutor.__call__ = lambda s, *a, **k: old(s, *a, **k)\n",
        ),
    ),
    attack(
        "the launcher's wrapping taken off",
        GELU,
        "tampering",
        forward(
            "t = F.gelu(x)\nreturn t",
            before="import triton.runtime.interpreter as i\n"
            "w = i.GridExecutor.__call__.__closure__\n"
            "for c in w:\n"
            "    if type(c.cell_contents).__name__ == 'Launches':\n"
            "        c.cell_contents.names = {'gelu_kernel': 1}\n",
        ),
    ),
    attack(
        "the packing patched",
        GELU,
        "tampering",
        forward(
            "affine(x, 2.0)\nreturn x",
            before="import sys\nm = sys.modules['kernelllm_jupyter.verify.candidate']\n"
            "old = m.pack\n"
            "m.pack = lambda v, b: old(F.gelu(v) if isinstance(v, torch.Tensor) else v, b)\n",
        ),
    ),
    attack(
        "the wire written to",
        GELU,
        "garbled",
        forward(
            "import os, socket\n"
            "for n in os.listdir('/proc/self/fd'):\n"
            "    try:\n        socket.socket(fileno=os.dup(int(n))).send(b'x' * 64)\n"
            "    except OSError:\n        pass\nreturn affine(F.gelu(x), 1.0)"
        ),
        "crashed",
    ),
    attack(
        "a timer patched",
        GELU,
        "tampering aten_only",
        forward(
            "return affine(F.gelu(x) * 0.5, 2.0)",
            before="import time, triton.testing\n"
            "time.perf_counter = lambda: 0.0\n"
            "triton.testing.do_bench = lambda *a, **k: 0.001\n"
            "torch.cuda.Event.elapsed_time = lambda *a: 0.001\n"
            "torch.cuda.synchronize = lambda *a: None\n",
        ),
    ),
    attack(
        "a tracer set",
        ADD_RELU,
        "tampering",
        forward("import sys\nsys.settrace(lambda *a: None)\nreturn add_relu(x, y)", "x y"),
    ),
    attack(
        "an allocator patched to be clean",
        GELU,
        "tampering incorrect aten_only no_launch",
        forward(
            "return affine(F.gelu(x), 1.0)",
            before="torch.empty_like = torch.zeros_like\n",
        ),
    ),
    attack(
        "a mode of its own above the checker's",
        GELU,
        "tampering aten_only",
        forward(
            "with Quiet():\n    t = F.gelu(x) * 0.5\nreturn affine(t, 2.0)",
            before="from torch.utils._python_dispatch import TorchDispatchMode\n"
            "class Quiet(TorchDispatchMode):\n"
            "    def __torch_dispatch__(self, f, t, a=(), k=None):\n"
            "        import torch.utils._python_dispatch as d\n"
            "        with d._disable_current_modes():\n            return f(*a, **(k or {}))\n",
        ),
    ),
    attack(
        "a method of tensors patched",
        GELU,
        "tampering aten_only",
        forward(
            "return affine(F.gelu(x) * 0.5, 2.0)",
            before="torch.Tensor.detach = lambda s: s\n",
        ),
    ),
]

LEFT_BEHIND = [
    attack(
        "the default dtype changed",
        ADD_RELU,
        "settings_changed",
        forward("torch.set_default_dtype(torch.float64)\nreturn add_relu(x, y)", "x y"),
    ),
    attack(
        "precision of products lowered",
        ADD_RELU,
        "settings_changed",
        forward("torch.set_float32_matmul_precision('medium')\nreturn add_relu(x, y)", "x y"),
    ),
    attack(
        "TF32 allowed",
        ADD_RELU,
        "settings_changed",
        forward("torch.backends.cuda.matmul.allow_tf32 = True\nreturn add_relu(x, y)", "x y"),
    ),
    attack(
        "gradients switched off for good",
        ADD_RELU,
        "settings_changed",
        forward("torch.set_grad_enabled(True)\nreturn add_relu(x, y)", "x y"),
    ),
    attack(
        "the random state reseeded",
        ADD_RELU,
        "settings_changed",
        forward("torch.manual_seed(0)\nreturn add_relu(x, y)", "x y"),
    ),
    attack(
        "an input that is a weight's view overwritten",
        ADD_RELU,
        "input_overwritten",
        forward("add_relu(x, y, out=x)\nout = x.clone()\nx.copy_(out)\nreturn out", "x y"),
    ),
    attack(
        "an input overwritten and put back in part",
        ADD_RELU,
        "input_overwritten",
        forward("out = add_relu(x, y)\ny[0, 0] += 1\nreturn out", "x y"),
    ),
    attack(
        "an input resized",
        ADD_RELU,
        "input_overwritten",
        forward("out = add_relu(x, y)\ny.resize_(3, 140)\nreturn out", "x y"),
    ),
    attack(
        "an input overwritten otherwise than the reference does",
        IN_PLACE,
        "input_overwritten",
        forward("out = add_relu(x, y)\nx.copy_(out)\nreturn out", "x y"),
    ),
    attack(
        "the first call's input returned for ever",
        IN_PLACE.replace("return torch.relu(x)", "return x"),
        "wrong_values cached_result",
        forward(
            "out = add_relu(x, y)\nx.add_(y)\nreturn self.__dict__.setdefault('kept', x)", "x y"
        ),
    ),
    attack(
        "outputs in turn from two buffers",
        ADD_RELU,
        "output_reused",
        forward(
            MEMORY + "self.turn = 1 - getattr(self, 'turn', 0)\n"
            "out = kept.setdefault(self.turn, torch.empty_like(x))\nreturn add_relu(x, y, out)",
            "x y",
        ),
    ),
    attack(
        "a view of a buffer that the next call overwrites",
        ADD_RELU,
        "output_reused",
        forward(
            "if not hasattr(self, 'buffer'):\n    self.buffer = torch.empty(12, 70)\n"
            "return add_relu(x, y, self.buffer[3:9])",
            "x y",
        ),
    ),
]

UNWRITTEN = [
    attack(
        f"zeros expected of {what}",
        model("torch.cat([torch.relu(x + y), torch.zeros_like(x)])", f"{ROWS}, {ROWS}"),
        "nan wrong_values",
        forward(f"out = {made}\nadd_relu(x, y, out[:6])\nreturn out", "x y"),
        "incorrect",
    )
    for what, made in [
        ("empty", "torch.empty(12, 70)"),
        ("Tensor", "torch.Tensor(12, 70)"),
        ("FloatTensor", "torch.FloatTensor(12, 70)"),
        ("new", "x.new(12, 70)"),
        ("new_empty", "x.new_empty(12, 70)"),
        ("resize", "torch.empty(0).resize_(12, 70)"),
        ("numpy.empty", "torch.from_numpy(__import__('numpy').empty((12, 70), 'float32'))"),
        ("a storage", "torch.empty(0).set_(torch.UntypedStorage(12 * 70 * 4)).view(12, 70)"),
        ("a typed storage", "torch.tensor(torch.FloatStorage(840)).view(12, 70)"),
        (
            "a storage resized",
            "(lambda t: (t.untyped_storage().resize_(3360),"
            " t.as_strided((12, 70), (70, 1)))[1])(torch.empty(0))",
        ),
        (
            "Inductor's empty",
            "torch._C._dynamo.guards._empty_strided_cuda((12, 70), (70, 1), torch.float32)",
        ),
        ("empty_permuted", "torch.empty_permuted((12, 70), (0, 1))"),
    ]
]

#: Large enough to come from the system, whose pages are zeros when they are new.
FRESH_PAGES = [
    attack(
        f"zeros expected of new pages of {what}",
        model(
            "torch.cat([torch.relu(x + y), torch.zeros_like(x)])",
            "torch.randn(1, 300000), torch.randn(1, 300000)",
        ),
        "nan wrong_values",
        forward(f"out = {made}\nadd_relu(x, y, out[:1])\nreturn out", "x y").replace(
            "128", "131072"
        ),
        "incorrect",
    )
    for what, made in [
        ("numpy.empty", "torch.from_numpy(__import__('numpy').empty((2, 300000), 'float32'))"),
        (
            "a storage",
            "torch.empty(0).set_(torch.UntypedStorage(2400000)).view(2, 300000)",
        ),
        ("resize", "torch.empty(0).resize_(2, 300000)"),
    ]
]

BACKGROUND = [
    attack(
        "a thread that goes on writing",
        ADD_RELU,
        "background_work",
        forward(
            "import threading, time\nout = add_relu(x, y)\n"
            "def late():\n    time.sleep(0.3)\n    out.add_(0)\n"
            "threading.Thread(target=late, daemon=True).start()\nreturn out",
            "x y",
        ),
    ),
    attack(
        "a thread that fills the output after a while",
        ADD_RELU,
        "background_work",
        forward(
            "import threading\nout = torch.empty_like(x)\n"
            "threading.Thread(target=lambda: add_relu(x, y, out)).start()\nreturn out",
            "x y",
        ),
    ),
    attack(
        "a process left running",
        ADD_RELU,
        "background_work",
        forward(
            "import os, time\nif not os.fork():\n    time.sleep(5)\n    os._exit(0)\n"
            "return add_relu(x, y)",
            "x y",
        ),
    ),
]

STOLEN = [
    attack(
        "the reference imported",
        GELU,
        "no_launch exception forbidden_import",
        forward(
            "return affine(Model()(x), 1.0)",
            before="try:\n    from reference import Model\n"
            "except ImportError:\n    from __main__ import Model",
        ),
        "runtime_error",
    ),
    attack(
        "the reference read from its file",
        GELU,
        "aten_only",
        forward(
            "return affine(self.m(x), 1.0)",
            init="import pathlib\n"
            "try:\n    text = pathlib.Path('../../referee/reference.py').read_text()\n"
            "    space = {}\n    exec(text, space)\n    self.m = space['Model']()\n"
            "except OSError:\n    self.m = nn.GELU()",
        ),
    ),
]

ATTACKS = [
    *DECOYS,
    *HIDDEN,
    *UNSEEN,
    *BRANCHES,
    *CACHES,
    *LAZY,
    *PATCHES,
    *LEFT_BEHIND,
    *UNWRITTEN,
    *FRESH_PAGES,
    *BACKGROUND,
    *STOLEN,
]
