"""The endless checkpoint of the Python tests, for the browser's."""

from __future__ import annotations

import sys

from servers import ROOT

sys.path.append(str(ROOT / "tests" / "python"))

from engine_fixtures import make_endless_checkpoint

__all__ = ["make_endless_checkpoint"]
