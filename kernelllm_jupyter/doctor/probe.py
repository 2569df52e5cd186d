"""What Python itself says, of a process of its own: what it imports or runs may fail in any way."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

__all__ = ["probe"]

#: ``-c`` puts the current folder first, and a notebook's folder may hold a random.py.
PREFACE = 'import sys\nsys.path[:] = [folder for folder in sys.path if folder not in ("", ".")]\n'


def probe(program: str, doing: str, within_s: float) -> tuple[Any, str]:
    """What ``program`` prints as JSON in its last line; or None, and in words why there is none.

    ``doing`` is what it does, as the subject of a sentence.
    """
    try:
        ran = subprocess.run(
            [sys.executable, "-c", PREFACE + program],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=within_s,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return None, f"{doing} takes more than {within_s:.0f} s"
    if ran.returncode == 0:
        try:
            return json.loads(ran.stdout.rstrip().rpartition("\n")[2]), ""
        except ValueError:
            pass
    last = ran.stderr.strip().rpartition("\n")[2]
    return None, last or f"{doing} ends Python (exit status {ran.returncode})"
