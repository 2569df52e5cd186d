"""The values that tracing a module deals with in place of real tensors and modules.

Ordinary Python numbers, strings, booleans, tuples, lists and dicts stand for themselves.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass, field
from typing import Any, Literal

__all__ = [
    "Bound",
    "ClassRef",
    "Diagonal",
    "Dotted",
    "Filled",
    "Function",
    "Instance",
    "Layer",
    "Number",
    "Refused",
    "Sequence",
    "Shape",
    "Spec",
    "Super",
    "Tensor",
    "TensorInput",
    "Unknown",
    "Values",
    "WeightRef",
]


class Refused(Exception):
    """The module uses something that the starter does not cover; ``what`` names it."""

    def __init__(self, what: str, node: ast.AST | None = None):
        super().__init__(what)
        self.what = what
        self.line: int | None = getattr(node, "lineno", None)


@dataclass(frozen=True)
class Dotted:
    """Something imported, by its full name, such as ``torch.nn.functional.relu``."""

    name: str


@dataclass(frozen=True)
class Number:
    """A setting of the module or the call: ``node`` is how ``forward`` can compute it again.

    Mostly a number, but a flag, a string or a tuple may come from a constructor too. ``node`` is
    None where only the constructor can compute it; ``known`` is false where the value is not known
    now. ``free`` means that another caller may give another value, so that nothing may be built
    on it without a check at run time.
    """

    node: ast.expr | None
    value: Any
    free: bool = True
    known: bool = True


@dataclass(frozen=True)
class Spec:
    """A tensor made in ``__init__`` or ``get_inputs``: sizes (None where unknown) and dtype."""

    shape: tuple[int | None, ...] | None
    dtype: str = "float32"
    is_parameter: bool = False


@dataclass(frozen=True, eq=False)
class TensorInput:
    """A tensor that ``forward`` has a name for: an argument, a view of one, a stage's result.

    ``made`` is what makes it where it is no argument; see :mod:`.program`.
    """

    name: str
    spec: Spec
    made: Any = None

    @property
    def text(self) -> str:
        return self.name


@dataclass(frozen=True)
class WeightRef:
    """A parameter or buffer, reached by the expression ``node``."""

    node: ast.expr
    spec: Spec

    @property
    def text(self) -> str:
        return ast.unparse(self.node)


class Filled(float):
    """``torch.zeros_like(x)``: the number, which also knows the tensor of its shape."""

    like: Any = None


@dataclass(frozen=True)
class Diagonal:
    """``torch.diag(d)``: the matrix, of which only the diagonal is kept."""

    vector: Any


#: How a traced value relates to the shape of the whole: of the same shape, one number per row with
#: its dimension kept or dropped, one number of everything (of all elements or of all rows), or one
#: number for all.
Extent = Literal["full", "keep", "drop", "total", "rowtotal", "scalar"]


@dataclass(eq=False)
class Tensor:
    """A value of the graph, compared by identity."""

    extent: Extent
    is_boolean: bool = False
    name: str | None = None
    #: The :class:`~.builder.Builder` whose value it is.
    region: Any = None


@dataclass(frozen=True)
class Values:
    """What ``torch.max(x, dim)`` returns: values, and indices made when they are asked for."""

    tensor: Any
    indices: Any = None


@dataclass(frozen=True)
class Shape:
    """``x.shape`` of a value as large as the input; ``node`` is how ``forward`` reaches it."""

    node: ast.expr
    sizes: tuple[int | None, ...] | None


@dataclass(frozen=True)
class ClassRef:
    node: ast.ClassDef


@dataclass
class Instance:
    """An object of a class in the cell; ``node`` is how ``forward`` of the outermost reaches it."""

    cls: ast.ClassDef
    node: ast.expr | None
    attributes: dict[str, Any] = field(default_factory=dict)


@dataclass
class Layer:
    """A module of ``torch.nn`` (its name without ``nn.``) with the arguments it was made with."""

    kind: str
    args: list[Any]
    keywords: dict[str, Any]
    line: ast.AST
    node: ast.expr | None = None


@dataclass
class Sequence:
    """``nn.Sequential``, ``nn.ModuleList`` or ``nn.ModuleDict``, by key."""

    kind: str
    items: dict[Any, Any]
    node: ast.expr | None = None


@dataclass(frozen=True)
class Super:
    """``super()`` inside a method of ``owner``, whose class is ``cls``."""

    owner: Instance
    cls: ast.ClassDef


@dataclass(frozen=True)
class Function:
    """A function, method or lambda of the cell."""

    node: ast.FunctionDef | ast.Lambda
    owner: Instance | None = None
    closure: Any = None


@dataclass(frozen=True)
class Bound:
    """A method of a tensor: ``x.relu`` before it is called."""

    owner: Any
    name: str


@dataclass(frozen=True)
class Unknown:
    """Something that was not understood; it matters only where ``forward`` uses it."""

    what: str
    line: int | None = None
