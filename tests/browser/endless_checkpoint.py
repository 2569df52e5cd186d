"""The endless checkpoint of the Python tests, for the browser's."""

from __future__ import annotations

import sys

from servers import ROOT

sys.path.append(str(ROOT / "tests" / "python"))

from engine_fixtures import ENDLESSLY, make_endless_checkpoint

__all__ = ["ENDLESSLY", "make_endless_checkpoint"]
