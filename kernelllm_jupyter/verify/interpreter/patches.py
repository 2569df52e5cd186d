"""The language is patched once, not at every launch and every call of a device function.

The interpreter replaces some 200 builtins of ``triton.language`` when a launch begins, and again
for every call of ``tl.sum`` and its like, which is most of the time of a small launch. In a process
that only interprets they can stay replaced. Builtins that a module imported by name
(``from triton.language import load``) are replaced in that module as well.
"""

from __future__ import annotations

from types import FunctionType
from typing import Any

import triton.language as tl
import triton.runtime.interpreter as tri

__all__ = ["install"]


class NothingToRestore:
    """What a launch gets instead of the list of its patches."""

    def restore(self) -> None:
        return


def install() -> None:
    """Patch now and for good; to be called when all of the language is in its place."""
    homes = [
        (home, name, value)
        for home in (tl, tl.core, tl.math)
        for name, value in list(vars(home).items())
        if tl.core.is_builtin(value)
    ]
    everywhere = FunctionType((lambda: None).__code__, {"tl": tl, "core": tl.core})
    tri._patch_lang(everywhere)
    replaced = {id(value): getattr(home, name) for home, name, value in homes}
    # The builtins themselves are kept, so that no other object takes their identity.
    kept = [value for _, _, value in homes]
    seen: set[Any] = set()
    nothing = NothingToRestore()

    def patch(fn: Any) -> NothingToRestore:
        if fn not in seen:
            assert kept
            names = fn.__globals__
            for name, value in list(names.items()):
                replacement = replaced.get(id(value))
                if replacement is not None:
                    names[name] = replacement
            seen.add(fn)
        return nothing

    tri._patch_lang = patch
