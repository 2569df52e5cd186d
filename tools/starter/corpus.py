"""The corpus: modules as people write them, drawn from a grammar, each with its answer.

A :class:`Writer` writes the source of one module: it draws operations, spells each in one of the
ways PyTorch allows, and lays them out as people do. What the module means is then read back by
``kernelllm_jupyter.starter.trace`` exactly as at run time, and :mod:`answers` gives what the model
is to write for it. So a pair is consistent by construction, and the prompt of training is the
prompt of use.

Held out, by hash: pairs of consecutive operations, constants, and argument names. A training
module has none of them; a test module has at least one pair of operations never trained on.
"""

from __future__ import annotations

import hashlib
import random
import re
from collections.abc import Callable
from dataclasses import dataclass

from kernelllm_jupyter.errors import UnsupportedModule
from kernelllm_jupyter.starter.graph import LIMITS, Plan
from kernelllm_jupyter.starter.trace import trace
from kernelllm_jupyter.values import Problem

import answers
from answers import POINTWISE, answer
from drills import drill
from families import HEAVY
from spellings import (
    BINARY,
    IDIOMS,
    LAYERS,
    LOSSES,
    NORM_LAYERS,
    NORMS,
    REDUCTIONS,
    ROWS,
    UNARY,
    UNARY_CONSTANT,
)

__all__ = ["FAMILIES", "Example", "draw", "drilled", "held", "pairs_of"]

FAMILIES = ("pointwise", "graph", "reduction", "softmax", "norm", "loss", "gate", "tangle", *HEAVY)
_WEIGHTS = (10, 10, 14, 9, 12, 8, 3, 7, 9, 6, 9, 7, 8, 5, 16, 14)
#: What everything may follow: a convolution and its bias are not held out.
_BEGINNINGS = frozenset({"load", "vec", "chan", "one", "row", "float", *answers.HEAVY})
#: Operations that the row operations of long rows are taken apart into.
_PARTS = frozenset("sub exp div square sqrt add abs log clamp_min mul".split())
_ARGUMENTS = (
    "x y z a b c input inp tensor feat features hidden h src left right lhs rhs query key "
    "value state signal other residual skip gate t u w p q emb tokens acts logits img "
    "pred target sample field latent context e r s frame wave"
).split()
_SETTINGS = (
    "scale alpha factor shift offset beta gamma coef multiplier constant slope "
    "temperature temp k amount threshold divisor gain ratio strength level delta rate "
    "boost margin eps"
).split()
_LOCALS = ("x out y h res z t tmp u v result hidden act acc inner g").split()


@dataclass(frozen=True)
class Example:
    """One pair: the module's source, its graph, the prompt and what is to be answered."""

    family: str
    source: str
    plan: Plan
    prompt: str
    answer: str

    @property
    def steps(self) -> int:
        return sum(len(graph.steps) for graph in self.plan.graphs)


def held(*parts: object) -> bool:
    """Whether something is kept out of training: about 8 % of everything, by its hash."""
    return hashlib.md5("|".join(map(str, parts)).encode()).digest()[0] < 20


def pairs_of(plan: Plan) -> set[tuple[str, str]]:
    """Pairs of an operation and one that uses its result, as far as the source chose them."""
    found = set()
    for graph in plan.graphs:
        is_long = graph.layout.startswith("long_")
        for step in graph.steps:
            for operand in step.operands:
                if not operand.startswith("$v"):
                    continue
                pair = (graph.steps[int(operand[2:])].operation, step.operation)
                if is_long and not (set(pair) <= set(POINTWISE) and set(pair) - _PARTS):
                    continue
                if pair[0] not in _BEGINNINGS:
                    found.add(pair)
    return found


def draw(seed: int, split: str, family: str | None = None, usual: bool = True) -> Example:
    """Example number ``seed`` of ``split`` (``train`` or ``test``).

    Long graphs have more pairs, so that those with an unseen one are longer than the rest: a test
    example is therefore drawn to the length of a training example. Where not ``usual``, the sizes
    of blocks are drawn too.
    """
    rng = random.Random(f"{split}-{family}-{seed}")
    while True:
        chosen = family or rng.choices(FAMILIES, _WEIGHTS)[0]
        found = _drawn(rng, "train", chosen, None, usual)
        if found is not None and split == "test":
            found = _drawn(rng, split, chosen, found.steps, usual)
        if found is not None:
            return found


def drilled(seed: int) -> Example:
    """A drill in place of a module, without the pairs of operations that are held out."""
    rng = random.Random(f"drill-{seed}")
    while True:
        plan = drill(rng)
        steps = sum(len(graph.steps) for graph in plan.graphs)
        if steps <= LIMITS["v"] and not any(held("pair", *pair) for pair in pairs_of(plan)):
            return Example("drill", "", plan, plan.prompt(), answer(plan, rng))


def _drawn(
    rng: random.Random, split: str, family: str, steps: int | None, usual: bool
) -> Example | None:
    """An example of ``split``, of about ``steps`` steps where given; None where none was met."""
    for _ in range(200):
        source = Writer(rng, split).module(family)
        try:
            plan = trace(Problem(source, "Model")).plan
        except UnsupportedModule:
            continue  # Larger than the limits.
        unseen = any(held("pair", *pair) for pair in pairs_of(plan))
        text = answer(plan, None if usual else rng)
        found = Example(family, source, plan, plan.prompt(), text)
        if unseen == (split == "test") and (steps is None or abs(found.steps - steps) <= 2):
            return found
    return None


@dataclass
class _Value:
    """An expression of the module being written; ``text`` is usable once unless it is a name."""

    text: str
    extent: str = "full"
    is_name: bool = False


class Writer:
    """Writes the source of one module."""

    def __init__(self, rng: random.Random, split: str):
        self.rng, self.split = rng, split
        self.lines: list[str] = []
        self.init: list[str] = []
        self.settings: list[tuple[str, str]] = []
        self.used: set[str] = set()
        self.arguments: list[str] = []
        self.values: list[_Value] = []
        self.shape: list[int] = []
        self.dim = "-1"
        #: How ``get_inputs`` makes the arguments, where not all of one shape.
        self.given: list[str] = []

    # -- small draws ------------------------------------------------------------------------------

    def chance(self, share: float) -> bool:
        return self.rng.random() < share

    def pick(self, items: list | tuple | str) -> object:
        return self.rng.choice(items)

    def fresh(self, pool: list[str]) -> str:
        while True:
            name = self.rng.choice(pool) + self.rng.choice(["", "", "", "1", "2", "_in", "_value"])
            if self.split == "train" and held("name", name):
                continue
            if name not in self.used:
                self.used.add(name)
                return name

    def constant(self) -> str:
        while True:
            form = self.rng.choice(["0.{}", "{}.0", "{}", "{}.{}", "0.{}{}", "{}.{}{}", "1e-{}"])
            text = form.format(*(self.rng.randint(1, 9) for _ in range(3)))
            if not (self.split == "train" and held("constant", text)):
                return text

    def number(self) -> str:
        """A constant, or a parameter of the constructor."""
        if len(self.settings) < 6 and self.chance(0.5):
            return f"self.{self.setting()}"
        if self.settings and self.chance(0.1):
            return f"self.{self.rng.choice(self.settings)[0]}"
        return ("-" if self.chance(0.12) else "") + self.constant()

    def setting(self) -> str:
        name = self.fresh(_SETTINGS)
        self.settings.append((name, self.constant()))
        self.init.append(f"self.{name} = {name}")
        return name

    # -- expressions ------------------------------------------------------------------------------

    def named(self, value: _Value) -> _Value:
        """``value`` under a name, so that it can be used more than once."""
        if value.is_name:
            return value
        name = self.rng.choice(_LOCALS)
        if any(v.text == name and v.is_name for v in self.values) or name in self.arguments:
            name = self.fresh(_LOCALS)
        self.lines.append(f"{name} = {value.text}")
        return _Value(name, value.extent, True)

    def spell(self, forms: tuple[str, ...], **parts: str) -> str:
        """One of the spellings: ``{v}`` as an argument, ``{m}`` where it must bind tightly."""
        form = self.rng.choice(forms)
        for name, text in parts.items():
            tight = text if _is_tight(text) else f"({text})"
            form = form.replace(f"{{{name}}}", text).replace(f"{{{name.upper()}}}", tight)
        return form

    def unary(self, value: _Value) -> _Value:
        if self.chance(0.12):
            return self.layer(value)
        if self.chance(0.55):
            name = self.rng.choice(list(UNARY_CONSTANT))
            low, high = sorted((self.rng.uniform(-3, 0.9), self.rng.uniform(1, 4)))
            parts = {"c": self.number(), "l": f"{low:.1f}", "h": f"{high:.1f}"}
            if "self." in parts["c"] and name == "pow":
                parts["c"] = "1.7"
            text = self.spell(UNARY_CONSTANT[name], v=value.text, **parts)
            return _Value(text, value.extent)
        name = self.rng.choice(list(UNARY))
        return _Value(self.spell(UNARY[name], v=value.text), value.extent)

    def layer(self, value: _Value) -> _Value:
        """Activations as modules: one attribute each, or a Sequential of several."""
        attribute = self.fresh(["act", "activation", "fn", "op", "nonlin", "f", "unit"])
        count = self.rng.choice([1, 1, 1, 2, 3])
        made = []
        for _ in range(count):
            form = self.rng.choice(LAYERS)
            made.append(form.replace("{c}", self.constant()))
        text = made[0] if count == 1 else f"nn.Sequential({', '.join(made)})"
        self.init.append(f"self.{attribute} = {text}")
        return _Value(f"self.{attribute}({value.text})", value.extent)

    def binary(self, left: _Value, right: _Value) -> _Value:
        name = self.rng.choice(list(BINARY))
        extent = "full" if "full" in (left.extent, right.extent) else left.extent
        return _Value(self.spell(BINARY[name], v=left.text, o=right.text), extent)

    def safe(self, value: _Value) -> _Value:
        """A logarithm, root or quotient of something made positive first."""
        positive = self.rng.choice(
            ["{V}.abs() + {c}", "{V} * {V} + {c}", "torch.exp({v})", "1 + {V}.abs()"]
        )
        inner = self.named(value) if positive.count("{V}") > 1 else value
        text = self.spell((positive,), v=inner.text, c=self.constant())
        outer = self.rng.choice(
            ["torch.log({v})", "torch.sqrt({v})", "torch.rsqrt({v})", "1 / {V}"]
        )
        return _Value(self.spell((outer,), v=text), value.extent)

    def step(self, value: _Value) -> _Value:
        """One more operation on ``value``, now and then with something met before."""
        kind = self.rng.random()
        same = [v for v in self.values if v.extent == value.extent or v.extent == "full"]
        if value.extent != "full":
            same = [v for v in same if v.extent == value.extent]
        if kind < 0.24 and same:
            return self.binary(value, self.rng.choice(same))
        if kind < 0.32 and value.extent == "full":
            return self.idiom(value)
        if kind < 0.35:
            return self.safe(value)
        return self.unary(value)

    def idiom(self, value: _Value) -> _Value:
        """A piece of code as it stands in papers, with its value used several times."""
        form = self.rng.choice(IDIOMS)
        value = self.named(value)
        if "{o}" in form and not self.values:
            return self.unary(value)
        other = self.rng.choice(self.values).text if "{o}" in form else ""
        parts = {"v": value.text, "o": other}
        text = form
        for name in "cde":
            if f"{{{name}}}" in text:
                text = text.replace(f"{{{name}}}", self.number().lstrip("-"))
        return _Value(self.spell((text,), **parts), "full")

    def settle(self, value: _Value, keep: float) -> _Value:
        """Give the value a name or leave it to be nested; names stay within reach."""
        if len(value.text) > 70 or self.chance(0.5):
            value = self.named(value)
            self.values = [v for v in self.values if v.text != value.text]
            if self.chance(keep):
                self.values.append(value)
        return value

    def chain(self, value: _Value, count: int, keep: float = 0.0) -> _Value:
        for _ in range(count):
            value = self.settle(self.step(value), keep)
        return value

    # -- families ---------------------------------------------------------------------------------

    def module(self, family: str) -> str:
        if family in HEAVY:
            result = self.heavy(family)
            self.lines.append(f"return {result.text}")
            return self.render()
        self.inputs(family)
        begun = self.rng.choice(self.arguments) if family != "loss" else self.arguments[0]
        first = _Value(begun, "full", True)
        self.values = [_Value(name, "full", True) for name in self.arguments if name != begun]
        family_of: dict[str, Callable[[_Value], _Value]] = {
            "pointwise": self.pointwise,
            "graph": self.graph,
            "reduction": self.reduction,
            "softmax": self.softmax,
            "norm": self.norm,
            "loss": self.loss,
            "gate": self.gate,
            "tangle": self.tangle,
        }
        result = family_of[family](first)
        self.lines.append(f"return {result.text}")
        return self.render()

    def inputs(self, family: str) -> None:
        count = self.rng.choice([1, 1, 1, 2, 2, 3])
        if family in ("loss", "gate"):
            count = 2 if family == "loss" else 1
        self.arguments = [self.fresh(_ARGUMENTS) for _ in range(count)]
        rank = self.rng.choice(
            [1, 2, 2, 2, 3, 4] if family in ("pointwise", "graph") else [2, 2, 2, 3, 4]
        )
        sizes = [3, 4, 5, 7, 8, 12, 16, 17, 24, 32, 33]
        self.shape = [self.rng.choice(sizes[: 6 if rank > 2 else 11]) for _ in range(rank)]

        if family in ("reduction", "softmax", "norm") and self.chance(0.3):
            self.shape = self.shape[:3]
            place = self.rng.randrange(len(self.shape))
            self.shape = [2 if at != place else 600 for at in range(len(self.shape))]
            if place == len(self.shape) - 1:
                self.shape[-1] = self.rng.choice([8200, 9000, 12345])

    def heavy(self, family: str) -> _Value:
        """One of the heavy operations, with elementwise ones before and after it."""
        given, init, form = self.rng.choice(HEAVY[family])
        channels = self.rng.choice([2, 4, 6, 8])
        sizes = {
            "B": self.rng.choice([2, 3]),
            "C": channels,
            "O": self.rng.choice([4, 6, 10, 12]),
            "G": 2,
            "M": self.rng.choice([5, 16, 20, 33]),
            "N": self.rng.choice([7, 12, 24, 40]),
            "K": self.rng.choice([8, 17, 32, 50]),
            "E": self.rng.choice([5, 6]),
            "H": self.rng.choice([8, 9, 11]),
            "W": self.rng.choice([8, 10, 13]),
            "L": self.rng.choice([12, 19, 30]),
            "R": self.rng.choice([2, 3]),
            "S": self.rng.choice([1, 2]),
            "P": self.rng.choice([0, 1]),
            "Q": self.rng.choice([1, 2]),
        }
        if family in ("channel norm", "cumulative") and self.chance(0.25):
            sizes |= {"H": 90, "W": 100, "N": 8300, "L": 9000}
        self.arguments = [self.fresh(_ARGUMENTS) for _ in given]
        self.given = []
        for shape in given:
            numbers = ", ".join(str(sizes.get(word, word)) for word in shape.strip("!").split())
            kind = f"torch.randn({numbers})"
            if shape.startswith("!"):
                kind = f"torch.randint(0, {sizes['N']}, ({numbers},))"
            self.given.append(kind)
        for line in init:
            self.init.append(re.sub(r"(?<![\w.])[A-Z](?!\w)", lambda m: str(sizes[m[0]]), line))
        first = _Value(self.arguments[0], "full", True)
        if not given[0].startswith("K ") and self.chance(0.15):
            first = self.named(self.chain(first, 1))
        parts = dict(zip("abc", [first.text, *self.arguments[1:]], strict=False))
        value = _Value(f"({form.format(**parts)})")
        if "arg" in form or (family == "classes" and self.chance(0.7)):
            return value
        return self.chain(self.named(value), self.rng.choice([0, 1, 1, 2, 2, 3, 4]))

    def weighted(self, value: _Value, bias_too: bool = True) -> _Value:
        """Scaled (and shifted) by parameters of the module."""
        size = self.rng.choice([str(self.shape[-1]), "dim"])
        if size == "dim" and not any(name == "dim" for name, _ in self.settings):
            self.settings.append(("dim", str(self.shape[-1])))
            self.used.add("dim")
        if self.chance(0.25):
            size = "1"
        name = self.fresh(["weight", "gamma", "g", "scale_w", "gain_w"])
        self.init.append(f"self.{name} = nn.Parameter(torch.ones({size}))")
        text = self.spell(("{V} * self.W", "self.W * {V}"), v=value.text).replace("W", name)
        if bias_too and self.chance(0.5):
            bias = self.fresh(["bias", "beta_w", "b_w", "shift_w"])
            self.init.append(f"self.{bias} = nn.Parameter(torch.zeros({size}))")
            text = f"{text} + self.{bias}"
        return _Value(text)

    def pointwise(self, value: _Value) -> _Value:
        value = self.chain(value, self.rng.choice([1, 1, 1, 2, 2, 2, 3, 3, 4, 5]))
        if self.chance(0.4):
            value = self.weighted(value)
            value = self.chain(value, self.rng.choice([0, 0, 1, 2]))
        return self.gather(value)

    def graph(self, value: _Value) -> _Value:
        value = self.idiom(value) if self.chance(0.5) else self.named(self.step(value))
        self.values.append(_Value(self.rng.choice(self.arguments), "full", True))
        value = self.chain(
            self.settle(value, 0.7), self.rng.choice([0, 0, 1, 1, 2, 3, 5]), keep=0.6
        )
        return self.gather(value)

    def gather(self, value: _Value) -> _Value:
        """Arguments that were not used yet come in at the end."""
        text = "\n".join(self.lines) + value.text
        for name in self.arguments:
            if name not in _words(text):
                value = self.binary(value, _Value(name, "full", True))
        return value

    def choose_dim(self) -> str:
        rank = len(self.shape)
        last = self.rng.choice(["-1", "-1", str(rank - 1)])
        self.dim = last if self.chance(0.7) else self.rng.choice([str(d) for d in range(rank)])
        if self.chance(0.1):
            self.settings.append(("dim", self.dim))
            self.init.append("self.dim = dim")
            self.used.add("dim")
            self.dim = "self.dim"
        return self.dim

    def reduced(self, value: _Value, keep: bool) -> _Value:
        name = self.rng.choice(list(REDUCTIONS))
        kept = ", keepdim=True" if keep else ""
        text = self.spell(REDUCTIONS[name], v=value.text).replace("D", self.dim)
        return _Value(text.replace("[K]", kept), "keep" if keep else "drop")

    def reduction(self, value: _Value) -> _Value:
        value = self.gather(self.chain(value, self.rng.choice([0, 0, 0, 1, 1, 2])))
        if len(self.shape) > 2 and self.chance(0.2):
            start = self.rng.randrange(1, len(self.shape) - 1)
            dims = list(range(start, len(self.shape)))
            dims = [d - len(self.shape) for d in dims] if self.chance(0.5) else dims
            self.dim = self.rng.choice(["({})", "[{}]"]).format(", ".join(map(str, dims)))
            allowed = ("sum", "mean", "amax", "amin")
        else:
            self.choose_dim()
            allowed = tuple(REDUCTIONS)
        keep = self.chance(0.5)
        if keep and self.chance(0.6):
            whole = self.named(value)
            self.values = []
            for _ in range(self.rng.choice([1, 1, 1, 2])):
                name = self.rng.choice(allowed)
                form = self.spell(REDUCTIONS[name], v=whole.text).replace("D", self.dim)
                part = _Value(form.replace("[K]", ", keepdim=True"), "keep")
                part = self.chain(part, self.rng.choice([0, 0, 1]))
                whole = self.named(self.binary(whole, part))
            return self.chain(whole, self.rng.choice([0, 0, 1, 2]))
        name = self.rng.choice(allowed)
        form = self.spell(REDUCTIONS[name], v=value.text).replace("D", self.dim)
        value = _Value(
            form.replace("[K]", ", keepdim=True" if keep else ""), "keep" if keep else "drop"
        )
        self.values = []
        return self.chain(value, self.rng.choice([0, 0, 0, 1, 1, 2]))

    def softmax(self, value: _Value) -> _Value:
        value = self.gather(self.chain(value, self.rng.choice([0, 0, 0, 1, 2])))
        self.choose_dim()
        form = self.rng.choice(ROWS)
        if form.startswith("nn."):
            attribute = self.fresh(["softmax", "sm", "norm", "op"])
            self.init.append(
                f"self.{attribute} = {form.replace('D', self.dim.replace('self.', ''))}"
            )
            value = _Value(f"self.{attribute}({value.text})")
        elif "\n" in form:
            value = self.named(value)
            names = {key: self.fresh(_LOCALS) for key in "AB"}
            text = form.replace("{v}", value.text).replace("{D}", self.dim)
            for key, name in names.items():
                text = text.replace(f"{{{key}}}", name)
            *lines, last = text.split("\n")
            self.lines += lines
            value = _Value(last)
        else:
            value = _Value(self.spell((form,), v=value.text).replace("{D}", self.dim))
        self.values = []
        return self.chain(value, self.rng.choice([0, 0, 0, 1, 2]))

    def norm(self, value: _Value) -> _Value:
        value = self.gather(self.chain(value, self.rng.choice([0, 0, 0, 1])))
        kind = self.rng.randrange(5)
        if kind == 0:
            attribute = self.fresh(["norm", "ln", "layer_norm", "norm1"])
            size = str(self.shape[-1])
            form = self.rng.choice(NORM_LAYERS).replace("SIZE", size)
            self.init.append(f"self.{attribute} = {form}")
            value = _Value(f"self.{attribute}({value.text})")
        else:
            if len(self.shape) > 2 and self.chance(0.15):
                self.dim = "(-2, -1)"
            else:
                self.choose_dim()
            value = self.named(value)
            form = self.rng.choice(NORMS)
            if self.dim.startswith("("):
                form = self.rng.choice(
                    [f for f in NORMS if "normalize" not in f and "norm(" not in f]
                )
            names = {key: self.fresh(_LOCALS) for key in "AB"}
            text = form.replace("{v}", value.text).replace("{D}", self.dim)
            text = text.replace("{e}", self.number().lstrip("-") if self.chance(0.6) else "1e-5")
            for key, name in names.items():
                text = text.replace(f"{{{key}}}", name)
            *lines, last = text.split("\n")
            self.lines += lines
            value = _Value(last)
            if self.chance(0.5):
                value = self.weighted(value)
        self.values = []
        return self.chain(value, self.rng.choice([0, 0, 0, 1, 2]))

    def loss(self, value: _Value) -> _Value:
        other = _Value(self.arguments[1], "full", True)
        form = self.rng.choice(LOSSES)
        reduced = self.rng.choice(["mean", "mean", "sum"])
        if form.startswith("nn."):
            attribute = self.fresh(["loss", "criterion", "loss_fn"])
            self.init.append(
                f"self.{attribute} = {form.replace('{c}', self.constant()).replace('{r}', reduced)}"
            )
            return _Value(f"self.{attribute}({value.text}, {other.text})")
        value = self.chain(value, self.rng.choice([0, 0, 1, 2]))
        if form == "compose" and len(self.shape) > 1:
            return self.loss_of_rows(value, other, reduced)
        if "{red}" in form or "{r}" in form:
            text = (
                form.replace("{red}", reduced)
                .replace("{r}", reduced)
                .replace("{c}", self.constant())
            )
            return _Value(self.spell((text,), v=value.text, o=other.text))
        value = self.gather(self.chain(self.binary(value, other), self.rng.choice([0, 1, 2])))
        return _Value(self.spell((f"torch.{reduced}({{v}})", f"{{V}}.{reduced}()"), v=value.text))

    def loss_of_rows(self, value: _Value, other: _Value, reduced: str) -> _Value:
        """One number per row, then the sum or mean of the rows."""
        self.choose_dim()
        value = self.gather(self.chain(self.binary(value, other), self.rng.choice([0, 1, 2])))
        form = self.spell(REDUCTIONS[self.rng.choice(list(REDUCTIONS))], v=value.text)
        rows = _Value(form.replace("D", self.dim).replace("[K]", ""), "drop")
        self.values = []
        rows = self.chain(rows, self.rng.choice([0, 1, 2]))
        text = self.spell((f"torch.{reduced}({{v}})", f"{{V}}.{reduced}()"), v=rows.text)
        return _Value(self.rng.choice(["{}", "{}", "-{}"]).format(text))

    def gate(self, value: _Value) -> _Value:
        """The halves of the last dimension, one gating the other."""
        self.shape[-1] += self.shape[-1] % 2
        self.values = []
        if self.chance(0.25):
            value = _Value(self.spell(("F.glu({v}, dim=-1)", "F.glu({v})"), v=value.text))
            return self.chain(value, self.rng.choice([0, 1, 2]))
        first, second = self.fresh(_LOCALS), self.fresh(_LOCALS)
        form = self.rng.choice(["{v}.chunk(2, dim=-1)", "torch.chunk({v}, 2, dim=-1)"])
        self.lines.append(f"{first}, {second} = {form.replace('{v}', value.text)}")
        left = self.chain(_Value(first, "full", True), self.rng.choice([0, 0, 1, 2]))
        right = self.chain(_Value(second, "full", True), self.rng.choice([0, 1, 1, 2]))
        return self.chain(self.binary(left, right), self.rng.choice([0, 0, 1]))

    def tangle(self, value: _Value) -> _Value:
        """Any value may use any earlier one: what teaches to copy operands instead of guessing."""
        full = [_Value(name, "full", True) for name in self.arguments]
        extent = self.rng.choice(["none", "none", "keep", "drop"])
        self.dim = self.rng.choice(["-1", "-1", "0"])
        rows: list[_Value] = []
        for _ in range(self.rng.choice([2, 3, 3, 4, 5, 6])):
            pool = rows if rows and self.chance(0.5) else full
            chosen = self.rng.choice(pool)
            if pool is full and extent != "none" and self.chance(0.5):
                form = self.spell(REDUCTIONS[self.rng.choice(list(REDUCTIONS))], v=chosen.text)
                kept = ", keepdim=True" if extent == "keep" else ""
                made = _Value(form.replace("D", self.dim).replace("[K]", kept), extent)
            elif self.chance(0.5):
                made = self.unary(chosen)
            else:
                other = self.rng.choice(pool if extent == "drop" else full + rows)
                made = self.binary(chosen, other)
            made = self.named_anew(made)
            (full if made.extent == "full" else rows).append(made)
        last = rows if extent == "drop" and rows else full + rows
        result = last[-1]
        if len(last) > 1 and self.chance(0.7):
            result = self.binary(result, self.rng.choice(last[:-1]))
        return result

    def named_anew(self, value: _Value) -> _Value:
        name = self.fresh(_LOCALS)
        self.lines.append(f"{name} = {value.text}")
        return _Value(name, value.extent, True)

    # -- layout -----------------------------------------------------------------------------------

    def render(self) -> str:
        body = [line if not self.chance(0.1) else _augmented(line) for line in self.lines]
        functional = "nn.functional" if self.chance(0.1) else "F"
        body = [line.replace("F.", functional + ".") for line in body]
        text = "import torch\nimport torch.nn as nn\n"
        text += "import torch.nn.functional as F\n\n\n" if functional == "F" else "\n\n"
        text += "class Model(nn.Module):\n"
        if self.chance(0.2):
            text += '    """A small fused operator."""\n\n'
        given = [value for _, value in self.settings]
        if self.settings or self.init:
            arguments = "".join(f", {name}" for name, _ in self.settings)
            text += f"    def __init__(self{arguments}):\n        super().__init__()\n"
            text += "".join(f"        {line}\n" for line in self.init) + "\n"
        text += f"    def forward(self, {', '.join(self.arguments)}):\n"
        text += "".join(f"        {line}\n" for line in body)
        sizes = ", ".join(map(str, self.shape))
        made = ", ".join(self.given or [f"torch.randn({sizes})" for _ in self.arguments])
        text += f"\n\ndef get_inputs():\n    return [{made}]\n\n\n"
        text += f"def get_init_inputs():\n    return [{', '.join(given)}]\n"
        return text


def _augmented(line: str) -> str:
    """``h = h + y`` as ``h += y``, where the line is of that form."""
    name, _, rest = line.partition(" = ")
    for sign in "+-*/":
        if rest.startswith(f"{name} {sign} ") and _words(rest).count(name) == 1:
            tail = rest[len(name) + 3 :]
            if not any(mark in tail for mark in ("+", "-", "/", "*")):
                return f"{name} {sign}= {tail}"
    return line


def _is_tight(text: str) -> bool:
    """Whether a method call or power may follow ``text`` without brackets."""
    if text.replace("_", "").replace(".", "").isalnum():
        return True
    if not text.endswith(")") or text.startswith(("-", "(")):
        return False
    depth = 0
    for place, mark in enumerate(text):
        depth += (mark == "(") - (mark == ")")
        if depth == 0 and mark in " )" and place < len(text) - 1 and text[place + 1] != ".":
            return False
    return True


def _words(text: str) -> list[str]:
    return re.findall(r"[A-Za-z_]\w*", text)
