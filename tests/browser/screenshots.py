"""Takes the pictures of the README and the docs: ``python tests/browser/screenshots.py``.

They are those of ``test_tutorial.py``, which plays the tutorial, so that they show what it says;
the front end has to be built.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

if __name__ == "__main__":
    os.environ["KERNELLLM_PICTURES"] = str(ROOT / "docs" / "images")
    sys.exit(pytest.main([str(ROOT / "tests" / "browser" / "test_tutorial.py")]))
