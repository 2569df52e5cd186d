"""Many small functions as references, with right and subtly wrong candidates: source text only.

The right ones are what an engineer would write; each wrong one differs from a right one in a
constant, a bound, a mask or a precision.
"""

from __future__ import annotations

from verify_candidates import Case, elementwise, model

ROWS = "torch.randn(6, 70)"
TWO = "torch.randn(6, 70), torch.randn(6, 70)"
UNIFORM = "torch.rand(6, 70)"
MINUS_INFINITY = '-float("inf")'

ROW_KERNEL = """
@triton.jit
def multiply(a, b):
    return a * b

@triton.jit
def row_kernel(x_ptr, out_ptr, n, BLOCK: tl.constexpr):
    row = tl.program_id(0)
    offsets = tl.arange(0, BLOCK)
    mask = offsets < n
    x = tl.load(x_ptr + row * n + offsets, mask=mask, other=OTHER)
LINES
    STORE

class ModelNew(nn.Module):
    def forward(self, x):
        out = torch.empty(SHAPE, device=x.device, dtype=DTYPE)
        n = x.shape[-1]
        row_kernel[(x.numel() // n,)](x, out, n, BLOCK=triton.next_power_of_2(n))
        return out
"""


def pointwise(
    name: str, body: str, expression: str, inputs: str = ROWS, prelude: str = "", dtype: str = ""
) -> Case:
    """One output element for each element of ``x`` (and ``y``)."""
    names = "x y" if inputs.count("torch.") > 1 else "x"
    indented = "\n".join("    " + line for line in prelude.splitlines())
    source = elementwise(expression, prelude=indented, names=names)
    if dtype:
        source = source.replace("torch.empty_like(x)", f"torch.empty_like(x, dtype={dtype})")
    return Case(name, model(body, inputs), source)


def rowwise(
    name: str,
    body: str,
    lines: str,
    inputs: str = ROWS,
    *,
    whole: bool = True,
    other: str = "0.0",
    dtype: str = "x.dtype",
) -> Case:
    """One program for each row; ``lines`` compute ``r``, a row or one number of it."""
    store = (
        "tl.store(out_ptr + row * n + offsets, r, mask=mask)"
        if whole
        else "tl.store(out_ptr + row, r)"
    )
    source = (
        ROW_KERNEL.replace("OTHER", other)
        .replace("LINES", "\n".join("    " + line for line in lines.splitlines()))
        .replace("STORE", store)
        .replace("SHAPE", "x.shape" if whole else "x.shape[:-1]")
        .replace("DTYPE", dtype)
    )
    return Case(name, model(body, inputs), source)


RIGHT_FUNCTIONS = [
    pointwise("exp", "torch.exp(x)", "tl.exp(x)"),
    pointwise("log", "torch.log(x)", "tl.log(x)"),
    pointwise("log rand", "torch.log(x)", "tl.log(x)", UNIFORM),
    pointwise("sqrt", "torch.sqrt(x)", "tl.sqrt(x)", UNIFORM),
    pointwise("rsqrt", "torch.rsqrt(x+1e-6)", "1.0/tl.sqrt(x+1e-6)", UNIFORM),
    pointwise("div", "x/y", "x/y", TWO),
    pointwise("pow", "x**3", "x*x*x"),
    pointwise("pow frac", "torch.pow(x,1.7)", "tl.exp(1.7*tl.log(x))", UNIFORM),
    pointwise("sigmoid", "torch.sigmoid(x)", "1/(1+tl.exp(-x))"),
    pointwise("sigmoid tl", "torch.sigmoid(x)", "tl.sigmoid(x)"),
    pointwise("tanh sigmoid", "torch.tanh(x)", "2*tl.sigmoid(2*x)-1"),
    pointwise("silu", "F.silu(x)", "x*tl.sigmoid(x)"),
    pointwise(
        "mish",
        "F.mish(x)",
        "x*(2*tl.sigmoid(2*sp)-1)",
        prelude="sp=tl.where(x>20,x,tl.log(1+tl.exp(x)))",
    ),
    pointwise("softplus", "F.softplus(x)", "tl.where(x>20.0,x,tl.log(1.0+tl.exp(x)))"),
    pointwise("elu", "F.elu(x)", "tl.where(x>0,x,tl.exp(x)-1)"),
    pointwise(
        "selu", "F.selu(x)", "1.0507009873554805*tl.where(x>0,x,1.6732632423543772*(tl.exp(x)-1))"
    ),
    pointwise("leaky", "F.leaky_relu(x,0.01)", "tl.where(x>0,x,0.01*x)"),
    pointwise("hardswish", "F.hardswish(x)", "x*tl.minimum(tl.maximum(x+3,0.0),6.0)/6"),
    pointwise("hardsigmoid", "F.hardsigmoid(x)", "tl.minimum(tl.maximum(x/6+0.5,0.0),1.0)"),
    pointwise("hardtanh", "F.hardtanh(x)", "tl.minimum(tl.maximum(x,-1.0),1.0)"),
    pointwise("relu6", "F.relu6(x)", "tl.minimum(tl.maximum(x,0.0),6.0)"),
    pointwise(
        "gelu tanh",
        "F.gelu(x, approximate='tanh')",
        "0.5*x*(1+t)",
        prelude="u=0.7978845608028654*(x+0.044715*x*x*x)\nt=2*tl.sigmoid(2*u)-1",
    ),
    pointwise("softsign", "F.softsign(x)", "x/(1+tl.abs(x))"),
    pointwise("logsigmoid", "F.logsigmoid(x)", "tl.minimum(x,0.0)-tl.log(1+tl.exp(-tl.abs(x)))"),
    pointwise("sin", "torch.sin(x)", "tl.sin(x)"),
    pointwise("cos*", "torch.cos(x)*y", "tl.cos(x)*y", TWO),
    pointwise("abs", "torch.abs(x)", "tl.abs(x)"),
    pointwise("sign", "torch.sign(x)", "tl.where(x>0,1.0,tl.where(x<0,-1.0,0.0))"),
    pointwise("floor", "torch.floor(x)", "tl.floor(x)"),
    pointwise("clamp", "torch.clamp(x,-0.5,0.7)", "tl.clamp(x,-0.5,0.7)"),
    pointwise("square sub", "(x-y)**2", "(x-y)*(x-y)", TWO),
    pointwise("tanhshrink", "F.tanhshrink(x)", "x-(2*tl.sigmoid(2*x)-1)"),
    pointwise("expm1", "torch.expm1(x)", "tl.exp(x)-1"),
    pointwise("log1p", "torch.log1p(x)", "tl.log(1+x)", UNIFORM),
    pointwise("atan2-ish", "x*torch.erf(y)", "x*tl.erf(y)", TWO),
    pointwise("where", "torch.where(x>0,x,y)", "tl.where(x>0,x,y)", TWO),
    pointwise("compare", "(x>y)", "x>y", TWO, dtype="torch.bool"),
    pointwise("half add", "x+y", "x+y", "torch.randn(6,70).half(), torch.randn(6,70).half()"),
    pointwise(
        "half gelu",
        "F.gelu(x)",
        "(0.5*f*(1+tl.erf(f*0.7071067811865476)))",
        "torch.randn(6,70).half()",
        prelude="f=x.to(tl.float32)",
    ),
    pointwise(
        "bf16 silu",
        "F.silu(x)",
        "(f*tl.sigmoid(f))",
        "torch.randn(6,70).bfloat16()",
        prelude="f=x.to(tl.float32)",
    ),
    pointwise(
        "bf16 chain",
        "F.gelu(x*2+1)*x",
        "(0.5*g*(1+tl.erf(g*0.7071067811865476)))*f",
        "torch.randn(6,70).bfloat16()",
        prelude="f=x.to(tl.float32)\ng=f*2+1",
    ),
    pointwise(
        "half chain",
        "torch.tanh(x*y+x)*y",
        "(2*tl.sigmoid(2*(f*g+f))-1)*g",
        "torch.randn(6,70).half(), torch.randn(6,70).half()",
        prelude="f=x.to(tl.float32)\ng=y.to(tl.float32)",
    ),
    pointwise("int mod", "x % 7", "((x % 7) + 7) % 7", "torch.randint(-50,50,(6,70))"),
    pointwise("int shift", "(x << 2) & 255", "(x << 2) & 255", "torch.randint(0,50,(6,70))"),
    pointwise("double", "torch.exp(x)", "tl.exp(x)", "torch.randn(6,70).double()"),
    rowwise(
        "softmax",
        "torch.softmax(x,-1)",
        "e=tl.exp(x-tl.max(x,axis=0))\nr=e/tl.sum(e,axis=0)",
        other=MINUS_INFINITY,
    ),
    rowwise(
        "log_softmax",
        "torch.log_softmax(x,-1)",
        "z=x-tl.max(x,axis=0)\nr=z-tl.log(tl.sum(tl.exp(z),axis=0))",
        other=MINUS_INFINITY,
    ),
    rowwise(
        "logsumexp",
        "torch.logsumexp(x,-1)",
        "m=tl.max(x,axis=0)\nr=m+tl.log(tl.sum(tl.exp(x-m),axis=0))",
        whole=False,
        other=MINUS_INFINITY,
    ),
    rowwise("mean", "x.mean(-1)", "r=tl.sum(x,axis=0)/n", whole=False),
    rowwise(
        "var",
        "x.var(-1)",
        "m=tl.sum(x,axis=0)/n\nc=tl.where(mask,x-m,0.0)\nr=tl.sum(c*c,axis=0)/(n-1)",
        whole=False,
    ),
    rowwise(
        "var onepass",
        "x.var(-1,unbiased=False)",
        "m=tl.sum(x,axis=0)/n\nr=tl.sum(x*x,axis=0)/n-m*m",
        whole=False,
    ),
    rowwise(
        "std",
        "x.std(-1)",
        "m=tl.sum(x,axis=0)/n\nc=tl.where(mask,x-m,0.0)\nr=tl.sqrt(tl.sum(c*c,axis=0)/(n-1))",
        whole=False,
    ),
    rowwise("norm", "x.norm(dim=-1)", "r=tl.sqrt(tl.sum(x*x,axis=0))", whole=False),
    rowwise(
        "normalize", "F.normalize(x,dim=-1)", "r=x/tl.maximum(tl.sqrt(tl.sum(x*x,axis=0)),1e-12)"
    ),
    rowwise(
        "rmsnorm",
        "x*torch.rsqrt(x.pow(2).mean(-1,keepdim=True)+1e-6)",
        "r=x*(1.0/tl.sqrt(tl.sum(x*x,axis=0)/n+1e-6))",
    ),
    rowwise(
        "layernorm",
        "F.layer_norm(x,(70,))",
        "m=tl.sum(x,axis=0)/n\nc=tl.where(mask,x-m,0.0)\nr=c/tl.sqrt(tl.sum(c*c,axis=0)/n+1e-5)",
    ),
    rowwise(
        "layernorm onepass",
        "F.layer_norm(x,(70,))",
        "m=tl.sum(x,axis=0)/n\nv=tl.sum(x*x,axis=0)/n-m*m\nr=(x-m)/tl.sqrt(v+1e-5)",
    ),
    rowwise("max", "x.max(-1).values", "r=tl.max(x,axis=0)", whole=False, other=MINUS_INFINITY),
    rowwise(
        "argmax",
        "x.argmax(-1)",
        "r=tl.argmax(x,axis=0).to(tl.int64)",
        whole=False,
        other=MINUS_INFINITY,
        dtype="torch.int64",
    ),
    rowwise("cumsum", "x.cumsum(-1)", "r=tl.cumsum(x,axis=0)"),
    rowwise("prod", "x.prod(-1)", "r=tl.reduce(x, 0, multiply)", whole=False, other="1.0"),
    rowwise(
        "half softmax",
        "torch.softmax(x,-1)",
        "x=x.to(tl.float32)\ne=tl.exp(x-tl.max(x,axis=0))\nr=e/tl.sum(e,axis=0)",
        "torch.randn(6,70).half()",
        other=MINUS_INFINITY,
    ),
    rowwise(
        "bf16 softmax",
        "torch.softmax(x,-1)",
        "x=x.to(tl.float32)\ne=tl.exp(x-tl.max(x,axis=0))\nr=e/tl.sum(e,axis=0)",
        "torch.randn(6,70).bfloat16()",
        other=MINUS_INFINITY,
    ),
    rowwise(
        "half mean",
        "x.mean(-1)",
        "r=tl.sum(x.to(tl.float32),axis=0)/n",
        "torch.randn(6,70).half()",
        whole=False,
    ),
    rowwise(
        "half sum halfacc",
        "x.sum(-1)",
        "r=tl.sum(x,axis=0)",
        "torch.randn(6,70).half()",
        whole=False,
    ),
    rowwise(
        "softmax big",
        "torch.softmax(x,-1)",
        "e=tl.exp(x-tl.max(x,axis=0))\nr=e/tl.sum(e,axis=0)",
        "torch.randn(4,4096)*5",
        other=MINUS_INFINITY,
    ),
    rowwise("sum big", "x.sum(-1)", "r=tl.sum(x,axis=0)", "torch.rand(4,8192)", whole=False),
    rowwise(
        "mean shifted", "x.mean(-1)", "r=tl.sum(x,axis=0)/n", "torch.rand(4,1000)+100", whole=False
    ),
    rowwise(
        "layernorm shifted",
        "F.layer_norm(x,(1000,))",
        "m=tl.sum(x,axis=0)/n\nc=tl.where(mask,x-m,0.0)\nr=c/tl.sqrt(tl.sum(c*c,axis=0)/n+1e-5)",
        "torch.rand(4,1000)+100",
    ),
    rowwise(
        "ln then gelu",
        "F.gelu(F.layer_norm(x,(70,)))",
        "m=tl.sum(x,axis=0)/n\nc=tl.where(mask,x-m,0.0)\nh=c/tl.sqrt(tl.sum(c*c,axis=0)/n+1e-5)\nr=0.5*h*(1+tl.erf(h*0.7071067811865476))",
    ),
    rowwise(
        "softmax temp",
        "torch.softmax(x/0.1,-1)*x",
        'z=x/0.1\nz=tl.where(mask,z,-float("inf"))\ne=tl.exp(z-tl.max(z,axis=0))\nr=e/tl.sum(e,axis=0)*x',
    ),
]

WRONG_FUNCTIONS = [
    rowwise(
        "eps 1e-6",
        "F.layer_norm(x,(70,))",
        "m=tl.sum(x,axis=0)/n\nc=tl.where(mask,x-m,0.0)\nr=c/tl.sqrt(tl.sum(c*c,axis=0)/n+1e-6)",
    ),
    rowwise(
        "eps 9e-6",
        "F.layer_norm(x,(70,))",
        "m=tl.sum(x,axis=0)/n\nc=tl.where(mask,x-m,0.0)\nr=c/tl.sqrt(tl.sum(c*c,axis=0)/n+9e-6)",
    ),
    rowwise(
        "eps 1e-8 rms",
        "x*torch.rsqrt(x.pow(2).mean(-1,keepdim=True)+1e-6)",
        "r=x*(1.0/tl.sqrt(tl.sum(x*x,axis=0)/n+1e-8))",
    ),
    rowwise(
        "no eps",
        "x*torch.rsqrt(x.pow(2).mean(-1,keepdim=True)+1e-6)",
        "r=x*(1.0/tl.sqrt(tl.sum(x*x,axis=0)/n))",
    ),
    rowwise("normalize noeps", "F.normalize(x,dim=-1)", "r=x/tl.sqrt(tl.sum(x*x,axis=0))"),
    rowwise(
        "biased var",
        "x.var(-1)",
        "m=tl.sum(x,axis=0)/n\nc=tl.where(mask,x-m,0.0)\nr=tl.sum(c*c,axis=0)/n",
        whole=False,
    ),
    pointwise("leaky .0101", "F.leaky_relu(x,0.01)", "tl.where(x>0,x,0.0101*x)"),
    pointwise(
        "gelu tanh .7979",
        "F.gelu(x, approximate='tanh')",
        "0.5*x*(1+t)",
        prelude="u=0.7979*(x+0.044715*x*x*x)\nt=2*tl.sigmoid(2*u)-1",
    ),
    pointwise("relu6 no top", "F.relu6(x)", "tl.maximum(x,0.0)"),
    pointwise("hardtanh no clamp", "F.hardtanh(x)", "x", UNIFORM),
    pointwise("softplus naive", "F.softplus(x)", "tl.log(1.0+tl.exp(x))"),
    pointwise("tanh naive", "torch.tanh(x)", "(tl.exp(2*x)-1)/(tl.exp(2*x)+1)"),
    pointwise("elu alpha", "F.elu(x,1.0)", "tl.where(x>0,x,1.001*(tl.exp(x)-1))"),
    pointwise("ge for gt", "(x>0).float()*y", "tl.where(x>=0,1.0,0.0)*y", TWO),
    pointwise("sigmoid for hardsigmoid", "F.hardsigmoid(x)", "tl.sigmoid(x)"),
    pointwise("floor mod", "x % 7", "x % 7", "torch.randint(-50,50,(6,70))"),
    pointwise("trunc", "torch.floor(x)", "x.to(tl.int32).to(tl.float32)"),
    pointwise("log eps", "torch.log(x)", "tl.log(x+1e-6)", "torch.rand(6,70)+0.5"),
    pointwise("abs missing", "torch.sqrt(torch.abs(x))", "tl.sqrt(x)", UNIFORM),
    pointwise(
        "bf16 compute half",
        "F.silu(x)",
        "(f*tl.sigmoid(f.to(tl.float32)).to(tl.float16)*1.02)",
        "torch.randn(6,70).bfloat16()",
        prelude="f=x.to(tl.float16)",
    ),
    pointwise(
        "int32 overflow",
        "x*x",
        "(x.to(tl.int32)*x.to(tl.int32)).to(tl.int64)",
        "torch.randint(0,100000,(6,70))",
    ),
    rowwise("mean of block", "x.mean(-1)", "r=tl.sum(x,axis=0)/BLOCK", whole=False),
    rowwise("max other0", "x.max(-1).values", "r=tl.max(x,axis=0)", whole=False),
    rowwise(
        "softmax other0",
        "torch.softmax(x,-1)",
        "e=tl.exp(x-tl.max(x,axis=0))\nr=e/tl.sum(e,axis=0)",
    ),
    rowwise("half acc", "x.sum(-1)", "r=tl.sum(x.to(tl.float16),axis=0)", whole=False),
]
