"""What differs between the versions of Triton's interpreter that users have (3.3 to 3.9).

Everything else in this package wraps the interpreter's methods and passes unknown arguments
through, so that a changed signature needs no entry here.
"""

from __future__ import annotations

import inspect
from typing import Any

import triton.language as tl
import triton.runtime.interpreter as tri

__all__ = ["mend", "reduced"]


def mend() -> None:
    """Make an older interpreter do what the newest one does."""
    _index_by_scalars()
    if not hasattr(tri.InterpreterBuilder, "get_int1_ty"):
        # Missing up to 3.4, and asked for by every store of a comparison.
        tri.InterpreterBuilder.get_int1_ty = lambda self: tl.int1


def reduced(results: list[Any]) -> Any:
    """What ``generic_reduce`` returns: a list, and up to 3.3 one tensor or a tuple of them."""
    if "isinstance(ret, (list" in inspect.getsource(tri.ReduceScanOpInterface.apply):
        return results
    return results[0] if len(results) == 1 else tuple(results)


def _index_by_scalars() -> None:
    """Up to 3.6, ``range(0, n, BLOCK)`` fails with numpy 2.4: scalars are arrays of shape (1,)."""
    original = tri._patch_lang_tensor

    def patch(tensor: Any, *rest: Any) -> None:
        original(tensor, *rest)
        tensor.__index__ = lambda self: int(self.handle.data.reshape(-1)[0])

    tri._patch_lang_tensor = patch
