"""The only place that executes reference or candidate source.

Runs in worker processes only. Source is written to a file of the worker's own folder, because
``triton.jit`` reads functions back from their file; lines of that file are the user's lines.
"""

from __future__ import annotations

import sys
import types
from pathlib import Path

__all__ = ["constructor_arguments", "execute"]


def execute(source: str, path: Path) -> types.ModuleType:
    """Run ``source`` as the module ``path.stem`` and return it."""
    path.write_text(source, encoding="utf-8")
    module = types.ModuleType(path.stem)
    module.__file__ = str(path)
    sys.modules[path.stem] = module
    # Without dont_inherit this module's own __future__ import would hold in the source too.
    exec(compile(source, str(path), "exec", dont_inherit=True), module.__dict__)
    return module


def constructor_arguments(given: object) -> tuple[list[object], dict[str, object]]:
    """Both conventions of ``get_init_inputs``: a list of arguments, or ``[args, kwargs]``."""
    if (
        isinstance(given, list | tuple)
        and len(given) == 2
        and isinstance(given[0], list | tuple)
        and isinstance(given[1], dict)
    ):
        return list(given[0]), {str(key): value for key, value in given[1].items()}
    if isinstance(given, dict):
        return [], {str(key): value for key, value in given.items()}
    return list(given) if isinstance(given, list | tuple) else [given], {}
